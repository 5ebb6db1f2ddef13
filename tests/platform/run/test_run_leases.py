"""What a driver leaves of checkpoints when it ends."""

from pathlib import Path

from platform.run.run_leases import RunLeases
from storage.checkpoints import with_checkpoints
from storage.memory import MemoryStore
from storage.runs import Manifest, RunStore


def test_checkpoints_of_finished_runs_go_and_those_of_unfinished_ones_stay(tmp_path: Path) -> None:
    """As after a driver that was killed between the end of the run and the removal, in whatever study."""
    store = MemoryStore()
    runs = RunStore(store, cache=tmp_path / "cache")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "value.json").write_text("1")
    runs.commit(Manifest("noop-1", "noop", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0), tmp_path / "out")
    for identity in ("noop-1", "noop-2"):
        runs.checkpoints(identity).save(1, tmp_path / "out")
    RunLeases(store, runs).close()
    assert with_checkpoints(store) == {"noop-2"}
