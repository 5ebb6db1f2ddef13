"""Real faults, one at a time: nothing finished is lost, nothing is doubled, and the rest of the study goes on.

Workers are found by their signs of life in the store, and killed, stopped or limited by their process id.
"""

import json
import os
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file

from platform.errors import StudyError
from platform.events import TrialEvent
from platform.run.driver import run_study
from platform.study.domains import Choice
from platform.study.space import Point, Space
from platform.study.study import Study
from platform.study.sweep_file import load_study
from storage import layout, lease
from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from tests.background import in_background
from tests.clusters import LocalRay
from tests.platform.noop_studies import inline_in, noop_study, options_in
from trainables.provenance import code_facts
from trainables.telemetry import read_pulses

Pulse = dict[str, Any]
"""A sign of life."""
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def ends(study: Study, home: Path) -> dict[str, Mapping[str, Any]]:
    """Return the body of every trial's end, after a look at what must hold whatever happened."""
    found = [TrialEvent.from_json(value) for value in EventLog(LocalStore(home / "store"), study.id).read()]
    finished = [event for event in found if event.kind == "finished"]
    assert max(Counter(event.trial for event in finished).values()) == 1, "a trial finished twice"
    assert len(finished) == study.trial_count, "a trial was lost"
    rows = [(e.trial, row["stage"], row["epoch"]) for e in found if e.kind == "epochs" for row in e.body["rows"]]
    assert max(Counter(rows).values()) == 1, "an epoch was doubled"
    for event in finished:
        epochs = [epoch for trial, _, epoch in sorted(rows) if trial == event.trial]
        assert epochs == list(range(1, len(epochs) + 1)), "an epoch was lost"
    assert read_pulses(LocalStore(home / "store"), study.id) == {}, "a killed worker's sign of life is left"
    assert trial_processes() == [], "a process is left"
    return {event.trial: event.body for event in finished}


def trial_processes(seconds: float = 10.0) -> list[psutil.Process]:
    """Return the processes of this cluster that still belong to a trial, after giving them some time to end."""
    import ray

    deadline = time.monotonic() + seconds
    sockets = {node["RayletSocketName"] for node in ray.nodes()}  # type: ignore[no-untyped-call]
    raylets = [process for process in psutil.process_iter() if any(socket in title(process) for socket in sockets)]
    names = ("ray::ImplicitFunc", "ray::_RayTrainWorker", "ray::RayTrainWorker")
    while found := [c for raylet in raylets for c in raylet.children() if title(c).startswith(names)]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def sabotage(
    study: Study,
    home: Path,
    acts: Mapping[str, Callable[[Pulse], object]],
    *,
    ready: Callable[[str], bool] = lambda trial: True,
) -> Iterator[None]:
    """Meanwhile act on each named trial once, at its first sign of life with which it is `ready`."""
    waiting = dict(acts)

    def wait(over: threading.Event) -> None:
        while waiting and not over.wait(0.02):
            pulses = read_pulses(LocalStore(home / "store"), study.id)
            for trial in filter(ready, waiting.keys() & pulses.keys()):
                waiting.pop(trial)(pulses[trial])

    with in_background(wait):
        yield
    assert not waiting, "a fault never came"


def kill(pulse: Pulse) -> None:
    os.kill(pulse["pid"], signal.SIGKILL)


def fill(pulse: Pulse) -> None:
    """A limit on the size of files, set from outside while it trains, is the one full disk that needs no root."""
    hard = resource.prlimit(pulse["pid"], resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pulse["pid"], resource.RLIMIT_FSIZE, (3 << 20, hard))


KILLED, SILENT, STOPPED, GREEDY, FULL, LUCKY = (f"t{number:04d}" for number in range(6))
POINTS: tuple[Point, ...] = tuple(
    {"noop.value": value, "noop.sleep": sleep, "noop.memory": memory}
    for value, sleep, memory in (
        (0.1, 0.25, 0),
        (0.2, 600, 0),
        (0.3, 0.3, 0),
        (0.4, 0, 10_000_000),  # no machine has ten terabytes
        (0.5, 0.2, 4),
        (0.6, 0, 0),
    )
)
"""The points of these trials, in the same order. Of their fields, only `noop.value` changes a result."""


