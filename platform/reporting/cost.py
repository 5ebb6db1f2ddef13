"""What an ablation cost, and what sharing stage runs saved."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from platform.analysis.collect import AblationResult, AblationTrial
from platform.reporting.words import DASH
from platform.screen.units import duration
from trainables.graph import STAGES
from trainables.pages.grid import Cell, Grid


@dataclass(frozen=True)
class StageCost:
    """One stage over all trials that have ended."""

    stage: str
    needed: int
    """Stage runs that trials asked for."""
    distinct: int
    """Stage runs that were executed once for all of them, now or earlier."""
    seconds: float
    """Of compute, each distinct run once."""
    alone: float
    """Of compute, had every trial run by itself."""


def costs(result: AblationResult) -> tuple[StageCost, ...]:
    """Return the cost of every stage, in the order of the pipeline."""
    uses: Counter[tuple[str, str]] = Counter()
    took: dict[tuple[str, str], float] = {}
    for trial in result.trials.values():
        for stage, seconds in trial.seconds.items():
            run = (stage, trial.identities[stage])
            uses[run] += 1
            took[run] = seconds
    found = []
    for stage in (name for name in STAGES if any(stage == name for stage, _ in uses)):
        mine = [run for run in uses if run[0] == stage]
        alone = sum(uses[run] * took[run] for run in mine)
        found.append(StageCost(stage, sum(uses[run] for run in mine), len(mine), sum(took[run] for run in mine), alone))
    return tuple(found)


def cost_table(found: Sequence[StageCost]) -> Grid:
    """Stage runs needed, executed and shared, with compute and what was saved."""
    total = StageCost(
        "all",
        sum(one.needed for one in found),
        sum(one.distinct for one in found),
        sum(one.seconds for one in found),
        sum(one.alone for one in found),
    )
    rows = tuple(
        (
            Cell(one.stage),
            Cell(f"{one.needed:,}"),
            Cell(f"{one.distinct:,}"),
            Cell(f"{one.needed - one.distinct:,}"),
            Cell(duration(one.seconds)),
            Cell(duration(one.alone)),
            Cell(duration(one.alone - one.seconds)),
        )
        for one in (*found, total)
    )
    header = ("stage", "needed", "executed", "shared", "compute", "each trial alone", "saved")
    note = "Executed counts every distinct stage run once, also one that the store held before this study."
    return Grid("Cost", header, rows, (note,))


def trial_table(result: AblationResult, conditions: Sequence[str]) -> Grid:
    """What a trial of each condition took."""
    trials: dict[str, list[AblationTrial]] = {condition: [] for condition in conditions}
    for (condition, _, _), trial in result.trials.items():
        trials[condition].append(trial)
    rows = []
    for condition, mine in trials.items():
        ended = sum(trial.outcome is not None for trial in mine)
        times = [DASH if math.isnan(seconds) else duration(seconds) for seconds in _mean_seconds(mine)]
        rows.append((Cell(condition), Cell(f"{ended:,} of {len(mine):,}"), *map(Cell, times)))
    header = ("condition", "trials ended", "compute of a trial alone", "executed by itself")
    return Grid("Trials", header, tuple(rows), ("Means over trials; what a trial did not execute itself was shared.",))


def _mean_seconds(trials: Sequence[AblationTrial]) -> tuple[float, float]:
    """Return what one of `trials` would take alone, and what it executed itself; NaN before one has ended."""
    timed = [trial for trial in trials if trial.seconds]
    if not timed:
        return math.nan, math.nan
    own = [sum(s for stage, s in t.seconds.items() if t.identities[stage] in t.executed) for t in timed]
    return fmean(sum(t.seconds.values()) for t in timed), fmean(own)
