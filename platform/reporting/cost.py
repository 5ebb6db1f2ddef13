"""The compute time of a study, and the time that shared stage runs saved."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from platform.analysis.collect import AblationResult, AblationTrial
from platform.reporting.words import DASH
from platform.screen.units import duration
from trainables.pages.grid import Cell, Grid
from trainables.stage_table import STAGES


class Costed(Protocol):
    """A trial with the stage runs that it used."""

    @property
    def identities(self) -> Mapping[str, str]:
        """Stage to the identity of its run."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Stage to the seconds of its run."""


@dataclass(frozen=True)
class StageCost:
    """One stage over all trials that have ended."""

    stage: str
    needed: int
    """Number of stage runs that trials used."""
    distinct: int
    """Number of distinct stage runs, executed by this or an earlier study."""
    seconds: float
    """Compute time with each distinct run counted once."""
    alone: float
    """Compute time if trials did not share runs."""


def costs(trials: Iterable[Costed]) -> tuple[StageCost, ...]:
    """Return the cost of every stage, in the order of the pipeline."""
    uses: Counter[tuple[str, str]] = Counter()
    seconds_of: dict[tuple[str, str], float] = {}
    for trial in trials:
        for stage, seconds in trial.seconds.items():
            run = (stage, trial.identities[stage])
            uses[run] += 1
            seconds_of[run] = seconds
    stage_costs = []
    for stage in (name for name in STAGES if any(stage == name for stage, _ in uses)):
        own_runs = [run for run in uses if run[0] == stage]
        alone = sum(uses[run] * seconds_of[run] for run in own_runs)
        stage_costs.append(
            StageCost(
                stage,
                sum(uses[run] for run in own_runs),
                len(own_runs),
                sum(seconds_of[run] for run in own_runs),
                alone,
            )
        )
    return tuple(stage_costs)


def cost_table(stage_costs: Sequence[StageCost]) -> Grid:
    """Return the table of stage runs needed, executed and shared, with compute time and savings."""
    total = StageCost(
        "all",
        sum(cost.needed for cost in stage_costs),
        sum(cost.distinct for cost in stage_costs),
        sum(cost.seconds for cost in stage_costs),
        sum(cost.alone for cost in stage_costs),
    )
    rows = tuple(
        (
            Cell(cost.stage),
            Cell(f"{cost.needed:,}"),
            Cell(f"{cost.distinct:,}"),
            Cell(f"{cost.needed - cost.distinct:,}"),
            Cell(duration(cost.seconds)),
            Cell(duration(cost.alone)),
            Cell(duration(cost.alone - cost.seconds)),
        )
        for cost in (*stage_costs, total)
    )
    header = ("stage", "needed", "executed", "shared", "compute", "each trial alone", "saved")
    note = "Executed: each distinct stage run counts once, including runs that were stored before this study."
    return Grid("Cost", header, rows, (note,))


def trial_table(result: AblationResult, conditions: Sequence[str]) -> Grid:
    """Return the table of the compute time of a trial in each condition."""
    trials: dict[str, list[AblationTrial]] = {condition: [] for condition in conditions}
    for (condition, _, _), trial in result.trials.items():
        trials[condition].append(trial)
    rows = []
    for condition, trials_of_condition in trials.items():
        ended = sum(trial.outcome is not None for trial in trials_of_condition)
        times = [DASH if math.isnan(seconds) else duration(seconds) for seconds in _mean_seconds(trials_of_condition)]
        rows.append((Cell(condition), Cell(f"{ended:,} of {len(trials_of_condition):,}"), *map(Cell, times)))
    header = ("condition", "trials ended", "compute of a trial alone", "executed by itself")
    return Grid(
        "Trials",
        header,
        tuple(rows),
        ("Means over trials. Stage runs that a trial did not execute itself were shared.",),
    )


def _mean_seconds(trials: Sequence[AblationTrial]) -> tuple[float, float]:
    """Return the mean compute time of `trials` without sharing, and of what they executed; NaN if none has ended."""
    timed = [trial for trial in trials if trial.seconds]
    if not timed:
        return math.nan, math.nan
    seconds = [sum(s for stage, s in t.seconds.items() if t.identities[stage] in t.executed) for t in timed]
    return fmean(sum(t.seconds.values()) for t in timed), fmean(seconds)
