"""Ray: the cluster, the shared stage runs as its tasks, and the trials through Ray Tune."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from ray import tune

from platform.definition.study import Study
from platform.running.claims import Claims
from platform.running.dispatch import Dispatcher
from platform.running.failure import StudyError
from platform.running.interrupt import Interrupt
from platform.running.schedulers import scheduler
from platform.running.searcher import Steps, StudySearcher
from storage.runs import RunStore
from storage.uri import open_store
from trainables.execute import missing
from trainables.graph import STAGES, StageRun
from trainables.on_ray import shared_run, trial_function

_log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""No telemetry, no result files, no state files: the store has it all, and Tune's own cost about a second per trial."""
LOST_WORKERS = 2
"""How often a trial whose worker was lost (out of memory, a node gone) is started again before it counts as failed."""
_POLL = 0.2
"""Seconds between two looks at what tasks, and other drivers, have finished."""


@dataclass(frozen=True)
class Grant:
    """What each trial and task gets, and how many run at a time."""

    concurrent: int
    gpus: float
    cpus: int = 1


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address`, or start one on this machine's cores, and leave or end it afterwards.

    A cluster that this process is connected to already is used, and left alone.
    """
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    if ray.is_initialized():
        yield
        return
    # Under the system's own temporary folder, not under the home: the sockets' paths have at most 107 characters.
    folder = tempfile.mkdtemp(prefix="mindsweep-ray-") if address is None else None
    try:
        _connect(address, folder)
        yield
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str | None, folder: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if folder is not None:
            ray.init(num_cpus=os.cpu_count(), include_dashboard=False, _temp_dir=folder, **quiet)
        else:
            code = {"working_dir": str(ROOT), "excludes": ["/runs", "/.venv", "/.git"], "env_vars": SETTINGS}
            ray.init(address=address, runtime_env=code, **quiet)
    except Exception as error:  # Ray raises a bare Exception where a busy machine keeps it from starting in time
        where = "on this machine" if address is None else f"at {address}"
        raise StudyError(f"no Ray cluster {where}: {error} Nothing was run; the same command tries again.") from error


def grant(max_concurrent: int | None) -> Grant:
    """Share out the cluster: one CPU for each trial and, where there are GPUs, a whole one unless more are to run."""
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    wanted = max_concurrent if max_concurrent is not None else (min(cpus, gpus) if gpus > 0 else cpus)
    concurrent = max(1, min(wanted, cpus))
    return Grant(concurrent=concurrent, gpus=min(1.0, gpus / concurrent))


@dataclass(frozen=True)
class Work:
    """What runs on the cluster, and how."""

    study: Study
    place: Mapping[str, str]
    """Store URI, scratch folder and cache, for the workers."""
    claims: Claims
    grant: Grant
    interrupt: Interrupt


State = Literal["waiting", "running", "done", "cached", "failed"]
Tell = Callable[[StageRun, State], object]
"""Is told how far each shared stage run is."""


def run_shared(work: Work, shared: Sequence[StageRun], tell: Tell) -> int:
    """Run those of the `shared` stage runs (inputs first) that the store lacks; return how many were executed.

    Each waits as a Ray task for the tasks that make its inputs. One that another driver is making is waited for here,
    in the driver, so that no worker is held up by it. One that fails and that only some trials need is left to them:
    their records then tell why.

    Raises:
        StudyError: One failed that all trials need.
    """
    absent = missing(shared, RunStore(open_store(work.place["store"]), cache=Path(work.place["cache"])))
    for run in shared:
        tell(run, "waiting" if run.identity in absent else "cached")
    task = ray.remote(shared_run)
    most = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    waiting = {run.identity: run for run in shared if run.identity in absent}
    tasks: dict[str, Any] = {}
    running: dict[Any, StageRun] = {}
    begun: set[str] = set()
    executed = 0
    while waiting or running:
        work.interrupt.check()
        for run in tuple(waiting.values()):
            if waiting.keys() & run.inputs.values() or not work.claims.take(run.identity, [run.identity]):
                continue
            needed = [tasks[identity] for identity in run.inputs.values() if identity in tasks]
            cpus = max(1, min(STAGES[run.stage].cores, most))
            granted = task.options(num_cpus=cpus, num_gpus=work.grant.gpus)
            config = work.study.config_of(run).model_dump(mode="json")
            tasks[run.identity] = granted.remote(run.to_json(), config, work.place, *needed)
            running[tasks[run.identity]] = waiting.pop(run.identity)
        unmade = {run.identity for run in running.values()}
        for run in running.values():
            if run.identity not in begun and not unmade & set(run.inputs.values()):
                begun.add(run.identity)
                tell(run, "running")
        executed += _take_finished(work, running, tell)
    return executed


def _take_finished(work: Work, running: dict[Any, StageRun], tell: Tell) -> int:
    """Wait a moment and take what has finished out of `running`; return how many of these did not fail."""
    if not running:
        time.sleep(_POLL)
        return 0
    done = 0
    for reference in ray.wait(list(running), timeout=_POLL)[0]:
        run = running.pop(reference)
        work.claims.drop(run.identity)
        try:
            ray.get(reference)
        except ray.exceptions.RayError as error:
            tell(run, "failed")
            what = f"stage {run.stage} ({run.identity})"
            if work.study.is_needed_by_all(run):
                raise StudyError(f"{what}, which all trials need, failed:\n{error}") from None
            _log.warning("%s failed; the trials that need it will tell why", what)
            continue
        tell(run, "done")
        done += 1
    return done


def run_trials(work: Work, dispatcher: Dispatcher, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Run what `dispatcher` hands out until it has no more.

    `curves` is what finished trials reported before: trial to epoch to the first target's value, for the scheduler.
    """
    study, dispatcher.concurrent = work.study, work.grant.concurrent
    searcher = StudySearcher(dispatcher, {**work.place, "scheduled": study.scheduler.name != "fifo"})
    scratch = Path(work.place["scratch"])
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="tune-") as folder:
        tune.run(
            trial_function,
            name="trials",
            storage_path=folder,
            resources_per_trial={"cpu": work.grant.cpus, "gpu": work.grant.gpus},
            num_samples=-1,
            search_alg=searcher,
            scheduler=scheduler(study, curves),
            callbacks=[Steps(dispatcher, searcher.trials, work.interrupt)],
            max_failures=LOST_WORKERS,
            raise_on_failed_trial=False,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
            verbose=0,
        )


def _name(trial: Any) -> str:
    return str(trial.config["trial"])