@dataclass(frozen=True)
class Ended:
    """A study of six trials, of which five met a fault."""

    study: Study
    home: Path
    trials: Mapping[str, int]
    bodies: Mapping[str, Mapping[str, Any]]
    """The end of each trial."""
    pids: Mapping[str, int]
    """The process of each trial that was silent or stopped."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, local_ray: LocalRay) -> Ended:
    """Run the study, with a deadline of three seconds without a sign of progress."""
    local_ray.address()
    home, pids = tmp_path_factory.mktemp("faults"), {}
    domains = {name: Choice(choice=tuple({point[name] for point in POINTS})) for name in POINTS[0]}
    usual = noop_study(home, f"trials: {len(POINTS)}\nsampler: random")
    study = replace(usual, space=Space(domains, base={"noop.epochs": 8, "noop.checkpoint_share": 1.0}, points=POINTS))

    def stop(pulse: Pulse) -> None:
        pids[STOPPED] = pulse["pid"]
        os.kill(pulse["pid"], signal.SIGSTOP)

    acts = {KILLED: kill, SILENT: lambda pulse: pids.update({SILENT: pulse["pid"]}), STOPPED: stop, FULL: fill}
    (run,) = study.spec(0, 0, POINTS[0]).runs
    checkpoints = RunStore(LocalStore(home / "store"), cache=home).checkpoints(run.identity, code=code_facts()["code"])

    def ready(trial: str) -> bool:
        return trial != KILLED or checkpoints.stored() != ()  # on a busy machine the first takes a while

    with sabotage(study, home, acts, ready=ready):
        summary = run_study(study, options_in(home, stage_deadline=3))
    return Ended(study, home, summary.trials, ends(study, home), pids)


def starts(study: Study, home: Path, trial: str) -> list[Mapping[str, Any]]:
    events = EventLog(LocalStore(home / "store"), study.id).read()
    return [event["body"] for event in events if event["trial"] == trial and event["kind"] == "started"]


def test_each_fault_ends_its_own_trial_alone(ended: Ended) -> None:
    assert ended.trials == {"completed": 3, "pruned": 0, "failed": 3, "unfinished": 0}
    assert ended.bodies[LUCKY]["attempts"] == 1


def test_a_killed_worker_costs_no_epoch(ended: Ended) -> None:
    body = ended.bodies[KILLED]
    assert body["outcome"] == "COMPLETED"
    assert (body["attempts"], body["retries"]) == (2, {"WORKER_LOST": 1})
    first, second = starts(ended.study, ended.home, KILLED)
    assert (first["attempt"], second["attempt"], second["after"]["cause"]) == (1, 2, "WORKER_LOST")
    run = RunStore(LocalStore(ended.home / "store"), cache=ended.home).find(body["runs"]["noop"]["identity"])
    assert run is not None
    assert int(run.info["continued_after"]) >= 1, "the second attempt went on from a checkpoint"
    for body in (ended.bodies[trial] for trial in (KILLED, FULL, LUCKY)):
        assert body["time"].keys() >= {"queue", "data", "compute", "checkpoint", "report"}


@pytest.mark.long
def test_a_killed_coordinator_takes_its_workers_along(tmp_path: Path) -> None:
    """The process that leads a trial of several workers; it is replaced, and they with it."""
    study = noop_study(tmp_path, "trials: 1\nbase: {noop.workers: 2, noop.epochs: 10, noop.sleep: 0.2}")
    with sabotage(study, tmp_path, {"t0000": kill}):
        summary = run_study(study, options_in(tmp_path))
    assert summary.trials == {"completed": 1, "pruned": 0, "failed": 0, "unfinished": 0}
    (body,) = ends(study, tmp_path).values()
    assert (body["attempts"], body["retries"]) == (2, {"WORKER_LOST": 1})


def made_up_inputs(study: Study, home: Path) -> None:
    """Put features and voxels into the store that a decoder can be trained on in no time."""
    generator = torch.Generator().manual_seed(0)
    clips, split = 60, ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    tensors = {
        "features": {"latents": torch.randn(clips, 4, 2, 4, 4, generator=generator)},
        "voxels": {"fmri": torch.randn(clips, 20, generator=generator)},
    }
    runs = RunStore(LocalStore(home / "store"), cache=home / "cache")
    for run in study.spec(0, 0, {}).runs:
        folder = home / "made" / run.stage
        folder.mkdir(parents=True)
        if run.stage in tensors:
            save_file(tensors[run.stage], folder / f"{run.stage}.safetensors")
        (folder / f"{run.stage}.json").write_text(json.dumps({"split": split}))
        if run.stage != "structure":
            seed = run.seed
            made = Manifest(run.identity, run.stage, run.config, seed, run.inputs, {}, {}, (), {}, 0.0, 0.0)
            runs.commit(made, folder)


def test_a_loss_that_is_not_finite_is_not_tried_again(tmp_path: Path) -> None:
    base = "base: {features.latent_size: 4, motion.patch_size: 4, structure.hidden: 16, structure.train.epochs: 3}"
    space = "space: {structure.train.lr: {choice: [1.0e-3, 1.0e+30]}}"
    (tmp_path / "nan.yaml").write_text(f"target: structure.latent_mse\n{space}\nsampler: grid\n{base}\n")
    study = load_study(tmp_path / "nan.yaml")
    made_up_inputs(study, tmp_path)
    summary = run_study(study, inline_in(tmp_path))
    bodies = ends(study, tmp_path)
    assert summary.trials == {"completed": 1, "pruned": 0, "failed": 1, "unfinished": 0}, bodies
    (body,) = [body for body in bodies.values() if body["outcome"] == "FAILED"]
    assert (body["cause"], body["attempts"]) == ("DIVERGED", 1)
    assert "DivergedError: structure: " in body["error"]


def test_too_little_memory_is_tried_once_more_and_recorded(ended: Ended) -> None:
    """This is Python's own MemoryError."""
    body = ended.bodies[GREEDY]
    assert body["outcome"] == "FAILED"
    assert (body["cause"], body["attempts"], body["retries"]) == ("OUT_OF_MEMORY", 2, {"OUT_OF_MEMORY": 1})
    assert "Traceback" in body["error"]
    assert "MemoryError" in body["error"]


