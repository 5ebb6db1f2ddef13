"""Runs stage runs against a store: one execution for each identity, artifacts first, manifest last.

A stage run that the store holds already is read, not run. One that was interrupted finds its checkpoints by its
identity, so whoever runs it next, wherever, continues it.
"""

import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from storage.runs import Manifest, RunStore
from trainables.config.trial import TrialConfig
from trainables.context import Context, EpochReport, Part, StageFunction, StageResult, StageTask, silent
from trainables.graph import STAGES, StageRun, resolve_reference
from trainables.keeping import BackgroundCheckpoints
from trainables.provenance import code_facts
from trainables.spec import TrialSpec
from trainables.telemetry import Telemetry

Row = dict[str, Any]
"""The metrics of one epoch of one stage: {stage, epoch, metrics, time}, plain JSON values."""


class RowReport(Protocol):
    """Receives rows; `live` tells an epoch that was just trained from one that was read back."""

    def __call__(self, row: Row, *, live: bool) -> None:
        """Take in one row."""


class Maker(Protocol):
    """Executes a stage run that the store does not hold, and returns its manifest."""

    def __call__(self, run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, part: Part) -> Manifest:
        """Execute `run`, telling `part.report` about its epochs."""


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial yields, as plain JSON values."""

    metrics: Mapping[str, float]
    """`stage.metric` to value, of all stages; values that are not finite are left out."""
    runs: Mapping[str, Mapping[str, Any]]
    """Stage to {identity, reused, seconds}: the seconds are those of the real execution, whenever that was."""


def execute(
    run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, report: EpochReport = silent
) -> Manifest:
    """Return the manifest of `run`, running it first if the store does not hold it intact.

    Raises:
        IntegrityError: The store holds another config under this identity.
        NotFoundError: An input is not in the store.
    """
    return find_intact(run, runs) or execute_anew(run, config, runs=runs, scratch=scratch, part=Part(report))


def execute_anew(run: StageRun, config: TrialConfig, *, runs: RunStore, scratch: Path, part: Part) -> Manifest:
    """Execute `run`, or take part in that as one of several processes; the first of them commits what it made.

    Returns:
        The manifest; that of another process than the first is not stored, and says nothing of files.
    """
    function: StageFunction = resolve_reference(STAGES[run.stage].implementation)
    _limit_threads()
    part.telemetry.begins(run.stage)
    with part.telemetry.spending("data"):
        inputs = {name: runs.open(identity) for name, identity in run.inputs.items()}
    checkpoints = runs.checkpoints(run.identity)
    scratch.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{run.identity}-") as folder:
        kept = BackgroundCheckpoints(checkpoints, part.telemetry.warn)
        context = Context(Path(folder), kept, part.report, part.rank, part.world_size, part.telemetry)
        try:
            result = function(StageTask(config=config, seed=run.seed, inputs=inputs, context=context))
        finally:  # whoever goes on with this run, be it at once, finds all of its last checkpoint
            with part.telemetry.spending("checkpoint"):
                kept.drain()
        manifest = _manifest(run, result, time.monotonic() - started)
        if part.rank > 0:
            return manifest
        manifest = runs.commit(manifest, Path(folder))
    checkpoints.clear()
    return manifest


def execute_trial(
    spec: TrialSpec,
    *,
    runs: RunStore,
    scratch: Path,
    report: RowReport,
    make: Maker = execute_anew,
    telemetry: Telemetry | None = None,
) -> TrialResult:
    """Run the stages of `spec` in order; `report` sees every epoch of every stage once, read-back ones included.

    `make` executes those that the store lacks; `telemetry` is told how far it is and where the time goes.
    """
    told = telemetry if telemetry is not None else Telemetry()
    config = TrialConfig.model_validate(spec.config)
    with told.spending("data"):
        absent = missing_runs(spec.runs, runs)
    metrics: dict[str, float] = {}
    done: dict[str, dict[str, Any]] = {}
    for run in spec.runs:
        live = _LiveRows(run.stage, report, told)
        with told.spending("data"):
            reused = None if run.identity in absent else _stored(run, runs)
        part = Part(live, telemetry=told)
        manifest = reused or make(run, config, runs=runs, scratch=scratch, part=part)
        for epoch, values in enumerate(manifest.history, start=1):
            if epoch not in live.seen:
                report(row(run.stage, epoch, values), live=False)
        metrics |= {f"{run.stage}.{name}": value for name, value in finite(manifest.metrics).items()}
        done[run.stage] = {"identity": run.identity, "reused": reused is not None, "seconds": manifest.seconds}
    return TrialResult(metrics, done)


def missing_runs(wanted: Sequence[StageRun], runs: RunStore) -> frozenset[str]:
    """Return the identities of those of `wanted` (inputs first) that the store does not hold intact.

    What a missing one reads is checked byte by byte: an input found damaged in the middle of a run would end it.
    """
    absent: set[str] = set()
    read: set[str] = set()
    for run in reversed(wanted):
        if _stored(run, runs, deep=run.identity in read) is None:
            absent.add(run.identity)
            read.update(run.inputs.values())
    return frozenset(absent)


def find_intact(run: StageRun, runs: RunStore) -> Manifest | None:
    """Return the manifest of `run` if the store holds it and, byte by byte, what it made.

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
    """Passes the epochs of a running stage on as rows, and remembers which."""

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
    """Return the row of one epoch, stamped with the time of now (seconds since 1970)."""
    return {"stage": stage, "epoch": epoch, "metrics": finite(metrics), "time": time.time()}


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the finite ones of `metrics`, as plain floats: JSON knows no NaN."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def environment() -> dict[str, str]:
    """Return where this process runs: facts for a manifest, none of which decides a result."""
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


def _limit_threads() -> None:
    """Let torch, if the stage loaded it, use as many threads as Ray granted CPUs: one unless the grant says more."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
