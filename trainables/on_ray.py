"""The functions that run on Ray: a trial as a Tune function, a shared stage run as a task. They exchange JSON.

A failed trial does not raise. Its last result holds the traceback, so the study continues and the failure is recorded.
The exception is a lost device: an error makes Tune end the process, which could not run another trial.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
from ray import tune

from storage.errors import StoreError
from storage.runs import Manifest, RunStore
from storage.uri import open_store
from trainables.attempt import Decisions, attempt
from trainables.config.trial import TrialConfig, config_from_json
from trainables.context import Part
from trainables.execute import Row, execute_anew, find_intact
from trainables.failure import DeviceLostError
from trainables.gpu import granted_gpu
from trainables.graph import StageRun, always_uses_ray_train, workers_of
from trainables.plugins.active import Plugins
from trainables.plugins.recorded import digests_from_text, fetch_plugins
from trainables.scratch import on_this_node, remove_scratch, scratch_problem
from trainables.spec import TrialSpec
from trainables.telemetry import PERIOD, Telemetry
from trainables.threads import limited_threads

EPOCH = "epoch"
"""Key of a result: the epoch of the target's stage, for the scheduler's decision."""
TARGET = "target"
"""Key of a result: the target's value at that epoch."""
ROWS = "rows"
"""Key of a result: the rows since the last result. They are JSON text, so that Tune does not traverse them."""
SAMPLES = "samples"
"""Key of a result: the samples of resource use since the last result (`trainables.telemetry`), as JSON text."""
ENDED = "ended"
"""Key of a trial's last result: the fields of its `finished` event that the worker knows, as JSON text."""
DONE = "done"
"""Key of the last result, defined by Tune. It saves the round trip in which Tune asks for a further result."""

_EVERY_WORKER = ("store", "study", "plugins", "scratch", "cache")
"""The settings that each of several workers of a stage run needs."""
_PERIOD = 1.0
"""Seconds between two results if no scheduler waits for them. Each result costs the driver some milliseconds."""


def trial_function(config: Mapping[str, Any]) -> None:
    """Run the trial `config["spec"]` (TrialSpec as JSON text) with the store, scratch and cache that `config` names.

    If `config["scheduled"]` is true, each epoch of the target's stage is sent as a result, and the scheduler may stop
    the trial. The last epoch is exempt, so that a fully trained stage is kept. Other rows are sent about every second.

    Raises:
        DeviceLostError: The GPU of this process is lost.
    """
    spec = TrialSpec.from_json(json.loads(config["spec"]))
    started = time.monotonic()
    with _plugins(config).active(), _granted():
        _run_trial(spec, config, started)


def _run_trial(spec: TrialSpec, config: Mapping[str, Any], started: float) -> None:
    with _telemetry(config, spec.trial) as telemetry:
        rows = _Rows(telemetry, Decisions(spec) if config["scheduled"] else None)
        fields = _finished_fields(spec, config, rows, telemetry)
    if fields.get("cause") == "DEVICE_LOST":
        raise DeviceLostError(fields["error"])
    fields["seconds"] = time.monotonic() - started
    tune.report({**rows.take(), ENDED: json.dumps(fields), DONE: True})


def _finished_fields(spec: TrialSpec, config: Mapping[str, Any], rows: "_Rows", telemetry: Telemetry) -> dict[str, Any]:
    """Run the trial and return the fields of its `finished` event. A failure is returned, not raised."""
    runs, scratch = _runs(config), _scratch(config)
    fields = attempt(spec, runs=runs, scratch=scratch, report=rows, make=_Maker(config), telemetry=telemetry)
    return {**fields, **({"workers": len(granted)} if (granted := _bundles()) else {})}


def shared_run(run: Mapping[str, Any], config: Mapping[str, Any], settings: Mapping[str, Any], *inputs: str) -> str:
    """Execute a stage run that several trials need, and return its identity.

    `settings` are the same as in the config of `trial_function`: store, scratch, cache, study and pulse. `inputs` are
    the results of the tasks that compute its inputs. Ray starts this task when they are available.
    """
    stage_run = StageRun.from_json(run)
    runs = _runs(settings)
    with (
        _plugins(settings).active(),
        _granted(),
        _telemetry(settings, stage_run.identity) as telemetry,
    ):
        if find_intact(stage_run, runs) is None:
            part = Part(telemetry.reached, telemetry=telemetry)
            whole = config_from_json(config)
            _Maker(settings)(stage_run, whole, runs=runs, scratch=_scratch(settings), part=part)
    return stage_run.identity


class SharedRun:
    """`shared_run` as an actor, for a stage run under Ray Train, whose controller must run in an actor."""

    def run(self, *arguments: Any) -> str:
        """Call `shared_run`."""
        return shared_run(*arguments)


