"""Ray: the cluster, and the trials through Ray Tune."""

import logging
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune
from ray.tune.execution import class_cache

from platform.errors import StudyError
from platform.run.admission import Grant, share_out, trial_need
from platform.run.dispatch import Dispatcher
from platform.run.interrupt import Interrupt
from platform.run.owned_folders import make_folder
from platform.run.ray.code_upload import runtime_environment
from platform.run.ray.placement import Places, nodes
from platform.run.ray.schedulers import scheduler
from platform.run.ray.searcher import Steps, StudySearcher
from platform.run.run_leases import Claims
from platform.run.stalls import Watch
from platform.study.study import Study
from platform.tracking_uri import without_secrets
from trainables.on_ray import trial_function

_log = logging.getLogger(__name__)
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""No telemetry, no result files, no state files: the store has it all, and Tune's own cost about a second per trial.

Ray Train looks after reports as often as it looks after its workers' health.
"""


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address`, or start one on this machine's cores, and leave or end it afterwards.

    A cluster that this process is connected to already is used, and left alone.
    """
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    _keep_secrets()
    if ray.is_initialized():
        yield
        return
    # Under the system's own temporary folder, not under the home: the sockets' paths have at most 107 characters.
    folder = str(make_folder("mindsweep-ray-")) if address is None else None
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
            ray.init(address=address, runtime_env=runtime_environment(SETTINGS), **quiet)
    except Exception as error:  # Ray raises a bare Exception where a busy machine keeps it from starting in time
        where = "on this machine" if address is None else f"at {address}"
        raise StudyError(f"no Ray cluster {where}: {error} Nothing was run; the same command tries again.") from error


def _keep_secrets() -> None:
    """Keep from Ray's logs and job table, which all users of a cluster read, what opens the store and databases.

    Tune would copy AWS credentials into the runtime environment of every trial, and Ray keeps the driver's command
    line. Workers have the credentials of their node: its environment, profile or role.
    """
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(
        {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
    )
    command = without_secrets(shlex.join(psutil.Process().cmdline()))
    ray._private.utils.get_entrypoint_name = lambda: command


def grant(study: Study, max_concurrent: int | None) -> Grant:
    """Share out the cluster among the trials of `study`. Raises `UserError` if it can never hold one."""
    return share_out(study, nodes(), max_concurrent)


@dataclass(frozen=True)
class Work:
    """What runs on the cluster, and how."""

    study: Study
    place: Mapping[str, str]
    """Store URI, scratch folder and cache, for the workers."""
    claims: Claims
    grant: Grant
    interrupt: Interrupt
    watch: Watch


def run_trials(work: Work, dispatcher: Dispatcher, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Run what `dispatcher` hands out until it has no more.

    `curves` is what trials reported before: trial to epoch to the first target's value, for the scheduler.
    """
    study, dispatcher.concurrent = work.study, work.grant.concurrent
    need = trial_need(study)
    places = Places(need, work.grant)
    config = {**work.place, "scheduled": study.scheduler.name != "fifo"}
    searcher = StudySearcher(dispatcher, config, places, work.interrupt)
    scratch = Path(work.place["scratch"])
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="tune-") as folder, places:
        tune.run(
            trial_function,
            name="trials",
            storage_path=folder,
            resources_per_trial=places,
            num_samples=-1,
            search_alg=searcher,
            scheduler=scheduler(study, curves, places.stranded),
            callbacks=[Steps(dispatcher, searcher, work.watch)],
            raise_on_failed_trial=False,
            # With its coordinator a trial takes over places of workers, some of which a lost node may take along.
            reuse_actors=need.workers == 1 or sum(node.cpus > 0 for node in nodes()) == 1,
            trial_name_creator=_name,
            trial_dirname_creator=_folder,
            verbose=0,
        )


def _name(trial: Any) -> str:
    return str(trial.config["trial"])


def _folder(trial: Any) -> str:
    """Return a name of its own for each attempt: Tune puts the errors of one into its folder."""
    return f"{_name(trial)}-{trial.trial_id}"
