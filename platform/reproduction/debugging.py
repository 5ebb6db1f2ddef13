"""Runs stage runs of a recorded trial, with any outcome, in this process: a breakpoint in a stage stops there.

Results are not compared, and exceptions of stages are not caught, so that the user sees them.
"""

import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from platform.errors import UserError, nearest
from platform.reproduction.repeating import RepetitionStores
from platform.reproduction.restoring import config_and_identities
from platform.reproduction.selection import RecordedTrial
from storage.base import Store
from storage.runs import Artifacts, Manifest, RunStore
from trainables import execute as execution
from trainables.config.trial import TrialConfig
from trainables.graph import StageRun


@dataclass(frozen=True)
class DebugPlan:
    """The stage runs of a trial that are executed, and those that are only read."""

    trial: RecordedTrial
    config: TrialConfig
    run: tuple[StageRun, ...]
    """Inputs first."""
    read: tuple[StageRun, ...]
    """Inputs that are in the store."""


def plan_debugging(trial: RecordedTrial, recorded: RunStore, stages: Collection[str]) -> DebugPlan:
    """Return the plan for `trial`: run `stages`, or the stage runs that are not in `recorded`; and missing inputs.

    Raises:
        UserError: The trial has no such stage, all of its stage runs are stored, or this code gives them other
            identities.
    """
    names = [run.stage for run in trial.runs]
    for name in sorted(set(stages) - set(names)):
        raise UserError(f"--stage {name}: {trial.name} has no such stage; {nearest(name, names)}")
    config, facts = config_and_identities(trial)
    if config is None:
        reasons = "; ".join(f"{fact.what}: {fact.text}" for fact in facts if fact.state == "differs")
        raise UserError(f"{trial.name} cannot be run by this code: {reasons}")
    stored = {run.identity for run in trial.runs if recorded.find(run.identity) is not None}
    chosen = {run.identity for run in trial.runs if (run.stage in stages if stages else run.identity not in stored)}
    if not chosen:
        raise UserError(f"all stage runs of {trial.name} are stored; choose one with --stage: {', '.join(names)}")
    for run in reversed(trial.runs):
        if run.identity in chosen:
            chosen.update(set(run.inputs.values()) - stored)
    inputs = {identity for run in trial.runs if run.identity in chosen for identity in run.inputs.values()} - chosen
    return DebugPlan(
        trial,
        config,
        run=tuple(run for run in trial.runs if run.identity in chosen),
        read=tuple(run for run in trial.runs if run.identity in inputs),
    )


def debug_heading(plan: DebugPlan) -> str:
    """Return the stage runs that will be executed and read, as text."""
    outcome = plan.trial.result.outcome
    recorded_outcome = "unfinished" if outcome is None else outcome
    read = ", ".join(run.identity for run in plan.read)
    executed = ", ".join(run.identity for run in plan.run)
    return (
        f"{plan.trial.name} ({recorded_outcome} when recorded): runs {executed} in this "
        f"process, from the first epoch on; reads {read or 'no stored stage run'}"
    )


def debug_runs(plan: DebugPlan, stores: RepetitionStores) -> Iterator[tuple[StageRun, Manifest]]:
    """Execute the planned runs in sequence into `places.again`; yield each with its manifest.

    Exceptions of stages are not caught; `own_frames` removes the frames that do not belong to the stage.
    """
    recorded = RunStore(stores.recorded, cache=stores.scratch / "cache")
    runs = _FromBoth(stores.repeated, cache=stores.scratch / "cache", recorded=recorded)
    for run in plan.run:
        yield run, execution.execute(run, plan.config, runs=runs, scratch=stores.scratch)


def own_frames(error: BaseException) -> TracebackType | None:
    """Return the part of the traceback that begins in the code of the stage, or all of it if it failed before."""
    frames, is_inside = error.__traceback__, False
    while frames is not None:
        is_ours = frames.tb_frame.f_code.co_filename == execution.__file__
        if is_inside and not is_ours:
            return frames
        is_inside = is_inside or is_ours
        frames = frames.tb_next
    return error.__traceback__


def traceback_text(error: BaseException) -> str:
    """Return the traceback in Python's format, beginning in the code of the stage."""
    return "".join(traceback.format_exception(type(error), error, own_frames(error))).rstrip()


class _FromBoth(RunStore):
    """Writes stage runs to one store; reads inputs from it or, if they are missing, from the recorded runs."""

    def __init__(self, store: Store, *, cache: Path, recorded: RunStore) -> None:
        super().__init__(store, cache=cache)
        self._recorded = recorded

    def open(self, identity: str) -> Artifacts:
        """Return an input's artifacts."""
        return super().open(identity) if self.find(identity) is not None else self._recorded.open(identity)
