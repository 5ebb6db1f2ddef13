"""Checkpoints: the newest complete and intact one is found, whatever was interrupted or damaged."""

import logging
from pathlib import Path

import pytest

from storage import layout
from storage.base import Store
from storage.checkpoints import Checkpoints, with_checkpoints
from storage.local import LocalStore


def state(folder: Path, epoch: int) -> Path:
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(bytes([epoch]) * 1000)
    (folder / "sub" / "state.json").write_text(str(epoch))
    return folder


@pytest.fixture
def checkpoints(store: Store, tmp_path: Path) -> Checkpoints:
    return Checkpoints(store, "semantic-1", cache=tmp_path / "cache")


def loaded(checkpoints: Checkpoints) -> int | None:
    latest = checkpoints.latest()
    if latest is None:
        return None
    epoch, folder = latest
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["model.safetensors", "sub/state.json"]
    assert (folder / "model.safetensors").read_bytes() == bytes([epoch]) * 1000
    assert (folder / "sub" / "state.json").read_text() == str(epoch)
    return epoch


def test_the_newest_is_kept(checkpoints: Checkpoints, store: Store, tmp_path: Path) -> None:
    assert loaded(checkpoints) is None
    for epoch in range(12):
        checkpoints.save(epoch, state(tmp_path / "out", epoch))
        assert loaded(checkpoints) == epoch
        assert len(list(store.list("checkpoints/"))) == 3
    checkpoints.clear()
    assert loaded(checkpoints) is None
    assert list(store.list("")) == []
    assert list((tmp_path / "cache").rglob("*.json")) == []


def test_other_runs_are_left_alone(checkpoints: Checkpoints, store: Store, tmp_path: Path) -> None:
    other = Checkpoints(store, "semantic-10", cache=tmp_path / "cache")
    other.save(1, state(tmp_path / "out", 1))
    checkpoints.save(5, state(tmp_path / "out", 5))
    checkpoints.clear()
    assert loaded(other) == 1


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_save_that_was_interrupted_does_not_count(
    checkpoints: Checkpoints, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    checkpoints.save(1, state(tmp_path / "out", 1))
    original, calls = store.put, []

    def put(key: str, data: bytes | Path, *, replace: bool = False) -> None:
        calls.append(key)
        if len(calls) > allowed:
            raise KeyboardInterrupt
        original(key, data, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put", put)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(2, state(tmp_path / "out", 2))
    assert loaded(checkpoints) == 1
    checkpoints.save(2, state(tmp_path / "out", 2))
    assert loaded(checkpoints) == 2


@pytest.mark.parametrize("what", ["model.safetensors", "sub/state.json", "manifest"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_an_older_one_stands_in_for_a_damaged_one(
    checkpoints: Checkpoints, store: Store, tmp_path: Path, what: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(2, state(tmp_path / "out", 2))
    checkpoints.save(1, state(tmp_path / "out", 1))  # an older one that a killed save did not come to remove
    is_manifest = what == "manifest"
    key = layout.checkpoint_manifest("semantic-1", 2) if is_manifest else layout.checkpoint_file("semantic-1", 2, what)
    data = store.get(key)
    store.delete(key)
    if damage == "changed":
        store.put(key, bytes([data[0] ^ 1]) + data[1:])
    with caplog.at_level(logging.INFO):
        assert loaded(checkpoints) == 1
    assert "epoch 2" in caplog.text
    checkpoints.save(2, state(tmp_path / "out", 2))
    assert loaded(checkpoints) == 2


def test_nothing_stays_of_what_the_same_epoch_held_before(checkpoints: Checkpoints, tmp_path: Path) -> None:
    (state(tmp_path / "before", 1) / "extra").write_bytes(b"")
    checkpoints.save(3, tmp_path / "before")
    assert checkpoints.latest() is not None
    checkpoints.save(3, state(tmp_path / "out", 3))
    assert loaded(checkpoints) == 3


def test_a_local_checkpoint_is_not_copied(local: LocalStore, tmp_path: Path) -> None:
    checkpoints = Checkpoints(local, "semantic-1", cache=tmp_path / "cache")
    checkpoints.save(3, state(tmp_path / "out", 3))
    latest = checkpoints.latest()
    assert latest is not None
    assert latest[1].is_relative_to(tmp_path / "store")
    assert not (tmp_path / "cache").exists()


def test_an_empty_checkpoint_is_refused(checkpoints: Checkpoints, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no files"):
        checkpoints.save(1, tmp_path / "empty")


def test_other_code_does_not_continue_it(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def by(code: str) -> Checkpoints:
        return Checkpoints(store, "semantic-1", cache=tmp_path / "cache", code=code)

    by("older").save(3, state(tmp_path / "out", 3))
    assert loaded(by("older")) == 3
    assert by("newer").latest() is None
    assert by("newer").stored() == ()
    assert "epoch 3 of semantic-1 is not continued: it was made by other code (older, now newer)" in caplog.text
    by("newer").save(1, state(tmp_path / "out", 1))
    assert loaded(by("newer")) == 1


def test_whose_checkpoints_there_are(store: Store, tmp_path: Path) -> None:
    assert with_checkpoints(store) == frozenset()
    for identity in ("semantic-1", "motion-2"):
        Checkpoints(store, identity, cache=tmp_path).save(1, state(tmp_path / "out", 1))
    assert with_checkpoints(store) == {"semantic-1", "motion-2"}
