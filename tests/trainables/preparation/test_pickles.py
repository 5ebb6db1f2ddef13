import ast
import builtins
import collections
import os
import pickle
import pickletools
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.pickles import write_bmd_betas, write_pickle
from tests.programs import ROOT, program
from trainables.preparation import pickles
from trainables.preparation.files import InputError
from trainables.preparation.pickles import NIBABEL_IMAGE, Opaque, read_object_npy, read_pickle

RNG = np.random.default_rng(0)
SHARED = ROOT.parent / "shared" / "data"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        RNG.normal(size=(3, 4, 5)),
        np.asfortranarray(RNG.normal(size=(30, 40, 50)).astype("f4")),
        RNG.integers(0, 9, (200, 300)).astype(">i4"),
        np.array(["a", "bcd"]),
        np.array([b"x", b"yz"]),
        np.zeros((0, 3), "f2"),
        np.array([True, False]),
        np.array(7.5),
        np.array([[1, "two"], [None, [3]]], object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_every_protocol_equal_what_pickle_reads(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    path = write_pickle(
        tmp_path / "a.pkl", {"x": array, "same": array, "n": (1, 2.5, "t", None, True)}, protocol=protocol
    )
    content = read_pickle(path)
    np.testing.assert_array_equal(content["x"], array)
    assert content["x"] is content["same"]
    assert content["n"] == (1, 2.5, "t", None, True)
    if array.shape:
        assert content["x"].dtype == array.dtype


def test_large_arrays_are_maps_of_the_file(tmp_path: Path) -> None:
    betas = RNG.normal(size=(30, 3, 200))
    for protocol in (3, 4, 5):
        array, names = read_pickle(write_bmd_betas(tmp_path / f"{protocol}.pkl", betas, 1, protocol=protocol))
        assert isinstance(array, np.memmap)
        np.testing.assert_array_equal(array, betas)
        assert names[0] == "vid0001"


def test_scalars_and_python_2_texts(tmp_path: Path) -> None:
    assert read_pickle(write_pickle(tmp_path / "a.pkl", [np.float64(2.5), np.int16(3)], protocol=2)) == [2.5, 3]
    payload = np.array([1.5, -2.5]).tobytes()
    text = b"U" + bytes([len(payload)]) + payload  # SHORT_BINSTRING, as Python 2 wrote the bytes of an array
    path = tmp_path / "py2.pkl"
    path.write_bytes(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + text
        + b"tb."
    )
    np.testing.assert_array_equal(read_pickle(path), [1.5, -2.5])


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Stateful:
    pass


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Call(os.system, "touch pwned"), "posix.system"),
        (Call(eval, "1"), r"(builtins|__builtin__)\.eval"),
        (Call(builtins.__import__, "os"), "__import__"),
        (Call(getattr, 1, "real"), "getattr"),
        (Call(np.load, "x"), r"numpy.*load"),
        (Call(np.ndarray, (10**9,)), "a call of numpy.ndarray"),
        (Call(open, "/etc/passwd"), "open"),
        (collections.OrderedDict(a=1), "OrderedDict"),
        (Stateful(), "copyreg._reconstructor|copy_reg._reconstructor|test_pickles.Stateful"),
        (np.zeros(2, "M8[s]"), r"an array of dtype 'M8'"),
        (np.zeros(2, [("a", "f4")]), "an array of (records|dtype)"),
    ],
)
def test_anything_else_is_refused_by_name_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_pickle(tmp_path / "evil.pkl", {"train": content}, protocol=protocol)
    with pytest.raises(InputError, match=rf"evil\.pkl: the pickle asks for .*({name}).*refused; only containers"):
        read_pickle(path)
    assert not (tmp_path / "pwned").exists()


RAW = {
    "persistent id": b"\x80\x04Pabc\n.",
    "extension": b"\x80\x02\x82\x01.",
    "instance": b"(ios\nsystem\n.",
    "object": b"(cos\nsystem\no.",
    "next buffer": b"\x80\x05\x97.",
    "call of a text": b"\x80\x04\x8c\x01a)R.",
    "state of a function": b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n}\x8c\x0c__defaults__K\x01sb.",
    "state of a list": b"\x80\x04]}b.",
    "new object of an allowed name": b"\x80\x04cnumpy\ndtype\n)\x81.",
    "codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
    "function as a value": b"\x80\x04cnumpy\nndarray\n.",
    "nothing": b".",
    "huge payload": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "recursion": b"\x80\x04" + b"]" * 3000 + b"a" * 2999 + b".",
    "list in itself": b"\x80\x04]\x94h\x00a.",
}


@pytest.mark.parametrize("case", RAW)
def test_programs_written_by_hand_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "raw.pkl"
    path.write_bytes(RAW[case])
    with pytest.raises(InputError, match=r"raw\.pkl"):
        read_pickle(path)


