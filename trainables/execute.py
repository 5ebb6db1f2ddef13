"""Execution of stage runs against a store: each identity is computed once, artifacts first, manifest last.

A stage run that is already in the store is read, not executed. Checkpoints are stored by identity, so an interrupted
stage run continues on any node that executes it next.
"""

import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from storage.runs import Artifacts, Manifest, RunStore
from trainables.allocator import freed_memory_kept
from trainables.config.trial import TrialConfig, config_from_json
from trainables.context import Context, EpochReport, Part, StageFunction, StageResult, StageTask, silent
from trainables.gpu import stated_products
from trainables.graph import StageRun, checkpoint_share, decoder_kind, stage_function
from trainables.heard_warnings import hearing_warnings
from trainables.keeping import BackgroundCheckpoints, Pace
from trainables.provenance import code_facts
from trainables.spec import TrialSpec
from trainables.telemetry import Telemetry
from trainables.threads import limit_loaded
from trainables.unchanged import unchanged_files

UNDER_RAY_TRAIN = "ray_train"
"""In the facts of a manifest: how many workers of Ray Train executed the stage run. Absent if none did."""
WARNINGS = "warnings"
"""In the facts of a manifest: the warnings of the stage run, one a line. Absent or empty if there were none."""
Row = dict[str, Any]
"""The metrics of one epoch of one stage: {stage, epoch, metrics, time}, plain JSON values."""


class RowReport(Protocol):
    """Receives rows. `live` is true if the epoch was just trained, false if it was read from the store."""

    def __call__(self, row: Row, *, live: bool) -> None:
        """Receive one row."""


class Maker(Protocol):
    """Executes a stage run that is not in the store, and returns its manifest."""

    def __call__(self, run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, part: Part) -> Manifest:
        """Execute `run`; call `part.report` after each epoch."""


@dataclass(frozen=True)
class TrialResult:
    """The results of a finished trial, as plain JSON values."""

    metrics: Mapping[str, float]
    """`stage.metric` to value, for all stages. Values that are not finite are left out."""
    runs: Mapping[str, Mapping[str, Any]]
    """Stage to {identity, reused, seconds}. For a reused stage run, `seconds` is the time of its first execution, and
    `made_by` says which code made it if that was another."""
    warnings: tuple[str, ...] = ()
    """The warnings of all its stage runs, each with the name of the stage."""


def execute(
    run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, report: EpochReport = silent
) -> Manifest:
    """Return the manifest of `run`. The stage run is executed first if the store does not have it intact.

    Example:
        >>> from trainables.graph import stage_runs
        >>> config = TrialConfig.model_validate({"noop": {"value": 0.5, "epochs": 2}})
        >>> (run,) = stage_runs(config, seed=0, targets=["noop"])
        >>> execute(run, config, runs=runs, scratch=folder).metrics  # runs: RunStore, folder: Path
        {'value': 0.5}

    Raises:
        IntegrityError: The store holds another config under this identity.
        NotFoundError: An input is not in the store.
        ChangedError: The files of the data set, or the weights, are not those that `run` was planned with.
    """
    return find_intact(run, runs) or execute_anew(run, config, runs=runs, scratch=scratch, part=Part(report))


def execute_anew(run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, part: Part) -> Manifest:
    """Execute `run`, alone or as one of several worker processes. The process of rank 0 commits the artifacts.

    Returns:
        The manifest. In processes of other ranks it is not stored and lists no files.
    """
    function: StageFunction = stage_function(config, run.stage)
    limit_loaded()
    part.telemetry.begins(run.stage)
    with part.telemetry.spending("data"):
        inputs = {name: runs.open(identity) for name, identity in run.inputs.items()}
    checkpoints = runs.checkpoints(run.identity, code=code_facts()["code"])
    scratch.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with _work_folders(scratch, run) as (output, staging):
        pace = Pace(checkpoint_share(config, run.stage))
        background = BackgroundCheckpoints(checkpoints, part.telemetry.warn, pace=pace)
        context = Context(output, background, part.report, part.rank, part.world_size, part.telemetry, pace, staging)
        heard = len(part.telemetry.warnings)
        try:
            with (
                unchanged_files(run, config),
                hearing_warnings(part.telemetry.hear),
                stated_products(),
                freed_memory_kept(),
            ):
                result = function(StageTask(config=config, seed=run.seed, inputs=inputs, context=context))
            if part.rank == 0:
                _check_of_plugin(run.stage, config, output, inputs)
        finally:  # the process that continues this run, possibly at once, must find a complete checkpoint
            with part.telemetry.spending("checkpoint"):
                background.drain()
        result = with_warnings(result, part.telemetry.warnings[heard:])
        manifest = _manifest(run, result, time.monotonic() - started)
        if part.under_ray_train:
            manifest = replace(manifest, info={**manifest.info, UNDER_RAY_TRAIN: f"{part.world_size} worker(s)"})
        if part.rank > 0:
            return manifest
        manifest = runs.commit(manifest, output)
    checkpoints.clear()
    return manifest


@contextmanager
def _work_folders(scratch: Path, run: StageRun) -> Iterator[tuple[Path, Path]]:
    """Yield two empty folders below `scratch`: for the artifacts of `run`, and for its checkpoints in the making."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{run.identity}-") as folder:
        output, staging = Path(folder, "output"), Path(folder, "staging")
        output.mkdir()
        staging.mkdir()
        yield output, staging


def _check_of_plugin(stage: str, config: TrialConfig, folder: Path, inputs: Mapping[str, Artifacts]) -> None:
    """Raise `ValueError` if a plug-in's decoder wrote other predictions than those of `stage`."""
    kind = decoder_kind(config, stage)
    if kind is not None:
        from trainables.plugins.written_predictions import check_predictions  # torch, only if it is needed

        check_predictions(stage, kind.name, folder, inputs=inputs)


