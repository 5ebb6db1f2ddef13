"""Two drivers with the same stage run: one executes it, the other waits, or takes over when the first is killed."""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from storage.layout import checkpoint_manifest
from storage.uri import open_store
from trainables.config.trial import resolve
from trainables.graph import stage_runs

ROOT = Path(__file__).resolve().parents[3]
EPOCHS, HELD = 8, 3
"""Of the stage run, and after how many a driver that is to be seen at work holds."""
DRIVER = """
import sys, time
from pathlib import Path
from platform.run.run_leases import Claims
from storage import lease
from storage.runs import RunStore
from storage.uri import open_store
from trainables.config.trial import resolve
from trainables.execute import execute
from trainables.graph import stage_runs

uri, folder, machine, epochs, held = sys.argv[1:]
if machine:
    lease._machine = lambda: machine
lease.Lease.__init__.__kwdefaults__["ttl"] = 3.0  # a beat of each second may come late on a busy machine
runs = RunStore(open_store(uri), cache=Path(folder) / "cache")
config = resolve({"noop.epochs": int(epochs), "noop.sleep": 0.01})
(run,) = stage_runs(config, seed=0, targets=["noop"])
claims = Claims(open_store(uri), runs)
print("ready", flush=True)
sys.stdin.readline()
waits = False
while not claims.take("trial", [run.identity]):
    if not waits:
        print("waits", flush=True)
    waits = True
    time.sleep(0.05)
print("works", flush=True)
trained = []

def report(epoch, _):
    trained.append(epoch)
    if epoch == int(held):
        print("holds", flush=True)
        sys.stdin.readline()

execute(run, config, runs=runs, scratch=Path(folder) / "scratch", report=report)
claims.close()
print("trained", len(trained), flush=True)
"""


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that, told to go, makes a stage run in `uri` as a driver and its worker do.

    After `held` epochs it waits until it is told to go on; its heartbeats do not.
    """
    started: list[subprocess.Popen[str]] = []

    def start(uri: str, machine: str = "", *, held: int = 0) -> subprocess.Popen[str]:
        arguments = [uri, str(tmp_path / f"driver{len(started)}"), machine, str(EPOCHS), str(held)]
        command = [sys.executable, "-c", DRIVER, *arguments]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(process: subprocess.Popen[str]) -> str:
    """Let a process that is ready begin, and return what it says then."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return line(process)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_one_executes_and_the_other_waits(tmp_path: Path, drive: Callable[..., subprocess.Popen[str]]) -> None:
    uri = (tmp_path / "store").as_uri()
    first, second = drive(uri, held=HELD), drive(uri)
    assert (line(first), line(second)) == ("ready", "ready")
    assert (go(first), line(first), go(second)) == ("works", "holds", "waits")
    assert go(first) == f"trained {EPOCHS}"
    assert (line(second), line(second)) == ("works", "trained 0"), "it was stored by then"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_one_takes_over_when_the_first_is_killed(
    kind: str,
    tmp_path: Path,
    drive: Callable[..., subprocess.Popen[str]],
    s3_endpoint: str,
    aws: Callable[[str], AbstractContextManager[None]],
) -> None:
    """On S3 both claim to be on machines of their own, so that a heartbeat is all they know of each other."""
    uri = (tmp_path / "store").as_uri() if kind == "file" else f"s3://mindsweep/tests/drivers-{uuid.uuid4().hex}"
    machines = ("", "") if kind == "file" else ("here/boot/space", "there/boot/space")
    (run,) = stage_runs(resolve({"noop.epochs": EPOCHS, "noop.sleep": 0.01}), seed=0, targets=["noop"])
    with aws(s3_endpoint):
        store = open_store(uri)
        first, second = drive(uri, machines[0], held=HELD), drive(uri, machines[1])
        assert (line(first), line(second)) == ("ready", "ready")
        assert (go(first), line(first), go(second)) == ("works", "holds", "waits")
        deadline = time.monotonic() + 60
        while not store.exists(checkpoint_manifest(run.identity, HELD)):  # a thread writes it, its manifest last
            assert time.monotonic() < deadline, "the checkpoint was not written"
            time.sleep(0.05)
        first.kill()
        first.wait()
        assert line(second) == "works"
        assert line(second) == f"trained {EPOCHS - HELD}", "it went on from the dead one's checkpoint"
        assert store.exists(f"stages/{run.identity}/manifest.json")
