"""The part of a report that compares a search with its confirmation."""

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
    found = f"{best.searched:.4g}{unit} as the best of {counted(check.origin.points, 'point')}"
    excess = best.too_good_by
    if best.seeds == 0:
        yield f"The search found {found} ({label}); no fresh training of it has ended yet."
        return
    digits = decimals(excess.low, excess.high, of=excess.value)
    again = f"{counted(best.seeds, 'fresh seed')} give {number(best.confirmed.value, digits)} on the same clips"
    size = f"{number(excess.value, digits)}{unit} {bracket(excess.low, excess.high, digits)}".rstrip()
    if excess.low > 0:
        yield f"The search was too good by {size} for {label}: it found {found}; {again}."
    else:
        yield f"The search found {found} ({label}); {again}. Too good by {size}: not shown to be too good."


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
        "The best of many values is better than what the same settings yield again: chance helped to choose it.",
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
