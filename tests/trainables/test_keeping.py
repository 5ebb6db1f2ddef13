"""Checkpoints in the background: in order, whole, and never the end of a training."""

import threading
from pathlib import Path

import pytest

from storage.checkpoints import Checkpoints
from storage.errors import UnavailableError
from storage.memory import MemoryStore
from trainables.context import Context
from trainables.keeping import BackgroundCheckpoints


class Slow(MemoryStore):
    """Writes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        assert self.go.wait(20)
        super().put(key, data, replace=replace)


class Gone(MemoryStore):
    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        raise UnavailableError("the store is away")


def context(store: MemoryStore, tmp_path: Path) -> tuple[Context, BackgroundCheckpoints]:
    made = Context(tmp_path, Checkpoints(store, "noop-0", cache=tmp_path / "cache"))
    kept = BackgroundCheckpoints(Checkpoints(store, "noop-0", cache=tmp_path / "cache"), made.telemetry.warn)
    return Context(tmp_path, kept, telemetry=made.telemetry), kept


def save(where: Context, epoch: int) -> None:
    with where.checkpoint(epoch) as folder:
        (folder / "file").write_text(f"epoch {epoch}")


def test_saving_does_not_wait_and_reading_does(tmp_path: Path) -> None:
    store = Slow()
    where, kept = context(store, tmp_path)
    save(where, 1)
    assert list(store.list("checkpoints/")) == []
    store.go.set()
    save(where, 2)
    found = kept.latest()
    assert found is not None
    assert (found[0], (found[1] / "file").read_text()) == (2, "epoch 2")


def test_drained_means_written(tmp_path: Path) -> None:
    store = Slow()
    where, kept = context(store, tmp_path)
    threading.Timer(0.2, store.go.set).start()
    save(where, 1)
    kept.drain()
    assert [key for key in store.list("checkpoints/") if key.endswith("manifest.json")]


@pytest.mark.parametrize("background", [True, False])
def test_a_store_that_is_away_costs_the_checkpoint_only(background: bool, tmp_path: Path) -> None:
    where, kept = context(Gone(), tmp_path)
    if not background:
        where = Context(tmp_path, Checkpoints(Gone(), "noop-0", cache=tmp_path), telemetry=where.telemetry)
    save(where, 1)
    kept.drain()
    assert where.telemetry.warnings == [
        "the checkpoint of epoch 1 could not be stored; training continues: the store is away"
    ]


def test_a_mistake_in_a_stage_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    where, _ = context(MemoryStore(), tmp_path)
    with pytest.raises(KeyError), where.checkpoint(1):
        raise KeyError("layer")
