"""The baseline against the nearest training clip, as a sentence and a table."""

from collections.abc import Iterator, Sequence

from platform.analysis.against_finder import FINDER, FinderTest
from platform.reporting.words import bracket, decimals, difference_text, listed, number, p_text
from trainables.judging.controls import title_of
from trainables.pages.grid import Cell, Grid

_NOTE = (
    "This control knows the fMRI: it shows the training clip that is nearest to the CLIP embedding which ridge "
    "regression decodes. Difference: baseline minus control, paired by seed and clip; exploratory, not adjusted."
)


def finder_sentences(tests: Sequence[FinderTest]) -> Iterator[str]:
    """Yield in which metrics the baseline is shown to be better than the control, to be worse, and neither of both."""
    better = [test.measure.title for test in tests if test.comparison.verdict == "better"]
    worse = [_size(test) for test in tests if test.comparison.verdict == "worse"]
    others = [_size(test) for test in tests if test.comparison.verdict not in ("better", "worse")]
    title = title_of(FINDER)
    if better:
        yield f"The baseline is better than the {title} in {listed(better)} (exploratory, not adjusted)."
    if worse:
        yield (
            f"The baseline is worse than the {title} in {listed(worse)} (exploratory, not adjusted): there, "
            "finding a training clip does more."
        )
    if others:
        yield (
            f"The baseline is not shown to be better than the {title} in {listed(others)}: by these alone "
            "it is not shown to do more than to find a training clip."
        )


def finder_grid(tests: Sequence[FinderTest]) -> Grid | None:
    """Return the table of the comparisons; None if there are none."""
    if not tests:
        return None
    rows = tuple(tuple(_cells(test)) for test in tests)
    header = ("metric", "baseline", title_of(FINDER), "difference", "p", "baseline is")
    return Grid(f"Baseline against the {title_of(FINDER)}", header, rows, (_NOTE,))


def _cells(test: FinderTest) -> Iterator[Cell]:
    comparison = test.comparison
    low, high = comparison.interval.low, comparison.interval.high
    digits = decimals(low, high, of=comparison.difference)
    verdict = comparison.verdict if comparison.verdict in ("better", "worse") else "not shown to differ"
    yield Cell(test.measure.heading)
    yield Cell(number(comparison.condition, digits))
    yield Cell(number(comparison.baseline, digits))
    yield Cell(number(comparison.difference, digits, signed=True), (bracket(low, high, digits),))
    yield Cell(p_text(comparison.p).removeprefix("= "))
    yield Cell(verdict, (), "better" if verdict == "better" else "worse" if verdict == "worse" else "")


def _size(test: FinderTest) -> str:
    low, high = test.comparison.interval.low, test.comparison.interval.high
    return f"{test.measure.title} ({difference_text(test.comparison.difference, low, high, unit=test.measure.unit)})"
