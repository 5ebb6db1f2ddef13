"""Two drivers with the same stage run: one executes it, the other waits, or takes over when the first is killed."""

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from storage.layout import checkpoint_manifest
from storage.uri import open_store
from tests.programs import ROOT, program
from trainables.config.trial import resolve
from trainables.graph import stage_runs

EPOCHS, HELD = 8, 3
"""Of the stage run, and after how many a driver that is to be seen at work holds."""


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that, told to go, makes a stage run in `uri` as a driver and its worker do.

    After `held` epochs it waits until it is told to go on; its heartbeats do not.
    """
    started: list[subprocess.Popen[str]] = []

    def start(uri: str, machine: str = "", *, held: int = 0) -> subprocess.Popen[str]:
        command = program("claiming_driver", uri, tmp_path / f"driver{len(started)}", machine, EPOCHS, held)
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


def test_one_executes_and_the_other_waits(tmp_path: Path, drive: Callable[..., subprocess.Popen[str]]) -> None:
    uri = (tmp_path / "store").as_uri()
    first, second = drive(uri, held=HELD), drive(uri)
    assert (line(first), line(second)) == ("ready", "ready")
    assert (go(first), line(first), go(second)) == ("works", "holds", "waits")
    assert go(first) == f"trained {EPOCHS}"
    assert (line(second), line(second)) == ("works", "trained 0"), "it was stored by then"


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
