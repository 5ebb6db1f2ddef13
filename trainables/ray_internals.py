"""All private names of Ray that the project uses. No other file may use one.

A name is private if it starts with an underscore, or if Ray does not document its module or attribute. Therefore `ray`
is bounded to one minor version. After an upgrade, `tests/trainables/test_ray_internals.py` shows which names are gone
or behave differently. docs/scaling.md, "If a private name of Ray goes away", lists the replacements and their cost.

The driver (`platform/run/ray`) uses the first two parts, workers use the third. Ray Train's controller is imported
inside functions, because the import takes about half a second and the driver does not need it.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray._private import services
from ray._private.node import Node
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.air._internal import usage
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial

if TYPE_CHECKING:
    from ray.train import UserCallback

_UNUSED_PROCESSES = ("start_monitor", "start_log_monitor", "start_api_server")
"""Methods of a node, each of which starts a process."""
_REGISTERED = 30.0
"""Seconds for a node to register; then Ray's own wait begins."""
_LOOK = 0.02
"""Seconds between two looks."""

# ---- Ray's core, in the driver ----


def start_cluster(folder: str, **settings: Any) -> None:
    """Call `ray.init` for a new cluster on this machine that writes its sockets and logs below `folder`.

    Uses the argument `_temp_dir`. The variable RAY_TMPDIR does the same, but every process of the cluster inherits it.

    Ray has no option for any of these, so methods of `ray._private.node.Node` and a function of `ray._private.services`
    are replaced while it starts:

    - Three processes that a cluster of one machine has no use for are not started: autoscaler, reader of logs, and the
      dashboard's server (which `include_dashboard=False` starts, too). They take two fifths of the time.
    - The agent of the node listens on any free port. On its usual one it waits for more than three seconds where
      another cluster of this machine listens: that of a study beside this one, or of one that has just ended.
    - The driver looks every few hundredths of a second, not once a second, whether the node is there.
    """
    with _started_quickly():
        ray.init(_temp_dir=folder, **settings)


@contextmanager
def _started_quickly() -> Iterator[None]:
    replaced: dict[tuple[Any, str], Any] = {(Node, name): _start_nothing for name in _UNUSED_PROCESSES}
    replaced[Node, "start_raylet"] = _on_any_port(Node.start_raylet)
    replaced[services, "get_node"] = _when_registered(services.get_node)
    before = {(owner, name): getattr(owner, name) for owner, name in replaced}
    try:
        for (owner, name), value in replaced.items():
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)


def _start_nothing(node: Node, **settings: Any) -> None:
    """Start no process."""


def _on_any_port(start_raylet: Callable[..., Any]) -> Callable[..., Any]:
    def start(node: Any, *arguments: Any, **settings: Any) -> Any:
        node._ray_params.dashboard_agent_listen_port = 0
        return start_raylet(node, *arguments, **settings)

    return start