def test_no_program_can_change_what_allowed_names_do(tmp_path: Path) -> None:
    for case in RAW:
        (tmp_path / "raw.pkl").write_bytes(RAW[case])
        with pytest.raises(InputError):
            read_pickle(tmp_path / "raw.pkl")
    np.testing.assert_array_equal(read_pickle(write_pickle(tmp_path / "good.pkl", np.ones(3))), np.ones(3))


def test_shared_containers_do_not_grow(tmp_path: Path) -> None:
    content: list[Any] = [1]
    for _ in range(60):  # 2^60 items if each reference were a copy
        content = [content, content]
    assert read_pickle(write_pickle(tmp_path / "a.pkl", content))[0][0] is not None


def test_an_array_that_claims_more_than_its_payload_is_refused(tmp_path: Path) -> None:
    whole = pickle.dumps(np.ones((100, 100)), protocol=4)
    path = tmp_path / "a.pkl"
    path.write_bytes(whole.replace(b"KdKd", b"KdKe"))
    with pytest.raises(InputError, match="needs 80800 bytes, but has 80000"):
        read_pickle(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as a pickle"):
        read_pickle(path)


@pytest.mark.long
@settings(max_examples=150)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6), cut=st.integers(0, 400))
def test_damaged_pickles_are_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(pickle.dumps({"train": np.arange(20.0).reshape(4, 5), "n": ["a", 1]}, protocol=4))
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "a.pkl"
    path.write_bytes(bytes(data[: len(data) - cut % len(data)]))
    with suppress(InputError):
        read_pickle(path)


def test_a_nibabel_image_is_passed_over_where_it_is_expected(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((30, 30, 30), "f4"), np.eye(4))
    for protocol in (2, 4):
        path = write_bmd_betas(tmp_path / "a.pkl", RNG.normal(size=(3, 2, 7)), 1, protocol=protocol, extra=image)
        with pytest.raises(InputError, match=r"Nifti1|copyreg"):
            read_pickle(path)
        content = read_pickle(path, opaque=NIBABEL_IMAGE)
        assert content[2] == Opaque("nibabel.nifti1.Nifti1Image")


def test_object_arrays_in_npy_follow_the_same_rules(tmp_path: Path) -> None:
    good = np.array([{"runs": [1, 2]}, np.arange(3)], object)
    np.save(tmp_path / "good.npy", good, allow_pickle=True)
    content = read_object_npy(tmp_path / "good.npy")
    assert content[0] == {"runs": [1, 2]}
    np.testing.assert_array_equal(content[1], np.arange(3))
    np.save(tmp_path / "plain.npy", np.arange(4))
    assert read_object_npy(tmp_path / "plain.npy").tolist() == [0, 1, 2, 3]
    np.save(tmp_path / "evil.npy", np.array([Call(os.system, "true")], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"posix\.system"):
        read_object_npy(tmp_path / "evil.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(InputError, match=r"is not a \.npy file"):
        read_object_npy(tmp_path / "text.npy")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
def test_the_published_times_of_the_hcp_clips_are_read() -> None:
    path = SHARED / "atlas" / "hcp_clip_times_24fps.npy"
    ours, theirs = read_object_npy(path), np.load(path, allow_pickle=True)
    assert ours.shape == theirs.shape
    assert repr(ours.tolist()) == repr(theirs.tolist())


def test_220_mb_are_opened_in_60_mb(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    shape = (100, 3, 91282)
    size = 8 * int(np.prod(shape))
    # Written by hand with a hole for the values, which pickle.dump would need twice in memory.
    whole = pickle.dumps((np.zeros((100, 3, 1000)), [f"vid{i:04}" for i in range(100)]), protocol=3)
    start = whole.index(b"B" + (8 * 300000).to_bytes(4, "little"))
    head, tail = whole[:start], whole[start + 5 + 8 * 300000 :]
    head = head.replace(b"M\xe8\x03\x87", b"J" + shape[2].to_bytes(4, "little") + b"\x87")
    with path.open("wb") as file:
        file.write(head + b"B" + size.to_bytes(4, "little"))
        file.seek(size - 8 * 91282 * 3 + 40, 1)
        file.write(np.float64(2.5).tobytes())
        file.seek(len(head) + 5 + size)
        file.write(tail)
    assert path.stat().st_size > 219e6
    done = subprocess.run(program("pickle_memory", str(path)), cwd=ROOT, capture_output=True, text=True, check=True)
    rise, value, names = done.stdout.split()
    assert float(rise) < 60
    assert (float(value), int(names)) == (2.5, 100)


def test_the_module_never_calls_the_unpickler_of_python() -> None:
    tree = ast.parse(Path(pickles.__file__).read_text(encoding="utf-8"))
    attributes = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle"
    }
    assert attributes == {"_Unpickler"}


def test_every_operation_that_is_run_is_known_to_pickletools() -> None:
    codes = {opcode.code: opcode.name for opcode in pickletools.opcodes}
    names = {codes[chr(code)] for code in pickles._Reader.dispatch}
    assert not names & {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX", "NEXT_BUFFER"}
