"""STORE FOLDER MACHINE EPOCHS HELD: make a stage run as a driver and its worker do, once told to go.

It says `ready`, `waits` (for another driver), `works`, and how many epochs it trained. After HELD epochs it says
`holds` and waits until told to go on; its heartbeats do not. MACHINE, if not empty, is the one it claims to be on.
"""

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from platform.run.run_leases import RunLeases
from storage import lease
from storage.runs import RunStore
from storage.uri import open_store
from trainables.config.trial import resolve
from trainables.execute import execute
from trainables.graph import StageRun, stage_runs


def say(text: str) -> None:
    print(text, flush=True)


def wait(leases: RunLeases, run: StageRun) -> None:
    """Return once the stage run is ours."""
    waits = False
    while not leases.acquire("trial", [run.identity]):
        if not waits:
            say("waits")
        waits = True
        time.sleep(0.05)


def drive(uri: str, folder: Path, *, epochs: int, held: int) -> None:
    runs = RunStore(open_store(uri), cache=folder / "cache")
    config = resolve({"noop.epochs": epochs, "noop.sleep": 0.01, "noop.checkpoint_share": 1.0})
    (run,) = stage_runs(config, seed=0, targets=["noop"])
    leases, trained = RunLeases(open_store(uri), runs), False
    say("ready")
    sys.stdin.readline()
    wait(leases, run)
    say("works")

    def report(epoch: int, metrics: Mapping[str, float]) -> None:
        nonlocal trained
        trained = True
        if epoch == held:
            say("holds")
            sys.stdin.readline()

    manifest = execute(run, config, runs=runs, scratch=folder / "scratch", report=report)
    leases.close()
    say(f"trained {epochs - int(manifest.info['continued_after']) if trained else 0}")


if __name__ == "__main__":
    defaults = lease.Lease.__init__.__kwdefaults__
    assert defaults is not None
    with ExitStack() as stack:
        # A beat of each second may come late on a busy machine.
        stack.enter_context(patch.dict(defaults, ttl=3.0))
        if sys.argv[3]:
            stack.enter_context(patch.object(lease, "_machine", lambda: sys.argv[3]))
        drive(sys.argv[1], Path(sys.argv[2]), epochs=int(sys.argv[4]), held=int(sys.argv[5]))
