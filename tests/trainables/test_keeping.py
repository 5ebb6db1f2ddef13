"""Checkpoints in the background: in order, whole, and never the end of a training."""

import threading
from pathlib import Path

import pytest

from storage.checkpoints import Checkpoints
from storage.errors import UnavailableError
from storage.memory import MemoryStore
from trainables.context import Context
from trainables.keeping import BackgroundCheckpoints, Pace


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


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_checkpoints_take_their_share_of_the_time_only() -> None:
    watch = Watch()
    pace = Pace(0.05, clock=watch)
    assert pace.due(), "nothing tells what the first one takes"
    with pace.making():
        watch.time += 1.0
    with pace.writing():  # in the background
        watch.time += 2.0
        assert not pace.due(), "it is being written"
    made = []
    for second in range(3, 700):
        watch.time = float(second)
        if pace.due():
            made.append(second)
            with pace.making():
                watch.time += 3.0
    assert made == [60 * k for k in range(1, 12)]


@pytest.mark.parametrize(("share", "due"), [(1.0, True), (0.0, False)])
def test_a_share_of_all_means_every_epoch_and_of_nothing_none(share: float, due: bool) -> None:
    watch = Watch()
    pace = Pace(share, clock=watch)
    for _ in range(3):
        assert pace.due() == due
        with pace.making():
            watch.time += 10.0


def test_the_time_of_the_writing_counts(tmp_path: Path) -> None:
    store, pace = Slow(), Pace(0.5)
    kept = BackgroundCheckpoints(Checkpoints(store, "noop-0", cache=tmp_path), lambda text: None, pace=pace)
    where = Context(tmp_path, kept, pace=pace)
    save(where, 1)
    assert not pace.due()
    threading.Timer(0.3, store.go.set).start()
    kept.drain()
    assert not pace.due(), "it took .3 s, of which .3 s more must pass"


def test_what_is_not_stored_yet_lies_in_the_folder_for_it(tmp_path: Path) -> None:
    (staging := tmp_path / "staging").mkdir()
    store = Slow()
    kept = BackgroundCheckpoints(Checkpoints(store, "noop-0", cache=tmp_path / "cache"), lambda text: None)
    save(Context(tmp_path, kept, staging=staging), 1)
    assert [path.name for path in staging.rglob("file")] == ["file"]
    store.go.set()
    kept.drain()
    assert list(staging.iterdir()) == []
