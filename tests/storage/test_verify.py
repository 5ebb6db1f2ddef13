"""`python -m storage.verify`: each kind of damage is found and named, and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import layout, verify
from storage.base import Store
from storage.checkpoints import Checkpoints
from storage.events import EventLog
from storage.lease import Lease
from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from storage.studies import save_study

EMPTY = Manifest("noop-1", "noop", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0)


def fill(store: Store, scratch: Path) -> Manifest:
    """Write one of everything."""
    (scratch / "out").mkdir(parents=True)
    (scratch / "out" / "model").write_bytes(b"weights" * 1000)
    (scratch / "out" / "manifest.json").write_text("[]")
    save_study(store, "cmg", {"trials": 1})
    for number in range(3):
        EventLog(store, "cmg").append("files", number, {"number": number})
    Checkpoints(store, "noop-2", cache=scratch).save(3, scratch / "out")
    with Lease(store, "cmg"):
        pass
    return RunStore(store, cache=scratch).commit(EMPTY, scratch / "out")


def found(store: Store) -> list[verify.Damage]:
    keys = tuple(store.list(""))
    promised, damages = verify.promises(store, keys)
    checked = [verify.check_object(store, key, file) for key, file in promised.items()]
    return [*damages, *(damage for damage in checked if damage is not None), *verify.event_gaps(keys)]


@pytest.fixture
def manifest(store: Store, tmp_path: Path) -> Manifest:
    return fill(store, tmp_path / "scratch")


def test_an_intact_store_has_no_damage(store: Store, manifest: Manifest) -> None:
    assert found(store) == []


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


KEYS: dict[str, Callable[[Manifest], str]] = {
    "blob": lambda manifest: layout.blob(manifest.files["model"].digest),
    "checkpoint": lambda _: layout.checkpoint_file("noop-2", 3, "model"),
    "manifest": lambda _: layout.manifest("noop-1"),
    "checkpoint manifest": lambda _: layout.checkpoint_manifest("noop-2", 3),
    "event": lambda _: layout.event("cmg", "files", 1),
    "study": lambda _: layout.study("cmg"),
}


@pytest.mark.parametrize("what", KEYS)
@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_damage_is_named(store: Store, manifest: Manifest, what: str, damage: str) -> None:
    key = KEYS[what](manifest)
    data = store.get(key)
    store.put(key, flipped(data) if damage == "flipped" else data[: len(data) // 2], replace=True)
    (only,) = found(store)
    assert only.key == key
    is_file = what in ("blob", "checkpoint")
    assert only.what.startswith(("changed" if damage == "flipped" else "truncated: ") if is_file else "incomplete")


@pytest.mark.parametrize("what", ["blob", "checkpoint", "event"])
def test_missing_objects_are_named(store: Store, manifest: Manifest, what: str) -> None:
    key = KEYS[what](manifest)
    store.delete(key)
    (only,) = found(store)
    assert only.key == key
    assert only.what.startswith("missing")


def test_what_was_interrupted_is_no_damage(store: Store, manifest: Manifest) -> None:
    store.delete(layout.manifest("noop-1"))
    store.delete(layout.checkpoint_manifest("noop-2", 3))
    store.delete(layout.event("cmg", "files", 2))
    assert found(store) == []


def test_what_a_running_study_changes_meanwhile_is_no_damage(local: LocalStore, tmp_path: Path) -> None:
    fill(local, tmp_path / "scratch")
    local.put(layout.pulse("cmg", "trial"), b'{"stage": "semantic"}')
    keys = tuple(local.list(""))
    promised, _ = verify.promises(local, keys)
    Checkpoints(local, "noop-2", cache=tmp_path).clear()
    checked = [verify.check_object(local, key, file) for key, file in promised.items()]
    assert checked == [None] * len(checked)
    assert verify.promises(local, keys)[1] == []


def test_a_manifest_that_is_valid_json_but_no_manifest(store: Store, manifest: Manifest) -> None:
    data = store.get(layout.study("cmg"))
    store.put(layout.manifest("noop-3"), data)
    assert [damage.key for damage in found(store)] == [layout.manifest("noop-3")]


def test_the_command(local: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed = fill(local, tmp_path / "scratch")
    assert verify.main([local.uri]) == 0
    assert " 0 damaged" in capsys.readouterr().out
    keys = [layout.blob(committed.files["model"].digest), layout.checkpoint_file("noop-2", 3, "model")]
    (tmp_path / "store" / keys[0]).unlink()
    local.put(keys[1], b"short", replace=True)
    assert verify.main([local.uri]) == 1
    output = capsys.readouterr().out
    assert f"{keys[0]}: missing\n" in output
    assert f"{keys[1]}: truncated: 5 of 7000 bytes\n" in output
    assert " 2 damaged" in output


@pytest.mark.parametrize("uri", ["s4://a", "/plain", "file:///nothing/there"])
def test_what_cannot_be_checked(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([uri]) == 2
    assert "error: " in capsys.readouterr().err


def test_it_runs_as_a_module(local: LocalStore, tmp_path: Path) -> None:
    fill(local, tmp_path / "scratch")
    command = [sys.executable, "-m", "storage.verify", local.uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" 0 damaged\n")
