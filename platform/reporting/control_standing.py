"""The baseline against its controls, as sentences, table, and rows for programs: the first answer of a report."""

from collections.abc import Iterator, Sequence
from typing import Any

from platform.analysis.control_tests import ControlTest, Standing
from platform.analysis.findings import Findings
from platform.reporting.words import bracket, decimals, difference_text, listed, number, p_text
from platform.statistics.compare import Comparison
from trainables.judging.controls import title_of
from trainables.pages.grid import Cell, Grid, Tone

_STANDINGS: dict[Standing, str] = {
    "above": "better than all",
    "at": "not shown to be better",
    "untested": "cannot be tested",
}
_TONES: dict[Standing, Tone] = {"above": "better", "at": "", "untested": ""}


def control_sentences(findings: Findings) -> Iterator[tuple[Tone, str]]:
    """Yield what was found about the baseline and the controls that know nothing of the clip, with a tone."""
    above = [test for test in findings.control_tests if test.standing == "above"]
    if above:
        names = list(dict.fromkeys(title_of(each.name) for test in above for each in test.comparisons))
        metrics = listed([test.measure.title for test in above])
        yield (
            "better",
            f"The baseline is better than every control that knows nothing of the clip ({', '.join(names)}) in "
            f"{metrics}: p (Holm) {_at_most(max(test.p_holm for test in above))}.",
        )
    for test in findings.control_tests:
        if test.standing == "at":
            yield "", f"{_closest(test)} So a comparison that finds no loss in {test.measure.title} shows nothing."
    untested = [test for test in findings.control_tests if test.standing == "untested"]
    if untested:
        metrics, smallest = listed([test.measure.title for test in untested]), untested[0].hardest.smallest_p
        yield (
            "",
            f"There are too few seeds or clips to test the baseline against its controls in {metrics}: the smallest "
            f"possible p is {smallest:.2g}.",
        )
    tested = {test.metric for test in findings.control_tests}
    without = [measure.title for measure in findings.measures if measure.name not in tested]
    if without:
        yield "", f"In {listed(without)} no control that knows nothing of the clip was measured."


def _at_most(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"≤ {text.removeprefix('= ')}"


def _closest(test: ControlTest) -> str:
    hardest = test.hardest
    size = f"{_size(test, hardest)} against {title_of(hardest.name)}"
    if hardest.verdict == "worse":
        p = p_text(hardest.p)
        return f"In {test.measure.title} the baseline is worse than one of its controls: {size}, p (not adjusted) {p}."
    p = p_text(test.p_holm)
    return f"In {test.measure.title} the baseline is not shown to be better than its controls: {size}, p (Holm) {p}."


def floor_text(test: ControlTest) -> str:
    """Return what a comparison in the metric of `test` can tell if the baseline is not better than its controls."""
    level = "below the level of one" if test.hardest.verdict == "worse" else "at the level"
    return (
        f"The baseline is {level} of its controls ({_size(test, test.hardest)} against {title_of(test.hardest.name)}): "
        f"the comparison tells nothing about {test.measure.title}."
    )


def loss_at_floor_text(test: ControlTest) -> str:
    """Return what to add to a loss in the metric of `test` if the baseline is not better than all its controls."""
    hardest = test.hardest
    return (
        f"But the baseline itself is not shown to be better than all of its controls in {test.measure.title} "
        f"({_size(test, hardest)} against {title_of(hardest.name)})."
    )


def _size(test: ControlTest, comparison: Comparison) -> str:
    low, high = comparison.interval.low, comparison.interval.high
    return difference_text(comparison.difference, low, high, unit=test.measure.unit)


def control_grid(findings: Findings) -> Grid | None:
    """Return the table of the baseline against each of its controls; None if no metric has such controls."""
    if not findings.control_tests:
        return None
    rows: list[tuple[Cell, ...]] = []
    for test in findings.control_tests:
        p = (f"p (Holm) {p_text(test.p_holm)}",) if test.standing != "untested" else ()
        standing = Cell(_STANDINGS[test.standing], p, _TONES[test.standing])
        for index, comparison in enumerate(test.comparisons):
            rows.append((*_cells(test, comparison), standing if index == 0 else Cell("")))
    header = ("metric", "control", "baseline", "control's value", "difference", "p", "baseline is")
    of_all = " of all data sets" if findings.result.dataset else ""
    units = sorted({each.generalises_over for test in findings.control_tests for each in test.comparisons})
    notes = (
        "Difference: baseline minus control, paired by subject, seed and clip. Each control knows nothing of the clip; "
        "a still frame is one for metrics of motion.",
        f"Better than all: the largest p of the controls, adjusted by Holm's method over the primary metrics{of_all}. "
        f"Results generalise to: {'; '.join(units)}.",
    )
    return Grid("Baseline against its controls", header, tuple(rows), notes)


def _cells(test: ControlTest, comparison: Comparison) -> Iterator[Cell]:
    yield Cell(test.measure.heading)
    yield Cell(title_of(comparison.name))
    low, high = comparison.interval.low, comparison.interval.high
    # The same for all rows of a metric: the digits of its widest interval.
    digits = min(decimals(each.interval.low, each.interval.high, of=each.difference) for each in test.comparisons)
    yield Cell(number(comparison.condition, digits))
    yield Cell(number(comparison.baseline, digits))
    yield Cell(number(comparison.difference, digits, signed=True), (bracket(low, high, digits),))
    yield Cell(p_text(comparison.p).removeprefix("= "))


def control_rows(tests: Sequence[ControlTest]) -> list[dict[str, Any]]:
    """Return a row for each metric and control, for files and JSON."""
    return [
        {
            "metric": test.metric,
            "control": comparison.name,
            "baseline": comparison.condition,
            "control_value": comparison.baseline,
            "difference": comparison.difference,
            "low": comparison.interval.low,
            "high": comparison.interval.high,
            "unit": comparison.unit,
            "seeds": comparison.sizes[1],
            "clips": comparison.sizes[2],
            "p": comparison.p,
            "p_better_than_all": test.p,
            "p_better_than_all_holm": test.p_holm,
            "standing": test.standing,
        }
        for test in tests
        for comparison in test.comparisons
    ]
