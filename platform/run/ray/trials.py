"""The trials of a study on Ray Tune."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from platform.run.admission import Grant, refuse_absent_gpu, share_out, trial_need
from platform.run.dispatch import Dispatcher
from platform.run.interrupt import Interrupt
from platform.run.ray.placement import Reservations, nodes
from platform.run.ray.schedulers import scheduler
from platform.run.ray.searcher import StudySearcher, TrialCallback
from platform.run.run_leases import RunLeases
from platform.run.stalls import StallDetector
from platform.study.study import Study
from trainables.on_ray import trial_function
from trainables.ray_internals.tune import count_no_callbacks, keep_no_state, look_up_once, pass_nothing_to_trials


def grant(study: Study, max_concurrent: int | None) -> Grant:
    """Return the resources of each trial of `study`. Raises `UserError` if the cluster can never hold a trial."""
    cluster = nodes()
    refuse_absent_gpu(study, has_gpu=any(node.gpus > 0 for node in cluster), where="no node of the cluster has a GPU")
    return share_out(study, cluster, max_concurrent)


@dataclass(frozen=True)
class Work:
    """A study that runs on the cluster, and the objects that it uses."""

    study: Study
    worker_settings: Mapping[str, str]
    """The settings of every worker: store URI, name of the study, scratch folder, cache, period of the pulses."""
    leases: RunLeases
    grant: Grant
    interrupt: Interrupt
    stalls: StallDetector


def run_trials(work: Work, dispatcher: Dispatcher, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Run the trials that `dispatcher` hands out, until there are no more.

    `curves` holds what trials have reported before, for the scheduler: trial to epoch to the value of the first target.
    """
    study, dispatcher.concurrent = work.study, work.grant.concurrent
    need = trial_need(study)
    reservations = Reservations(need, work.grant)
    config = {**work.worker_settings, "scheduled": study.scheduler.name != "fifo"}
    searcher = StudySearcher(dispatcher, config, reservations, work.interrupt)
    scratch = Path(work.worker_settings["scratch"])
    scratch.mkdir(parents=True, exist_ok=True)
    count_no_callbacks()
    pass_nothing_to_trials()
    look_up_once()
    keep_no_state()
    with tempfile.TemporaryDirectory(dir=scratch, prefix="tune-") as folder, reservations:
        tune.run(
            trial_function,
            name="trials",
            storage_path=folder,
            resources_per_trial=reservations,
            num_samples=-1,
            search_alg=searcher,
            scheduler=scheduler(study, curves, reservations.too_large),
            callbacks=[TrialCallback(dispatcher, searcher, work.stalls)],
            raise_on_failed_trial=False,
            # A reused coordinator keeps its placement group, and parts of it may be lost with a node.
            reuse_actors=not need.has_coordinator or sum(node.cpus > 0 for node in nodes()) == 1,
            trial_name_creator=_name,
            trial_dirname_creator=_folder,
            verbose=0,
        )


def _name(trial: Any) -> str:
    return str(trial.config["trial"])


def _folder(trial: Any) -> str:
    """Return a different name for each attempt: Tune writes the error of an attempt into its folder."""
    return f"{_name(trial)}-{trial.trial_id}"
