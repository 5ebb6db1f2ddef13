"""Stage runs: content is verified, damage is found, named and healed, and of several finishers one wins."""

import hashlib
import json
import logging
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import content, layout
from storage.base import Store
from storage.cache import Cache
from storage.errors import IntegrityError, NotFoundError
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.runs import Artifacts, File, Manifest, RunStore
from storage.s3 import S3Store
from tests.programs import ROOT, program
from tests.storage.test_s3 import Client

FILES = {"model.safetensors": b"weights" * 1000, "sub/curve.json": b"[1, 2]", "empty": b""}


def manifest(identity: str = "noop-1", **changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "identity": identity,
        "stage": "noop",
        "config": {"noop": {"epochs": 3, "sizes": [1, 2]}},
        "seed": 7,
        "inputs": {"data": "data-1"},
        "files": {},
        "metrics": {"loss": 0.25},
        "history": ({"loss": 1.0}, {"loss": 0.25}),
        "info": {"python": "3.11"},
        "created": 1.5,
        "seconds": 2.5,
    }
    return Manifest(**{**fields, **changes})


def filled(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, data in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def runs(store: Store, tmp_path: Path) -> RunStore:
    return RunStore(store, cache=tmp_path / "cache")


def test_commit_then_find_then_open(runs: RunStore, tmp_path: Path) -> None:
    assert runs.find("noop-1") is None
    with pytest.raises(NotFoundError, match="noop-1"):
        runs.open("noop-1")
    committed = runs.commit(manifest(), filled(tmp_path / "out"))
    assert set(committed.files) == set(FILES)
    assert committed.files["empty"] == File(hashlib.sha256(b"").hexdigest(), 0)
    assert runs.find("noop-1") == runs.find("noop-1", deep=True) == committed
    artifacts = runs.open("noop-1")
    assert artifacts.manifest == committed
    assert artifacts.json("sub/curve.json") == [1, 2]
    for name, data in FILES.items():
        assert artifacts.path(name).read_bytes() == data
    with pytest.raises(NotFoundError, match=r"no artifact 'other'; it has: empty, model\.safetensors"):
        artifacts.path("other")


def test_the_digest_is_of_the_content_alone(runs: RunStore, tmp_path: Path) -> None:
    first = runs.commit(manifest(), filled(tmp_path / "a"))
    again = runs.commit(manifest("noop-2", created=9.0, info={}), filled(tmp_path / "b"))
    changed = runs.commit(manifest("noop-3"), filled(tmp_path / "c", {**FILES, "empty": b"x"}))
    renamed = runs.commit(manifest("noop-4"), filled(tmp_path / "d", {"renamed" + k: v for k, v in FILES.items()}))
    assert first.digest == again.digest
    assert len({first.digest, changed.digest, renamed.digest}) == 3


def test_equal_content_is_stored_once(runs: RunStore, store: Store, tmp_path: Path) -> None:
    runs.commit(manifest(), filled(tmp_path / "a"))
    before = list(store.list("blobs/"))
    runs.commit(manifest("noop-2"), filled(tmp_path / "b"))
    assert list(store.list("blobs/")) == before


@pytest.mark.parametrize("metrics", [{"loss": float("nan")}, {"loss": float("inf")}])
def test_what_is_not_json_leaves_nothing(runs: RunStore, store: Store, tmp_path: Path, metrics: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        runs.commit(manifest(metrics=metrics), filled(tmp_path / "out"))
    assert list(store.list("")) == []


def test_links_and_odd_names_are_refused(runs: RunStore, store: Store, tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "a").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="symbolic link"):
        runs.commit(manifest(), tmp_path / "link")
    with pytest.raises(ValueError, match="name in the store"):
        runs.commit(manifest(), filled(tmp_path / "odd", {"a b": b""}))
    assert list(store.list("")) == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    rewrite(path, bytes(data))


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "truncated": lambda path: rewrite(path, path.read_bytes()[:-1]),
    "emptied": lambda path: rewrite(path, b""),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_blob_is_named_and_healed(
    local: LocalStore, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs = RunStore(local, cache=tmp_path / "cache")
    committed = runs.commit(manifest(), filled(tmp_path / "out"))
    opened = runs.open("noop-1")
    key = layout.blob(committed.files["model.safetensors"].digest)
    DAMAGES[damage](tmp_path / "store" / key)
    with pytest.raises((IntegrityError, NotFoundError), match=key) as caught:
        opened.path("model.safetensors")
    if damage == "flipped":
        assert committed.files["model.safetensors"].digest in str(caught.value)
    with caplog.at_level(logging.WARNING):
        assert runs.find("noop-1", deep=True) is None
    assert "noop-1" in caplog.text
    assert "model.safetensors" in caplog.text
    assert key in caplog.text
    assert (runs.find("noop-1") is None) == (damage != "flipped")  # a flipped byte is only seen by hashing
    assert runs.commit(manifest(), filled(tmp_path / "again")) == committed
    assert runs.find("noop-1", deep=True) == committed
    assert runs.open("noop-1").path("model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_done_again_with_other_bytes_replaces_the_damaged_one(
    local: LocalStore, tmp_path: Path, damage: str
) -> None:
    runs = RunStore(local, cache=tmp_path / "cache")
    committed = runs.commit(manifest(), filled(tmp_path / "out"))
    DAMAGES[damage](tmp_path / "store" / layout.blob(committed.files["model.safetensors"].digest))
    again = runs.commit(manifest(), filled(tmp_path / "again", {**FILES, "model.safetensors": b"not bit-equal"}))
    assert again != committed
    assert runs.find("noop-1", deep=True) == again


def tampered(data: bytes) -> bytes:
    value = json.loads(data)
    value["value"]["metrics"]["loss"] = 0.0
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


MANIFEST_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "one byte short": lambda data: data[:-1],
    "flipped": lambda data: data.replace(b"0.25", b"0.24"),
    "tampered": tampered,
    "not a manifest": lambda _: content.sealed({"identity": "noop-1"}),
    "of another run": lambda data: content.sealed({**content.unsealed("", data), "identity": "noop-2"}),
    "escaping name": lambda data: content.sealed({**content.unsealed("", data), "files": {"../../a": {}}}),
    "bad digest": lambda data: content.sealed(
        {**content.unsealed("", data), "files": {"a": {"digest": "../../etc/passwd", "size": 1}}}
    ),
}


@pytest.mark.parametrize("damage", MANIFEST_DAMAGES)
def test_a_damaged_manifest_counts_as_absent_and_is_healed(
    runs: RunStore, store: Store, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    committed = runs.commit(manifest(), filled(tmp_path / "out"))
    key = layout.manifest("noop-1")
    store.put(key, MANIFEST_DAMAGES[damage](store.get(key)), replace=True)
    with caplog.at_level(logging.WARNING):
        assert runs.find("noop-1") is None
    assert key in caplog.text
    assert runs.commit(manifest(), filled(tmp_path / "again")) == committed
    assert runs.find("noop-1", deep=True) == committed


def test_a_remote_blob_is_verified_cached_and_downloaded_again(tmp_path: Path) -> None:
    store = MemoryStore()
    runs = RunStore(store, cache=tmp_path / "cache")
    committed = runs.commit(manifest(), filled(tmp_path / "out"))
    path = runs.open("noop-1").path("model.safetensors")
    key = layout.blob(committed.files["model.safetensors"].digest)
    flip(path)
    assert runs.open("noop-1").path("model.safetensors").read_bytes() == FILES["model.safetensors"]
    store.put(key, b"damaged", replace=True)
    runs.commit(manifest("noop-2"), filled(tmp_path / "again"))  # heals although the cache is good
    assert store.get(key) == FILES["model.safetensors"]
    path.unlink()  # the good copy
    store.put(key, b"damaged", replace=True)
    with pytest.raises(IntegrityError, match=key):
        Artifacts(store, committed, cache=Cache(tmp_path / "cache")).path("model.safetensors")
    assert not path.exists()


class Transfers:
    """Counts the bytes of blobs that an S3 store sends and receives."""

    def __init__(self, store: S3Store, monkeypatch: pytest.MonkeyPatch, *, etag: str | None = None) -> None:
        self.sent = self.received = 0
        self._real, self._etag = store._bucket.client, etag
        methods = {name: getattr(self, name) for name in ("put_object", "upload_part", "get_object", "head_object")}
        monkeypatch.setattr(store._bucket, "client", Client(self._real, **methods))

    def put_object(self, **where: Any) -> Any:
        self.sent += len(where["Body"]) if "/blobs/" in where["Key"] else 0
        return self._real.put_object(**where)

    def upload_part(self, **where: Any) -> Any:
        self.sent += len(where["Body"])
        return self._real.upload_part(**where)

    def get_object(self, **where: Any) -> Any:
        answer = self._real.get_object(**where)
        self.received += answer["ContentLength"] if "/blobs/" in where["Key"] else 0
        return answer

    def head_object(self, **where: Any) -> Any:
        answer = self._real.head_object(**where)
        return answer if self._etag is None else {**answer, "ETag": self._etag}


@pytest.fixture
def s3(s3_store: S3Store, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for module in ("storage.s3_parts", "storage.s3"):
        monkeypatch.setattr(f"{module}.PART", 5 << 20)
    for key in s3_store.list(""):
        s3_store.delete(key)
    return s3_store


LARGE = {**FILES, "large": b"a few parts " * (1 << 20)}
TOTAL = sum(map(len, LARGE.values()))


def test_a_blob_that_a_remote_store_holds_moves_no_byte(
    s3: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Transfers(s3, monkeypatch)
    runs = RunStore(s3, cache=tmp_path / "cache")
    committed = runs.commit(manifest(), filled(tmp_path / "a", LARGE))
    assert (moved.sent, moved.received) == (TOTAL, 0)
    again = runs.commit(manifest("noop-2"), filled(tmp_path / "b", LARGE))
    assert again.files == committed.files
    assert runs.commit(manifest(), filled(tmp_path / "c", LARGE)) == committed, "the manifest is there, too"
    assert (moved.sent, moved.received) == (TOTAL, 0)


@pytest.mark.parametrize("name", ["model.safetensors", "large"])
def test_a_blob_that_holds_other_bytes_is_replaced(
    s3: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    runs = RunStore(s3, cache=tmp_path / "cache")
    committed = runs.commit(manifest(), filled(tmp_path / "a", LARGE))
    key = layout.blob(committed.files[name].digest)
    for other in (LARGE[name][:-1] + b"~", LARGE[name][:-1]):
        (tmp_path / "other").write_bytes(other)
        s3.put(key, tmp_path / "other", replace=True)
        runs.commit(manifest("noop-2"), filled(tmp_path / "b", LARGE))
        assert s3.get(key) == LARGE[name]


def test_a_digest_that_tells_nothing_is_not_trusted(
    s3: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on servers that encrypt with a key of the bucket's owner."""
    runs = RunStore(s3, cache=tmp_path / "cache")
    runs.commit(manifest(), filled(tmp_path / "a", LARGE))
    moved = Transfers(s3, monkeypatch, etag=f'"{"0" * 32}"')
    runs.commit(manifest("noop-2"), filled(tmp_path / "b", LARGE))
    assert (moved.sent, moved.received) == (0, TOTAL), "read and verified, as it is not known"


def test_a_file_is_hashed_once_per_process(local: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = RunStore(local, cache=tmp_path / "cache")
    runs.commit(manifest(), filled(tmp_path / "out"))
    hashed: list[Path] = []
    original = content.file_at

    def counted(path: Path) -> File:
        hashed.append(path)
        return original(path)

    monkeypatch.setattr(content, "file_at", counted)
    for _ in range(10):
        runs.open("noop-1").path("model.safetensors")
        RunStore(local, cache=tmp_path / "other").open("noop-1").path("model.safetensors")
    assert len(hashed) == 1


def test_a_rewritten_output_is_hashed_anew(runs: RunStore, tmp_path: Path) -> None:
    """The same path, size and (coarse clocks) time of change do not mean the same bytes."""
    for number in range(50):
        identity = f"noop-{number}"
        committed = runs.commit(manifest(identity), filled(tmp_path / "out", {"a": f"{number:03d}".encode()}))
        assert committed.files["a"].digest == hashlib.sha256(f"{number:03d}".encode()).hexdigest()


def test_all_processes_map_one_copy(local: LocalStore, tmp_path: Path) -> None:
    first = RunStore(local, cache=tmp_path / "one")
    first.commit(manifest(), filled(tmp_path / "out"))
    second = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "two")
    paths = [runs.open("noop-1").path("model.safetensors") for runs in (first, second)]
    assert paths[0].stat().st_ino == paths[1].stat().st_ino
    assert not (tmp_path / "one").exists()


def test_another_config_under_the_same_identity_is_refused_with_a_diff(runs: RunStore, tmp_path: Path) -> None:
    committed = runs.commit(manifest(), filled(tmp_path / "out"))
    other = manifest(config={"noop": {"epochs": 4, "sizes": [1, 2]}})
    with pytest.raises(IntegrityError, match=r'(?s)noop-1.*-   "epochs": 3,.*\+   "epochs": 4,'):
        runs.commit(other, filled(tmp_path / "again"))
    assert runs.find("noop-1") == committed
    committed.require_same_run(replace(manifest(), config={"noop": {"epochs": 3, "sizes": (1, 2)}}))


def test_of_racing_committers_one_wins(runs: RunStore, tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def commit(number: int) -> Manifest:
        folder = filled(tmp_path / f"out{number}", {**FILES, "who": str(number).encode()})
        barrier.wait()
        return runs.commit(manifest(created=float(number)), folder)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(commit, range(4)))
    assert results == [runs.find("noop-1", deep=True)] * 4


def test_racing_processes_agree(local: LocalStore, tmp_path: Path) -> None:
    commands = [program("committer", local.uri, tmp_path / name) for name in ("a", "b")]
    racers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    outputs = [racer.communicate()[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert outputs[0] == outputs[1]
    runs = RunStore(local, cache=tmp_path / "cache")
    found = [runs.find(f"noop-{number}", deep=True) for number in range(30)]
    assert "".join(f"{run.digest}\n" for run in found if run is not None) == outputs[0]


@pytest.mark.parametrize("before", ["blobs/sha256/e3", "stages/"])
def test_a_committer_killed_half_way_has_not_committed(local: LocalStore, tmp_path: Path, before: str) -> None:
    out = filled(tmp_path / "out")
    done = subprocess.run(program("killed_committer", tmp_path / "store", out, before), cwd=ROOT, check=False)
    assert done.returncode == -9
    runs = RunStore(local, cache=tmp_path / "cache")
    assert runs.find("noop-1") is None
    runs.commit(manifest(), out)
    assert runs.find("noop-1", deep=True) is not None