class _Maker:
    """Executes stage runs on the number of workers in their config, or on the granted number if that is smaller."""

    def __init__(self, worker_settings: Mapping[str, Any]) -> None:
        self._worker_settings = {name: worker_settings[name] for name in _EVERY_WORKER}

    def __call__(self, run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, part: Part) -> Manifest:
        """Execute `run`."""
        granted = _bundles()
        workers = min(workers_of(config, run.stage)[1], max(1, len(granted)))
        # If the workers have GPUs, this process has none, so a run on one worker is sent to a worker, too.
        needs_worker = any(bundle.get("GPU", 0) > 0 for bundle in granted) or always_uses_ray_train(config, run.stage)
        if not granted or (workers == 1 and not needs_worker):
            return execute_anew(run, config, runs=runs, scratch=scratch, part=part)
        from trainables.on_workers import run_on_workers  # takes a second or two to import

        part.telemetry.begins(run.stage)
        settings = {
            "run": run.to_json(),
            "config": config.model_dump(mode="json"),
            "worker_settings": self._worker_settings,
        }
        scratch.mkdir(parents=True, exist_ok=True)
        run_on_workers(_take_part, settings, granted[:workers], part.report, scratch=scratch)
        manifest = runs.find(run.identity)
        assert manifest is not None, "worker 0 committed the manifest"
        return manifest


def _bundles() -> list[dict[str, float]]:
    """Return the resources reserved for each worker, or an empty list if this process has resources of its own."""
    group, context = ray.util.get_current_placement_group(), ray.get_runtime_context()
    own = context.get_assigned_resources()  # type: ignore[no-untyped-call]
    return [] if group is None or own else list(group.bundle_specs)


@contextmanager
def _granted() -> Iterator[None]:
    """Use the CPUs and the share of a GPU that Ray granted to this process. A coordinator has none and uses one CPU."""
    granted = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    with limited_threads(max(1, int(granted.get("CPU", 1)))), granted_gpu(granted.get("GPU", 0)):
        yield


def _take_part(settings: dict[str, Any]) -> None:
    """Execute a stage run as one of Ray Train's workers."""
    from trainables.on_workers import part_of_worker

    run, worker_settings = StageRun.from_json(settings["run"]), settings["worker_settings"]
    runs, scratch = _runs(worker_settings), _scratch(worker_settings)
    with _plugins(worker_settings).active(), _granted():
        execute_anew(run, config_from_json(settings["config"]), runs=runs, scratch=scratch, part=part_of_worker())


def unseen(settings: Mapping[str, Any], key: str) -> str | None:
    """Return why this node cannot work with the worker `settings` and the store that holds `key`, or None if it can."""
    if (problem := scratch_problem()) is not None:
        return problem
    try:
        return None if open_store(settings["store"]).exists(key) else f"the store has no {key} when this node reads it"
    except (StoreError, ValueError) as error:
        return str(error)


def clear_node(settings: Mapping[str, Any]) -> None:
    """Remove the scratch folder of the worker `settings` on this node. No worker of the study may run."""
    remove_scratch(settings["scratch"])


class _Rows:
    """Sends rows to Tune in batches. Rows that a scheduler decides on are sent at once, with the target's value.

    Rows read from the store are not sent to the scheduler: a stage that is already computed is not stopped.
    """

    def __init__(self, telemetry: Telemetry, decisions: Decisions | None) -> None:
        self._telemetry = telemetry
        self._decisions = decisions
        self._rows: list[Row] = []
        self._sent = time.monotonic()

    def __call__(self, row: Row, *, live: bool) -> None:
        self._rows.append(row)
        value = None if self._decisions is None else self._decisions.value(row, live=live)
        if value is not None:
            self._send({EPOCH: row["epoch"], TARGET: value})
        elif time.monotonic() - self._sent >= _PERIOD:
            self._send({})

    def take(self) -> dict[str, str]:
        """Return the rows and samples that are not sent yet, as JSON texts, and clear them."""
        rows, self._rows = self._rows, []
        return {ROWS: json.dumps(rows), SAMPLES: json.dumps(self._telemetry.take())}

    def _send(self, decision: Mapping[str, Any]) -> None:
        tune.report({**self.take(), **decision})
        self._sent = time.monotonic()


def _telemetry(settings: Mapping[str, Any], name: str) -> Telemetry:
    period, node = min(PERIOD, float(settings["pulse"])), ray.get_runtime_context().get_node_id()
    return Telemetry(open_store(settings["store"]), study=settings["study"], name=name, node=node, period=period)


def _plugins(settings: Mapping[str, Any]) -> Plugins:
    """Return the plug-ins of the study, loaded from its records in the store."""
    return _fetched(settings["store"], settings["study"], settings["plugins"])


@lru_cache(maxsize=8)  # a process executes many trials of a study; the digests say which source it is
def _fetched(store: str, study: str, digests: str) -> Plugins:
    return fetch_plugins(open_store(store), study, digests_from_text(digests))


def _runs(settings: Mapping[str, Any]) -> RunStore:
    return RunStore(open_store(settings["store"]), cache=on_this_node(settings["cache"]))


def _scratch(settings: Mapping[str, Any]) -> Path:
    return on_this_node(settings["scratch"])
