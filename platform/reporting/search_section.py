"""The part of a report that compares a search with its confirmation."""

import math
from collections.abc import Iterator

from platform.analysis.findings import MeanInterval
from platform.analysis.optimism import Optimism, SearchCheck
from platform.reporting.words import DASH, bracket, counted, decimals, number
from platform.study.design import BASELINE
from trainables.pages.grid import Cell, Grid


def search_sentences(check: SearchCheck) -> Iterator[str]:
    """Yield for the best point of the search whether its value was too good."""
    best = check.points[0]
    label = "the best point (here the baseline)" if best.condition == BASELINE else best.condition
    unit = f" {check.measure.unit}" if check.measure.unit else ""
    found = f"{best.searched:.4g}{unit} as the best of {counted(check.origin.points, 'completed point')}"
    excess = best.too_good_by
    if best.seeds == 0:
        yield f"The search found {found} ({label}); no fresh training of it has ended yet."
        return
    digits = decimals(excess.low, excess.high, of=excess.value)
    again = f"{counted(best.seeds, 'fresh seed')} give {number(best.confirmed.value, digits)} on the same clips"
    if check.origin.repeats == 1:
        again += f", {best.as_good} of {best.seeds} trainings at least as good a value"
    size = f"{number(excess.value, digits)}{unit} {bracket(excess.low, excess.high, digits)}".rstrip()
    if excess.low > 0:
        yield f"The value that the search found for {label} was too good by {size}: {found}; {again}."
    else:
        yield f"The search found {found} ({label}); {again}. Too good by {size}: not shown to be too good."
    if best.condition != BASELINE and math.isfinite(best.gain_searched) and math.isfinite(best.gain_confirmed.value):
        yield _lead(best, unit)


def _lead(best: Optimism, unit: str) -> str:
    """Return what became of the lead over the baseline, which no lucky seed of all points explains."""
    fresh = best.gain_confirmed
    digits = decimals(fresh.low, fresh.high, of=fresh.value)
    text = (
        f"Its lead over the baseline was {number(best.gain_searched, digits)}{unit} in the search and is "
        f"{number(fresh.value, digits)}{unit} {bracket(fresh.low, fresh.high, digits)}".rstrip()
    )
    if best.gain_searched > fresh.high:
        return f"{text} under fresh seeds: the search made it look too large."
    return f"{text} under fresh seeds: it is not shown that the search made it look too large."


def search_table(check: SearchCheck) -> Grid:
    """Return the table of the search's values and those of fresh trainings."""
    measure = check.measure
    gains = ("better than the baseline, in the search", "under fresh seeds")
    header = ("point", f"{measure.heading} in the search", "fresh seeds", "too good by", *gains)
    repeats = "of one training" if check.origin.repeats == 1 else f"the mean of {check.origin.repeats} trainings"
    notes = (
        f"Sweep {check.origin.study}: the best of {counted(check.origin.points, 'completed point')}, each value "
        f"{repeats}. The same metric on the same clips, trained anew; Student's intervals over fresh seeds, not "
        "adjusted, with the value of the search as a fixed number.",
        "The best of many values is better than what the same settings yield again: chance helped to choose it. "
        "Where the baseline is too good by as much, although nothing chose it, the seed of the search was a lucky one.",
    )
    return Grid("Search and confirmation", header, tuple(tuple(_cells(point)) for point in check.points), notes)


def _cells(point: Optimism) -> Iterator[Cell]:
    fresh = point.confirmed
    digits = max(decimals(fresh.low, fresh.high, of=fresh.value), 3)
    yield Cell(point.condition)
    yield Cell(number(point.searched, digits))
    yield _interval(fresh, signed=False)
    yield _interval(point.too_good_by)
    if point.condition == BASELINE:
        yield from (Cell(DASH, tone="quiet"), Cell(DASH, tone="quiet"))
    else:
        yield Cell(number(point.gain_searched, digits, signed=True))
        yield _interval(point.gain_confirmed)


def _interval(mean: MeanInterval, *, signed: bool = True) -> Cell:
    digits = decimals(mean.low, mean.high, of=mean.value)
    return Cell(number(mean.value, digits, signed=signed), (bracket(mean.low, mean.high, digits),))