def execute_trial(
    spec: TrialSpec,
    *,
    runs: RunStore,
    scratch: Path,
    report: RowReport,
    make: Maker = execute_anew,
    telemetry: Telemetry | None = None,
) -> TrialResult:
    """Run the stages of `spec` in order.

    `report` receives every epoch of every stage once, also of stage runs that are read from the store. `make` executes
    the stage runs that are not in the store. `telemetry` records the progress and how the time is spent.
    """
    watch = telemetry if telemetry is not None else Telemetry()
    config = config_from_json(spec.config)
    with watch.spending("data"):
        absent = missing_runs(spec.runs, runs)
    metrics: dict[str, float] = {}
    stages: dict[str, dict[str, Any]] = {}
    warnings: list[str] = []
    for run in spec.runs:
        live = _LiveRows(run.stage, report, watch)
        with watch.spending("data"):
            reused = None if run.identity in absent else _stored(run, runs)
        part = Part(live, telemetry=watch)
        manifest = reused or make(run, config, runs=runs, scratch=scratch, part=part)
        for epoch, values in enumerate(manifest.history, start=1):
            if epoch not in live.seen:
                report(row(run.stage, epoch, values), live=False)
        metrics |= {f"{run.stage}.{name}": value for name, value in finite(manifest.metrics).items()}
        stages[run.stage] = {"identity": run.identity, "reused": reused is not None, "seconds": manifest.seconds}
        stages[run.stage] |= {} if reused is None else made_by(manifest)
        warnings += warnings_of(manifest)
    return TrialResult(metrics, stages, tuple(dict.fromkeys(warnings)))


def made_by(manifest: Manifest) -> dict[str, str]:
    """Return, under `made_by`, which code made a stage run; empty if it was this code."""
    made, now = manifest.info.get("code", "unknown"), code_facts()["code"]
    if made == now:
        return {}
    commit = manifest.info.get("commit")
    at = (
        ""
        if commit is None
        else f", commit {commit[:12]}{' with changes' if manifest.info.get('dirty') == 'true' else ''}"
    )
    return {"made_by": f"code {made}{at}; this is code {now}"}


def warnings_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the warnings of a finished stage run, each with the name of the stage."""
    texts = manifest.info.get(WARNINGS, "").splitlines()
    return tuple(f"{manifest.stage}: {text.removeprefix(f'{manifest.stage}: ')}" for text in texts if text)


def with_warnings(result: StageResult, heard: Sequence[str]) -> StageResult:
    """Return `result` with the warnings that were heard beside its own."""
    own = result.info.get(WARNINGS, "").splitlines()
    lines = dict.fromkeys((*own, *heard))
    return replace(result, info={**result.info, WARNINGS: "\n".join(lines)}) if lines else result


def missing_runs(needed: Sequence[StageRun], runs: RunStore) -> frozenset[str]:
    """Return the identities of the stage runs in `wanted` (inputs first) that the store does not have intact.

    The inputs of a missing stage run are verified byte by byte, because a damaged input would end the run.
    """
    absent: set[str] = set()
    inputs: set[str] = set()
    for run in reversed(needed):
        if _stored(run, runs, deep=run.identity in inputs) is None:
            absent.add(run.identity)
            inputs.update(run.inputs.values())
    return frozenset(absent)


def find_intact(run: StageRun, runs: RunStore) -> Manifest | None:
    """Return the manifest of `run` if the store holds it and its artifacts, verified byte by byte; else None.

    Raises:
        IntegrityError: The store holds another config under this identity.
    """
    return _stored(run, runs, deep=True)


def _stored(run: StageRun, runs: RunStore, *, deep: bool = False) -> Manifest | None:
    stored = runs.find(run.identity, deep=deep)
    if stored is not None:
        stored.require_same_run(replace(stored, config=run.config, seed=run.seed, inputs=run.inputs))
    return stored


def _manifest(run: StageRun, result: StageResult, seconds: float) -> Manifest:
    return Manifest(
        identity=run.identity,
        stage=run.stage,
        config=run.config,
        seed=run.seed,
        inputs=run.inputs,
        files={},
        metrics=finite(result.metrics),
        history=tuple(map(finite, result.history)),
        info={**environment(), **result.info},
        created=time.time(),
        seconds=seconds,
    )


class _LiveRows:
    """Reports the epochs of a running stage as rows, and remembers their numbers."""

    def __init__(self, stage: str, report: RowReport, telemetry: Telemetry) -> None:
        self._stage = stage
        self._report = report
        self.telemetry = telemetry
        self.seen: set[int] = set()

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.seen.add(epoch)
        self.telemetry.reached(epoch, finite(metrics))
        with self.telemetry.spending("report"):
            self._report(row(self._stage, epoch, metrics), live=True)


def row(stage: str, epoch: int, metrics: Mapping[str, float]) -> Row:
    """Return the row of one epoch, with the current time in seconds since 1970."""
    return {"stage": stage, "epoch": epoch, "metrics": finite(metrics), "time": time.time()}


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the finite values of `metrics` as plain floats. JSON has no NaN."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def environment() -> dict[str, str]:
    """Return facts about this process and machine for a manifest. None of them affects a result."""
    uname = os.uname()
    facts = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "system": f"{uname.sysname} {uname.machine}",
        "host": uname.nodename,
        "cores": str(os.cpu_count()),
    }
    for library in ("numpy", "torch"):
        if library in sys.modules:
            facts[library] = str(sys.modules[library].__version__)
    torch = sys.modules.get("torch")
    threads = {} if torch is None else {"threads": str(torch.get_num_threads())}
    return {**facts, **threads, **code_facts()}