def gone(pid: int, *, seconds: float = 10.0) -> bool:
    """Tell whether a process ends within the ten seconds that a trial may take to free what it had."""
    end = time.monotonic() + seconds
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.1)
    return not psutil.pid_exists(pid)


def test_what_hangs_and_what_is_stopped_is_ended_at_the_deadline(ended: Ended) -> None:
    """A stopped process does not end by itself."""
    for trial in (SILENT, STOPPED):
        body = ended.bodies[trial]
        assert (body["outcome"], body["cause"], body["attempts"]) == ("FAILED", "DEADLINE", 1)
        assert 3 <= body["seconds"] < 60
        assert gone(ended.pids[trial])


def test_a_full_disk_costs_checkpoints_but_not_the_training(ended: Ended) -> None:
    body = ended.bodies[FULL]
    assert (body["outcome"], body["attempts"]) == ("COMPLETED", 1)
    assert any("could not be stored; training continues" in text and "too large" in text for text in body["warnings"])


@pytest.mark.long
def test_a_study_that_another_driver_took_over_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = noop_study(tmp_path, "trials: 4\nbase: {noop.epochs: 20, noop.sleep: 0.2}")
    defaults = lease.Lease.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "ttl", 0.9)
    name = f"study-{study.id}"

    def take_over(pulse: Pulse) -> None:
        store = LocalStore(tmp_path / "store")
        (key,) = store.list(layout.leases(name))
        store.put(layout.lease(name, int(Path(key).stem) + 1), b'{"machine": "another"}')

    with (
        sabotage(study, tmp_path, {"t0000": take_over}),
        pytest.raises(StudyError, match="another driver has taken over study"),
    ):
        run_study(study, options_in(tmp_path))
    store = LocalStore(tmp_path / "store")
    assert store.get(list(store.list(layout.leases(name)))[-1]) == b'{"machine": "another"}', "it is not released"
    assert trial_processes() == []


