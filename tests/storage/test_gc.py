"""`python -m storage.gc`: what nothing refers to goes, what anything refers to or may be in writing stays."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage import gc, layout, verify
from storage.base import Store
from storage.checkpoints import Checkpoints
from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from storage.studies import save_study

DATA, VOXELS, SEMANTIC, OTHER, UNFINISHED = (
    f"{stage}-{number:016x}" for number, stage in enumerate(["data", "v", "s", "o", "s"])
)


def finished(store: Store, folder: Path, identity: str, inputs: dict[str, str], content: str) -> Manifest:
    """Commit a stage run with the files `own` (its content) and `shared` (the same in all)."""
    out = folder / identity
    out.mkdir(parents=True)
    (out / "own").write_text(content)
    (out / "shared").write_text("shared")
    run = Manifest(identity, "noop", {}, 0, inputs, {}, {}, (), {}, 0.0, 0.0)
    return RunStore(store, cache=folder / "cache").commit(run, out)


def fill(store: Store, folder: Path) -> dict[str, str]:
    """Write a study that names `SEMANTIC`, whose inputs are named by manifests alone, and garbage; return its keys."""
    finished(store, folder, DATA, {}, "data")
    finished(store, folder, VOXELS, {"data": DATA}, "voxels")
    finished(store, folder, SEMANTIC, {"voxels": VOXELS}, "semantic")
    other = finished(store, folder, OTHER, {"data": DATA}, "other")
    save_study(store, "cmg", {"trials": 1})
    EventLog(store, "cmg").append("t", 0, {"kind": "proposed", "runs": [{"identity": SEMANTIC}, UNFINISHED]})
    kept = layout.blob("a" * 64)
    EventLog(store, "cmg").append("t", 1, {"report": f"see {kept}"})
    store.put(kept, b"named by a record alone")
    Checkpoints(store, UNFINISHED, cache=folder).save(3, folder / SEMANTIC)
    Checkpoints(store, SEMANTIC, cache=folder).save(3, folder / SEMANTIC)
    keys = {
        "blob": layout.blob("b" * 64),
        "probe": "probes/a",
        "run": layout.manifest(OTHER),
        "of the run": layout.blob(other.files["own"].digest),
        "checkpoint": layout.checkpoint_manifest(SEMANTIC, 3),
        "of the checkpoint": layout.checkpoint_file(SEMANTIC, 3, "own"),
        "too": layout.checkpoint_file(SEMANTIC, 3, "shared"),
    }
    store.put(keys["blob"], b"lost")
    store.put(keys["probe"], b"lost")
    return keys


def found(store: Store, *, runs: bool = False, min_age: float = -60.0) -> dict[str, gc.Garbage]:
    """Return the garbage by name; by default of any age, clocks that differ by a minute included."""
    return {item.name: item for item in gc.find_garbage(store, gc.read_contents(store), min_age=min_age, runs=runs)}


def test_what_nothing_names_is_found(store: Store, tmp_path: Path) -> None:
    keys = fill(store, tmp_path)
    items = found(store)
    assert set(items) == set(keys.values()) - {keys["of the run"]}
    assert [name for name, item in items.items() if item.is_kept] == [keys["run"]]
    assert items[keys["blob"]].size == 4
    assert -60 < items[keys["blob"]].age < 60
    assert set(found(store, runs=True)) == set(keys.values())
    assert not any(item.is_kept for item in found(store, runs=True).values())


def test_nothing_young_is_touched(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    assert found(store, runs=True, min_age=600.0) == {}


def test_what_is_removed_leaves_the_rest_intact(store: Store, tmp_path: Path) -> None:
    keys = fill(store, tmp_path)
    before = set(store.list(""))
    for item in found(store, runs=True).values():
        item.remove()
    assert set(store.list("")) == before - set(keys.values())
    assert found(store, runs=True) == {}
    runs = RunStore(store, cache=tmp_path / "cache")
    assert all(runs.find(identity, deep=True) is not None for identity in (DATA, VOXELS, SEMANTIC))
    assert runs.find(OTHER) is None


def test_a_checkpoint_stays_as_long_as_a_trial_that_has_not_ended_needs_it(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    key, log = layout.checkpoint_manifest(UNFINISHED, 3), EventLog(store, "cmg")
    assert key not in found(store, runs=True)
    log.append("t", 2, {"kind": "finished", "body": {"error": UNFINISHED}})
    assert found(store)[key].is_kept
    assert not found(store, runs=True)[key].is_kept
    log.append("u", 0, {"kind": "proposed", "runs": [UNFINISHED]})
    assert key not in found(store, runs=True), "another trial needs it"
    log.append("u", 1, {"kind": "finished"})
    log.append("t", 3, {"kind": "started"})
    assert key not in found(store, runs=True), "the trial was started again"


def test_a_damaged_manifest_stops_it(local: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(local, tmp_path)
    key = layout.manifest(VOXELS)
    local.put(key, local.get(key)[:-9], replace=True)
    before = list(local.list(""))
    assert gc.main([local.uri, "--min-age", "0"]) == 2
    error = capsys.readouterr().err
    assert key in error
    assert "storage.verify" in error
    assert list(local.list("")) == before


def test_the_command(local: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = fill(local, tmp_path)
    (tmp_path / "store" / "blobs" / ".tmp-1").write_bytes(b"half")
    before = set(local.list(""))
    assert gc.main([local.uri, "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{local.uri}: 0 would be removed (0 bytes), 0 kept, which --runs removes\n"
    for path in (tmp_path / "store").rglob("*"):
        os.utime(path, (time.time() - 30 * 3600,) * 2)
    assert gc.main([local.uri, "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert f"{keys['blob']}: blob without a manifest, 4 bytes, 30 h old\n" in output
    assert f"{keys['run']}: stage run that no study names" in output
    assert "blobs/.tmp-1: unfinished write, 4 bytes, 30 h old\n" in output
    assert "6 would be removed" in output
    assert "1 kept, which --runs removes" in output
    assert set(local.list("")) == before
    assert gc.main([local.uri]) == 0
    assert "6 removed" in capsys.readouterr().out
    assert set(local.list("")) == before - set(keys.values()) | {keys["run"], keys["of the run"]}
    assert not (tmp_path / "store" / "blobs" / ".tmp-1").exists()
    assert gc.main([local.uri, "--runs"]) == 0
    assert set(local.list("")) == before - set(keys.values())
    assert verify.main([local.uri]) == 1  # the blob `aaa...` of this test holds what it likes
    assert capsys.readouterr().out.count("changed: ") == 1


@pytest.mark.parametrize("uri", ["s4://a", "/plain", "file:///nothing/there"])
def test_what_cannot_be_read(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc.main([uri]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("age", ["-1", "nan", "a day"])
def test_a_bad_age_is_refused(age: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        gc.main(["file:///a", "--min-age", age])


def test_it_runs_as_a_module(local: LocalStore, tmp_path: Path) -> None:
    fill(local, tmp_path)
    command = [sys.executable, "-m", "storage.gc", local.uri, "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
