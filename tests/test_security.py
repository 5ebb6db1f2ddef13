"""What comes from outside is refused in words or read; it never runs, never fills the memory, never ends in a crash."""

import ast
import http.server
import io
import json
import pickle
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from platform.errors import UserError
from platform.record.tables import EPOCHS, RecordTables
from platform.study import yaml_source
from platform.tracking_uri import check_tracking
from storage import layout
from storage.errors import UnavailableError
from storage.memory import MemoryStore
from storage.retry import RetryPolicy
from storage.runs import Manifest, RunStore
from tests.platform.made_up_events import made_up_event
from tests.stored import unlike_data
from trainables.backbones.load import load_clip
from trainables.backbones.sources import PHANTOM
from trainables.config.trial import resolve
from trainables.datasets.captions import read_captions
from trainables.datasets.clips import read_clip
from trainables.datasets.errors import ClipError
from trainables.datasets.fmri import read_fmri
from trainables.datasets.video_io import read_video
from trainables.execute import execute
from trainables.graph import stage_runs

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ("storage", "trainables", "platform") for path in (ROOT / folder).rglob("*.py"))
TINY = {
    "features.latent_size": 4,
    "motion.patch_size": 2,
    "structure.hidden": 16,
    **{f"structure.train.{key}": value for key, value in {"epochs": 2, "batch_size": 16, "device": "cpu"}.items()},
}
FUZZ = settings(max_examples=60)
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6)


def changed(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    """Return `data` with some bytes replaced, and some of the end gone."""
    made = bytearray(data)
    for place, value in changes:
        made[place % len(made)] = value
    return bytes(made[: len(made) - cut % len(made)])


def moving(frames: int = 4) -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 255, (frames, 12, 16, 3), np.uint8)
    return [Image.fromarray(frame) for frame in noise]


def gif() -> bytes:
    buffer = io.BytesIO()
    first, *rest = moving()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=100)
    return buffer.getvalue()


def png() -> bytes:
    buffer = io.BytesIO()
    moving()[0].save(buffer, "PNG")
    return buffer.getvalue()


def mp4() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 16, 12
        for picture in moving():
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npy_that_promises(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    buffer = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + b"\x00" * 64


def read(path: Path) -> None:
    """Read a clip both ways that there are."""
    for reader in (lambda: read_video(path), lambda: read_clip(path, frames=2, resolution=8)):
        with suppress(ClipError):
            reader()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.mark.parametrize("kind", ["gif", "png", "mp4", "npy"])
def test_a_damaged_clip_is_read_or_refused(kind: str, folder: Path) -> None:
    video = np.zeros((3, 8, 8, 3), np.uint8)
    makers: dict[str, Callable[[], bytes]] = {"gif": gif, "png": png, "mp4": mp4, "npy": lambda: npy(video)}
    whole = makers[kind]()

    @FUZZ
    @given(CHANGES, st.one_of(st.just(0), st.integers(0, 10**6)))
    def fuzz(changes: list[tuple[int, int]], cut: int) -> None:
        path = folder / f"clip.{kind}"
        if kind == "png":
            path = folder / "frames"
            path.mkdir(exist_ok=True)
        for name in ("0.png", "1.png") if kind == "png" else ("",):
            (path / name if name else path).write_bytes(changed(whole, changes, cut))
        read(path)

    fuzz()


def test_a_small_file_that_promises_a_huge_picture_is_refused_before_decoding(tmp_path: Path) -> None:
    tiny = gif()
    (tmp_path / "wide.gif").write_bytes(tiny[:6] + struct.pack("<HH", 65535, 65535) + tiny[10:])
    (tmp_path / "tall.gif").write_bytes(tiny[:6] + struct.pack("<HH", 9000, 9000) + tiny[10:])
    head = struct.pack(">IIBBBBB", 8000, 8000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png()[33:]
    (tmp_path / "frames").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "frames" / name).write_bytes(bomb)
    for name in ("wide.gif", "tall.gif", "frames"):
        with pytest.raises(ClipError, match=r"frames of \d+ x \d+ pixels|DecompressionBomb"):
            read_video(tmp_path / name)


def test_what_calls_itself_png_is_opened_as_nothing_else(tmp_path: Path) -> None:
    """Pillow would hand an EPS to Ghostscript."""
    (tmp_path / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch evil) (w) file\n")
    with pytest.raises(ClipError, match="UnidentifiedImageError"):
        read_video(tmp_path)


@pytest.mark.parametrize("shape", [(10**12, 8, 8, 3), (2**40, 2**40, 2, 3), (-1, 8, 8, 3), (3, 8, 8, 3)])
def test_an_array_that_promises_more_than_the_file_holds(shape: tuple[int, ...], tmp_path: Path) -> None:
    (tmp_path / "video.npy").write_bytes(npy_that_promises(shape))
    with pytest.raises(ClipError, match="cannot be decoded"):
        read_video(tmp_path / "video.npy")
    (tmp_path / "fmri.npy").write_bytes(npy_that_promises(shape[:2], "<f8"))
    assert "cannot be read" in str(read_fmri(tmp_path / "fmri.npy", clips=shape[0])[1]) or shape[0] == 3


@FUZZ
@given(CHANGES, st.one_of(st.just(0), st.integers(0, 10**6)))
@example([], 0)
def test_damaged_fmri_is_read_or_refused(folder: Path, changes: list[tuple[int, int]], cut: int) -> None:
    whole = npy(np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32))
    (folder / "fmri.npy").write_bytes(changed(whole, changes, cut))
    fmri, problems = read_fmri(folder / "fmri.npy", clips=4)
    assert fmri is not None or problems