def _when_registered(get_node: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    def get(gcs_address: str, node_id: str) -> Any:
        client, end = GcsClient(address=gcs_address), time.monotonic() + _REGISTERED
        while node_id not in {node.hex() for node in client.get_all_node_info()} and time.monotonic() < end:
            time.sleep(_LOOK)
        return get_node(gcs_address, node_id)

    return get


def show_as_command(command: str) -> None:
    """Show `command` in Ray's job table as the command line of this process. Call this before `ray.init`.

    Replaces `ray._private.utils.get_entrypoint_name`. Ray has no option for this. Otherwise every user of a cluster can
    read the command line of every driver, passwords included.
    """
    ray._private.utils.get_entrypoint_name = lambda: command


def pass_nothing_to_trials() -> None:
    """Keep Ray Tune from giving each trial a runtime environment, with environment variables of the driver in it.

    Empties `ENV_VARS_TO_PROPAGATE` and `DEFAULT_ENV_VARS` of `ray.tune.execution.class_cache`. Ray has no option for
    this. Credentials are among these variables, and every user of a cluster can read runtime environments. Besides, the
    worker processes that Ray starts ahead have none, so each trial would wait for the start of another process. What
    trials need reaches them by the cluster's environment, or the job's.
    """
    class_cache.ENV_VARS_TO_PROPAGATE.clear()
    class_cache.DEFAULT_ENV_VARS.clear()


def end_cluster() -> None:
    """Call `ray.shutdown`; processes that `ray.init` started end at once, and do not get a second each to finish.

    Replaces `kill_all_processes` of `ray._private.worker._global_node`. Ray has no option for this. The raylet then
    ends no worker: workers end when they miss it, or `storage.owned_folders.kill_processes` ends them.
    """
    node = ray._private.worker._global_node
    if node is not None:
        kill = node.kill_all_processes
        node.kill_all_processes = lambda **how: kill(**{**how, "allow_graceful": False})
    with _no_collection():
        ray.shutdown()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect garbage now, and then none in any thread until the end.

    Tune leaves references to Ray's objects in cycles. A thread that collects one while Ray shuts down asks the core
    worker, which is gone, and Ray then ends this process with exit code 1, in the middle of whatever it does.
    """
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


# ---- Ray Tune, in the driver ----


def count_no_callbacks() -> None:
    """Keep `tune.run` from counting callbacks for usage statistics: it would import MLflow for that, for a second.

    Replaces `ray.air._internal.usage.tag_callbacks`, which does so even if statistics are switched off.
    """
    usage.tag_callbacks = lambda callbacks: False


def kill_worker(trial: Any) -> None:
    """Kill the process that runs `trial`, even if it is suspended. Tune then reports the trial as failed.

    Uses `Trial.temporary_state.ray_actor`. Tune's public API stops a trial only at its next result, and a stalled trial
    has none.
    """
    ray.kill(trial.temporary_state.ray_actor)


def error_text(trial: Any) -> str:
    """Return Tune's text about the failure of `trial`: a traceback, or how its process or node died.

    Uses `Trial.error_file`. `Trial.get_error` reads the copy in Tune's storage, which is written later.
    """
    return Path(trial.error_file).read_text(encoding="utf-8")


def stop_pending_trials(tune_controller: Any, count: int) -> None:
    """Stop the first `count` trials that wait for their placement group.

    Uses `TuneController.get_live_trials` and `stop_trial`. A scheduler gets the controller as an argument, but its
    methods are not documented. The public decisions (CONTINUE, PAUSE, STOP) exist only for trials that report.
    """
    pending = [trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING]
    for trial in pending[:count]:
        tune_controller.stop_trial(trial)


def keep_starting_workers(tune_controller: Any) -> None:
    """Keep Tune from ending a worker that is still starting when the worker of another trial becomes free.

    Tune gives the free worker to the trial whose own worker is starting, and ends that one. With trials shorter than
    the start of a worker, the study would run on a single worker. With this, the free worker waits for the next trial.

    A trial that still waits for its resources does take the free worker: after the loss of a node, the free worker may
    hold the only ones.

    Wraps `TuneController._maybe_reuse_cached_actor` and reads `_trial_to_actor`, `_resetting_trials` and
    `_actor_manager.is_actor_started`. Calls after the first do nothing.
    """
    controller = tune_controller._tune_controller
    if "_maybe_reuse_cached_actor" in vars(controller):
        return
    reuse = controller._maybe_reuse_cached_actor

    def reuse_unless_starting(trial: Any) -> bool:
        own = controller._trial_to_actor.get(trial)
        has_resources = own is not None and controller._actor_manager.is_actor_started(own)
        starting = has_resources and trial not in controller._resetting_trials
        return False if starting else bool(reuse(trial))

    controller._maybe_reuse_cached_actor = reuse_unless_starting


# ---- Ray Train, in the process of a trial or of a shared stage run ----

START_ERRORS: tuple[type[Exception], ...] = (WorkerGroupStartupTimeoutError, WorkerGroupStartupFailedError)
"""Ray Train's errors if a worker or its node is lost before all workers have started.

`trainables.failure` recognises them by their class names, since it does not import Ray.
"""


def death_of(failure: BaseException) -> BaseException | None:
    """Return Ray's error about the death of a worker process, if `failure` is one; else None.

    `failure` is a value of the public `WorkerGroupError.worker_failures`, whose classes are private.
    """
    return failure.health_check_failure if isinstance(failure, WorkerHealthCheckFailedError) else None


def raised_by(failure: BaseException) -> BaseException | None:
    """Return the exception that the code of a worker raised, if `failure` wraps one; else None.

    Uses `UserExceptionWithTraceback._base_exc`. The public error contains its traceback as text only.
    """
    return failure._base_exc if isinstance(failure, UserExceptionWithTraceback) else None


class RunsInThisProcess:
    """Mixin of a Ray Train trainer: its controller runs in this process, its workers in this placement group.

    Ray Train starts an actor for the controller, creates a placement group for each training, and starts a detached
    actor that removes the group later (ray issues 54305 and 65881). There is no option against this. Overrides
    `_create_default_callbacks` and `_initialize_and_run_controller`.
    """

    train_run_context: Any
    """Ray Train's description of this training."""
    report_callback: "UserCallback"
    """Receives each report in this process. It is not part of RunConfig, which is sent to the workers."""

    def _create_default_callbacks(self) -> list[Any]:
        from ray.train.v2._internal.callbacks import DatasetsCallback
        from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
        from ray.train.v2._internal.callbacks.user_callback import UserCallbackHandler

        unused = (DatasetsCallback, PlacementGroupCleanerCallback)
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        needed = [callback for callback in callbacks if not isinstance(callback, unused)]
        return [*needed, UserCallbackHandler([self.report_callback], self.train_run_context)]

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        from ray.train.v2._internal.execution.controller import TrainController

        policy = _fixed_scaling(settings["scaling_policy"].scaling_config)
        controller = TrainController(**{**settings, "scaling_policy": policy})
        controller.worker_group_cls = _WorkerGroup
        try:
            asyncio.run(controller.run())  # type: ignore[no-untyped-call]
            return controller.get_result()
        finally:
            group = controller.get_worker_group()
            if group is not None and group.has_started():
                group.abort()  # type: ignore[no-untyped-call]


class _PlacementGroup(DefaultPlacementGroupHandle):
    """The placement group of this process. The process that created it removes it."""

    def shutdown(self) -> None:
        """Keep the placement group."""


class _WorkerGroup(WorkerGroup):
    """Starts its workers in the placement group of this process instead of a new one."""

    def _create_placement_group(self, *_: Any) -> _PlacementGroup:
        group = ray.util.get_current_placement_group()
        assert group is not None, "the caller runs in a placement group with a bundle for each worker"
        return _PlacementGroup(group)


def _fixed_scaling(config: Any) -> Any:
    """Return Ray Train's policy for a fixed number of workers, without its requests to the autoscaler.

    The resources are already granted. Ray Train would start an actor that requests them a second time.
    """
    from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy

    class FixedScalingWithoutRequests(FixedScalingPolicy):
        def after_controller_start(self, train_run_context: Any) -> None:
            """Create no client of the autoscaler."""

        def _maybe_send_resource_request(self) -> None:
            pass

    return FixedScalingWithoutRequests(config)
