"""Files from elsewhere: whatever their headers claim, they are refused with a name and a reason, or are harmless."""

import hashlib
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from storage import layout, verify
from storage.content import sealed, unsealed
from storage.errors import IntegrityError
from storage.formats import check_format
from storage.memory import MemoryStore
from storage.runs import Manifest, RunStore

TENSORS = save({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((0, 4), np.uint8)})


def tensors(header: Any, *, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def table() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        pq.write_table(pa.table({"x": [1, 2, 3], "name": ["a", "b", "c"]}), path)
        return path.read_bytes()


TABLE = table()


def refused(name: str, data: bytes) -> bool:
    """Tell whether a file is refused; any other error than the one that is promised fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        path.write_bytes(data)
        try:
            check_format(path, name)
        except IntegrityError as error:
            told = str(error)
        else:
            return False
    assert told.startswith(f"{name} is not a ")
    assert len(told) < 1000
    return True


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.safetensors", TENSORS),
        ("model.safetensors", save({"a": np.ones(3)}, {"kind": "test"})),
        ("model.safetensors", save({})),
        ("per_clip.parquet", TABLE),
        ("data.json", b'{"a": [1, NaN]}'),
        ("page.html", b"anything"),
        ("noname", b"anything"),
    ],
)
def test_what_is_well_formed_passes(name: str, data: bytes) -> None:
    assert not refused(name, data)


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        tensors(b"{}", length=1 << 62),
        tensors(b"{}", length=1 << 27) + bytes(100),
        tensors(b"[]"),
        tensors(b'"a"'),
        tensors(b"{" * 100_000),
        tensors(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        tensors(b"\xff\xfe"),
        tensors({"a": {**ONE, "shape": [1 << 40, 1 << 40]}}, data=bytes(8)),
        tensors({"a": {**ONE, "shape": [-2]}}, data=bytes(8)),
        tensors({"a": {**ONE, "shape": [2.0]}}, data=bytes(8)),
        tensors({"a": {**ONE, "shape": "2"}}, data=bytes(8)),
        tensors({"a": {**ONE, "shape": [1] * 10_000 + [2]}}, data=bytes(8)),
        tensors({"a": {**ONE, "dtype": "pickle"}}, data=bytes(8)),
        tensors({"a": {**ONE, "data_offsets": [-8, 0]}}, data=bytes(8)),
        tensors({"a": {**ONE, "data_offsets": [0, 1 << 60]}}, data=bytes(8)),
        tensors({"a": {**ONE, "data_offsets": [8]}}, data=bytes(8)),
        tensors({"a": {**ONE, "data_offsets": None}}, data=bytes(8)),
        tensors({"a": ONE, "b": ONE}, data=bytes(8)),
        tensors({"a": ONE}, data=bytes(4)),
        tensors({"a": ONE}, data=bytes(9)),
        tensors({"a": None}),
    ],
)
def test_tensor_headers_that_lie_are_refused(data: bytes) -> None:
    assert refused("model.safetensors", data)


def test_a_table_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A column of one value takes a few bytes, however many rows it has."""
    pq.write_table(pa.table({"a": np.zeros(100_000, np.int8), "b": np.zeros(100_000)}), tmp_path / "zeros.parquet")
    assert (tmp_path / "zeros.parquet").stat().st_size < 2000
    check_format(tmp_path / "zeros.parquet", "zeros.parquet")
    monkeypatch.setattr("storage.formats._MOST_CELLS", 199_999)
    with pytest.raises(IntegrityError, match="100000 rows of 2 columns"):
        check_format(tmp_path / "zeros.parquet", "zeros.parquet")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\xff" * 4 + b"PAR1", TABLE[:-1]])
def test_tables_that_are_none_are_refused(data: bytes) -> None:
    assert refused("per_clip.parquet", data)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 200_000, b'{"a": 1} x', b"\xff", b"1" * 5000])
def test_texts_that_are_no_json_are_refused(data: bytes) -> None:
    assert refused("data.json", data)


