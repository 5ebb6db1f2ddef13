"""Trials with several workers on a real Ray: all finish, and whatever ends one leaves no process and no reservation."""

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ray.util.placement_group import placement_group_table

from platform.events import TrialEvent
from platform.run.driver import run_study
from platform.study.domains import Choice
from platform.study.space import Space
from tests.platform.noop_studies import noop_study, options_in
from tests.platform.run.test_driver import finished

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]
TWO = "base: {noop.workers: 2, noop.epochs: 6, noop.sleep: %s}\ntrials: %d\nsampler: random"


def workers() -> list[psutil.Process]:
    """Return the processes of Ray Train that this session's cluster runs."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if "RayTrainWorker" in title or "SynchronizationActor" in title:
            found.append(process)
    return found


def reserved() -> list[str]:
    return [group["state"] for group in placement_group_table().values() if group["state"] != "REMOVED"]


def left_after(seconds: float) -> tuple[list[psutil.Process], list[str]]:
    """Return the processes and reservations that are left when there are none, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while (workers() or reserved()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return workers(), reserved()


class When:
    """A view that does something at the first event of a kind."""

    def __init__(self, kind: str, act: Callable[[], object]) -> None:
        self.kind, self.act = kind, act

    def see(self, event: TrialEvent) -> None:
        if event.kind == self.kind:
            self.act, act = lambda: None, self.act
            act()

    def close(self) -> None:
        pass


@pytest.mark.long
def test_trials_that_are_stopped_early_leave_nothing(tmp_path: Path) -> None:
    """Four trials of two workers on two CPUs: with Ray Train's own placement groups the third would never start."""
    text = "sampler: grid\nbase: {noop.workers: 2, noop.epochs: 6}\nscheduler: {asha: {reduction_factor: 2}}"
    study = noop_study(tmp_path, text, space="space: {noop.value: {choice: [0.1, 0.9, 0.5, 0.7]}}")
    summary = run_study(study, options_in(tmp_path, max_concurrent=None))
    assert left_after(10) == ([], [])
    assert summary.trials["completed"] >= 1
    assert summary.trials["pruned"] >= 2
    assert summary.trials["completed"] + summary.trials["pruned"] == 4


@pytest.mark.long
def test_a_stage_run_that_trials_share_has_its_workers_and_they_have_none(tmp_path: Path) -> None:
    usual = noop_study(tmp_path, "sampler: grid\ntrials: 2", space="space: {noop.epochs: {int: [1, 2]}}")
    study = replace(usual, space=Space({"dataset.seed": Choice(choice=(1, 2))}, base={"noop.workers": 2}))
    summary = run_study(study, options_in(tmp_path))
    assert summary.trials["completed"] == 2
    assert summary.stage_runs == {"executed": 1, "reused": 2}
    assert left_after(10) == ([], [])


@pytest.mark.long
def test_a_lost_worker_costs_an_attempt_and_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    study = noop_study(tmp_path, TWO % (0.5, 1))

    def kill_one() -> None:
        victims = [process for process in workers() if "RayTrainWorker" in " ".join(process.cmdline())]
        victims[-1].kill()

    lost = When("epochs", kill_one)
    assert run_study(study, options_in(tmp_path), views=lambda: [lost]).trials["completed"] == 1
    (end,) = finished(study, tmp_path).values()
    assert end.body["retries"] == {"WORKER_LOST": 1}
    assert left_after(10) == ([], [])

    other = noop_study(tmp_path, TWO % (0.5, 2), name="other")
    interrupt = When("epochs", lambda: signal.raise_signal(signal.SIGINT))
    stopped = run_study(other, options_in(tmp_path), views=lambda: [interrupt])
    assert stopped.interrupted
    assert left_after(10) == ([], [])