@FUZZ
@given(CHANGES, st.integers(0, 20))
@example([(0, 91)], 0)
def test_damaged_captions_are_read_or_refused(folder: Path, changes: list[tuple[int, int]], cut: int) -> None:
    for name, text in (("a.json", '{"one": "a ball", "two": "a box"}'), ("a.csv", "name,caption\none,a\ntwo,b\n")):
        (folder / name).write_bytes(changed(text.encode(), changes, cut))
        captions, problems = read_captions(folder / name, ["one", "two"])
        assert problems or len(captions) == 2


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "1" * 10_000], ids=["lists", "objects", "digits"])
def test_captions_that_are_a_bomb(text: str, tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(text)
    assert "cannot be read" in str(read_captions(tmp_path / "captions.json", ["one"])[1])


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
        "target: &t noop.value\nspace: *t\n",
        "a: " + "[" * 5000,
        "target: !!python/object/apply:os.system [touch evil]\n",
        "a: " + "x" * 100_000,
    ],
    ids=["billion laughs", "alias", "nested", "object", "long"],
)
def test_yaml_that_is_a_bomb(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.yaml").write_text(text)
    with pytest.raises(UserError, match=r"bomb\.yaml"):
        yaml_source.read(tmp_path / "bomb.yaml")
    assert not (tmp_path / "evil").exists()


@FUZZ
@given(CHANGES, st.one_of(st.just(0), st.integers(0, 10**6)))
def test_a_damaged_table_is_made_again(changes: list[tuple[int, int]], cut: int) -> None:
    store, key = MemoryStore(), layout.record("s", EPOCHS)
    row = {"stage": "noop", "epoch": 1, "metrics": {"value": 0.5}, "time": 1.0}
    event = made_up_event("t", 0, "epochs", 1.0, {"rows": [row]})
    for _ in range(2):
        view = RecordTables(store, "s")
        view.see(event)
        view.close()
        store.put(key, changed(store.get(key), changes, cut), replace=True)


@FUZZ
@given(CHANGES, st.one_of(st.just(0), st.integers(0, 10**6)))
def test_a_damaged_manifest_counts_as_absent(folder: Path, changes: list[tuple[int, int]], cut: int) -> None:
    store = MemoryStore()
    body = json.dumps({"sha256": "0" * 64, "value": {"identity": "noop-1", "files": {"a": {}}}}).encode()
    store.put(layout.manifest("noop-1"), changed(body, changes, cut))
    assert RunStore(store, cache=folder).find("noop-1") is None


class _Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return Path.touch, (Path("evil"),)  # type: ignore[return-value]


def test_a_pickle_in_a_folder_of_weights_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "clip"
    model.mkdir()
    for path in (PHANTOM / "clip").iterdir():
        if path.suffix != ".safetensors":
            (model / path.name).write_bytes(path.read_bytes())
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(ValueError, match="cannot load"):
        load_clip(str(model))
    assert not (tmp_path / "evil").exists()


def test_no_source_turns_off_the_verification_of_certificates() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("verify", "verify_ssl", "use_ssl"):
                assert ast.unparse(node.value) != "False", path
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("_create_unverified_context", "CERT_NONE", "disable_warnings"), path
        assert "MLFLOW_TRACKING_INSECURE_TLS" not in path.read_text(encoding="utf-8"), path


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """The address of an HTTPS server whose certificate nobody vouches for."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(_self_signed_certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _self_signed_certificate() -> str:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(address, critical=True).sign(key, hashes.SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (secret + signed.public_bytes(serialization.Encoding.PEM)).decode()


def test_servers_that_nobody_vouches_for_are_refused(
    self_signed: str, aws: Callable[[str], AbstractContextManager[None]]
) -> None:
    from storage.s3 import S3Store

    with aws(self_signed):
        store = S3Store("bucket", "prefix", retry=RetryPolicy(patience=0.0))
    with pytest.raises(UnavailableError, match=r"(?i)certificate"):
        store.get("key")
    with pytest.raises(UserError, match=r"(?i)certificate"):
        check_tracking(self_signed)


class _KeepsAll(MemoryStore):
    """A store that still has the checkpoints of a stage run when that is finished."""

    def delete(self, key: str) -> None:
        """Remove nothing."""


def test_nothing_that_training_stores_is_a_pickle(tmp_path: Path) -> None:
    """Model, predictions and checkpoints (optimiser, generators of random numbers) of a decoder, on made-up inputs."""
    store = _KeepsAll()
    runs = RunStore(store, cache=tmp_path / "cache")
    config = resolve(TINY)
    *sources, run = stage_runs(config, seed=0, targets=["structure"])
    noise = np.random.default_rng(0)
    tensors = {
        "features": {"latents": noise.normal(size=(70, 2, 4, 4, 4)).astype(np.float32)},
        "voxels": {"fmri": noise.normal(size=(70, 20)).astype(np.float32)},
    }
    for source in sources:
        folder = tmp_path / source.stage
        folder.mkdir()
        if source.stage in tensors:
            save_file(tensors[source.stage], folder / f"{source.stage}.safetensors")
        split = ["train"] * 50 + ["validation"] * 10 + ["test"] * 10
        (folder / f"{source.stage}.json").write_text(json.dumps({"split": split}))
        made = Manifest(source.identity, source.stage, source.config, 0, source.inputs, {}, {}, (), {}, 0.0, 1.0)
        runs.commit(made, folder)
    execute(run, config, runs=runs, scratch=tmp_path / "scratch")
    assert len([key for key in store.list("checkpoints/") if key.endswith(".safetensors")]) >= 2
    assert unlike_data(store) == []


def test_a_pickle_in_a_store_is_found() -> None:
    store = MemoryStore()
    archive = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, archive)
    torch.save({"a": torch.zeros(2)}, old := io.BytesIO(), _use_new_zipfile_serialization=False)
    kinds = {"pickle": pickle.dumps({"a": 1}), "torch": archive.getvalue(), "old": old.getvalue(), "text": b"hello"}
    for name, data in kinds.items():
        store.put(name, data)
    assert [line.partition(":")[0] for line in unlike_data(store)] == sorted(kinds)