@settings(max_examples=80)
@given(data=st.data())
def test_a_changed_tensor_file_is_refused_or_loads(data: st.DataObject) -> None:
    """What we let through, the library that reads it takes as well."""
    changed = bytearray(TENSORS)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.sampled_from([len(changed), len(changed) - 1, 40, 9]))]
    if not refused("model.safetensors", bytes(changed)):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a").write_bytes(changed)
            load_file(Path(folder) / "a")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
FIELD = st.sampled_from(["dtype", "shape", "data_offsets", "extra"])


@settings(max_examples=60)
@given(header=JSON | st.dictionaries(st.text(max_size=3), st.dictionaries(FIELD, JSON | st.just([0, 0]))))
def test_any_json_as_a_tensor_header(header: Any) -> None:
    refused("model.safetensors", tensors(header))


@settings(max_examples=80)
@given(data=st.data())
def test_a_changed_table_is_refused_or_has_readable_facts(data: st.DataObject) -> None:
    changed = bytearray(TABLE)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(len(changed) // 2, len(changed) - 1))] = data.draw(st.integers(0, 255))
    refused("per_clip.parquet", bytes(changed))


def test_a_table_with_any_one_byte_of_its_footer_changed() -> None:
    """Some changes ask Arrow for what it has not: `ArrowNotImplementedError`, which is no `ValueError`."""
    for place in range(len(TABLE) // 2, len(TABLE)):
        refused("per_clip.parquet", TABLE[:place] + b"A" + TABLE[place + 1 :])


@given(name=st.sampled_from(["a.safetensors", "a.parquet", "a.json"]), data=st.binary(max_size=200))
def test_any_bytes(name: str, data: bytes) -> None:
    refused(name, data)


@given(value=JSON)
def test_a_manifest_of_any_json_is_none_or_one(value: Any) -> None:
    """Sealed correctly, by somebody: only the content is wrong."""
    store = MemoryStore()
    body = json.dumps(value).encode()
    digest = hashlib.sha256(body).hexdigest()
    store.put(layout.manifest("noop-1"), b'{"sha256":"%s","value":%s}' % (digest.encode(), body))
    assert RunStore(store, cache=Path()).find("noop-1") is None
    _, damages = verify.promises(store, tuple(store.list("")))
    assert [damage.key for damage in damages] == [layout.manifest("noop-1")]


def test_sealed_text_that_is_nested_without_end_is_refused() -> None:
    body = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    data = b'{"sha256":"%s","value":%s}' % (hashlib.sha256(body).hexdigest().encode(), body)
    with pytest.raises(IntegrityError, match="a/b is not JSON"):
        unsealed("a/b", data)
    with pytest.raises(IntegrityError, match="a/b is damaged"):
        unsealed("a/b", sealed({})[:-2])


def test_sealed_text_with_what_json_does_not_have_is_refused() -> None:
    body = b'{"a":NaN}'
    data = b'{"sha256":"%s","value":%s}' % (hashlib.sha256(body).hexdigest().encode(), body)
    with pytest.raises(IntegrityError, match="a/b is not JSON: it has NaN"):
        unsealed("a/b", data)


def test_verify_names_a_file_that_is_not_what_its_manifest_calls_it(tmp_path: Path) -> None:
    store = MemoryStore()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").write_bytes(tensors(b"{}", length=1 << 40))
    (tmp_path / "out" / "good.safetensors").write_bytes(TENSORS)
    manifest = RunStore(store, cache=tmp_path).commit(
        Manifest("noop-1", "noop", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0), tmp_path / "out"
    )
    promised, _ = verify.promises(store, tuple(store.list("")))
    (damage,) = (
        found for key, file in promised.items() if (found := verify.check_object(store, key, file)) is not None
    )
    assert damage.key == layout.blob(manifest.files["model.safetensors"].digest)
    assert damage.what.startswith("model.safetensors is not a safetensors file: its header has 1099511627776 bytes")