@pytest.mark.long
def test_a_shared_stage_run_that_waits_for_a_core_has_not_stalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six of them on two cores: the last wait for longer than a stage may be without progress."""
    monkeypatch.setattr("platform.run.stalls._STARTING", 0.0)
    text = "sampler: grid\nrepeats: 6\ntrials: 2"
    usual = noop_study(tmp_path, text, space="space: {noop.epochs: {int: [1, 2]}}")
    study = replace(usual, space=Space({"dataset.seed": Choice(choice=(1, 2))}, base={"noop.sleep": 2.0}))
    summary = run_study(study, options_in(tmp_path, stage_deadline=3))
    assert summary.trials == {"completed": 12, "pruned": 0, "failed": 0, "unfinished": 0}


class SharedStates:
    """A view that keeps the states of shared stage runs."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def see(self, event: TrialEvent) -> None:
        pass

    def shared(self, stage: str, identity: str, state: str) -> None:
        self.states.append(state)

    def remark(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


def shared_study(folder: Path, base: Mapping[str, Any]) -> Study:
    """Return a study of two trials that need one stage run."""
    usual = noop_study(folder, "sampler: grid\ntrials: 2", space="space: {noop.epochs: {int: [1, 2]}}")
    return replace(usual, space=Space({"dataset.seed": Choice(choice=(1, 2))}, base=base))


@pytest.mark.long
def test_a_shared_stage_run_whose_worker_is_killed_is_executed_again(tmp_path: Path) -> None:
    study, view = shared_study(tmp_path, {"noop.epochs": 8, "noop.sleep": 0.3}), SharedStates()
    (run,) = study.shared_runs()
    with sabotage(study, tmp_path, {run.identity: kill}):
        summary = run_study(study, options_in(tmp_path), views=lambda: [view])
    assert summary.trials["completed"] == 2
    assert [state for state in view.states if state != "running"] == ["waiting", "waiting", "done"]
    manifest = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path).find(run.identity)
    assert manifest is not None
    assert int(manifest.info["continued_after"]) >= 1, "it went on from a checkpoint"


def test_a_shared_stage_run_that_needs_too_much_memory_is_tried_once_more(tmp_path: Path) -> None:
    """Ray itself would try it again for ever."""
    study, view = shared_study(tmp_path, {"noop.memory": 10_000_000}), SharedStates()
    with pytest.raises(StudyError, match=r"which all trials need, failed"):
        run_study(study, options_in(tmp_path), views=lambda: [view])
    assert [state for state in view.states if state != "running"] == ["waiting", "waiting", "failed"]


@pytest.mark.long
def test_a_process_that_lost_its_device_runs_no_other_trial(tmp_path: Path) -> None:
    """As after a failed assertion on a GPU: each later call of the process would fail, too."""
    points: tuple[Point, ...] = ({"noop.value": 0.1, "noop.fail_at": 1}, {"noop.value": 0.2, "noop.fail_at": 0})
    domains = {name: Choice(choice=tuple(point[name] for point in points)) for name in points[0]}
    base = {"noop.fail_with": "CUDA error: device-side assert triggered", "noop.sleep": 1.3}
    usual = noop_study(tmp_path, "sampler: random\ntrials: 2")
    study = replace(usual, space=Space(domains, base=base, points=points))
    pids: dict[str, int] = {}
    acts = {trial: lambda pulse, trial=trial: pids.update({trial: pulse["pid"]}) for trial in ("t0000", "t0001")}
    with sabotage(study, tmp_path, acts):
        run_study(study, options_in(tmp_path, max_concurrent=1))
    bodies = ends(study, tmp_path)
    assert (bodies["t0000"]["cause"], bodies["t0000"]["attempts"]) == ("DEVICE_LOST", 2)
    assert bodies["t0001"]["outcome"] == "COMPLETED"
    assert pids["t0001"] != pids["t0000"]
