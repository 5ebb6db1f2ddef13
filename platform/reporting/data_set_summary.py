"""What an ablation in several data sets says in each of them, side by side: nothing is pooled over data sets.

A claim holds for a data set in which the declared comparison is significant after Holm's adjustment over the
comparisons of all data sets. That it holds in several of them is counted and not tested: they are no sample.
"""

import math
from collections.abc import Iterator, Sequence

from platform.analysis.control_tests import floors_of
from platform.analysis.findings import Findings, Pair
from platform.analysis.measures import Measure
from platform.reporting.charts import data_set_effects
from platform.reporting.clusters import clips_fact
from platform.reporting.overlap import overlaps
from platform.reporting.sentences import condition_label
from platform.reporting.tables import TONES
from platform.reporting.texts import ReportSection
from platform.reporting.words import DASH, bracket, counted, decimals, difference_text, listed, number
from platform.statistics.compare import Comparison, Verdict
from trainables.pages.grid import Cell, Grid, Tone

SECTION = "All data sets"
_LEAD = (
    "The difference of each condition to the baseline of the same data set. Its size depends on how hard a data set "
    "is. Share: in units of the ceiling minus another clip's fMRI, both of that data set; positive is better."
)
_CLAIMS: dict[Verdict, str] = {"worse": "worse", "better": "better", "equivalent": "the same within the margin"}
_DIGITS = 2


def summary_section(parts: Sequence[Findings]) -> ReportSection:
    """Return the section with the data sets, and the effects in them side by side."""
    grids = (data_sets_grid(parts), *((effects_grid(parts),) if parts[0].conditions else ()))
    return ReportSection(SECTION, _LEAD, grids, tuple(data_set_effects(parts)) if parts[0].conditions else ())


def summary_sentences(parts: Sequence[Findings]) -> Iterator[tuple[Tone, str]]:
    """Yield for each declared comparison in which data sets its claim holds, and then for what all of them speak."""
    measures = {measure.name: measure for measure in parts[0].measures}
    for declared in parts[0].result.design.family:
        pair = (declared.condition, declared.metric)
        found = {each.result.dataset: each.comparisons[pair] for each in parts}
        verdicts = {comparison.verdict for comparison in found.values()}
        at_floor = [each.result.dataset for each in parts if declared.metric in floors_of(each.control_tests)]
        text = _sentence(found, measures[declared.metric], at_floor)
        yield TONES[verdicts.pop()] if len(verdicts) == 1 else "", text
    if parts[0].result.design.family:
        names = listed([each.result.dataset for each in parts])
        yield (
            "",
            f"Claims are of {names}, each by itself: nothing is averaged or tested over data sets, so nothing is "
            "claimed of other data sets.",
        )


def _sentence(found: dict[str, Comparison], measure: Measure, at_floor: Sequence[str]) -> str:
    """Return in which data sets a condition is better, worse or the same, with the differences there.

    `at_floor` are the data sets in which the baseline is not shown to be better than its controls.
    """
    comparison = next(iter(found.values()))
    groups: dict[str, list[str]] = {}
    for dataset, each in found.items():
        claim = _CLAIMS.get(each.verdict, "not decided")
        floor = "; baseline at its controls" if dataset in at_floor else ""
        groups.setdefault(claim, []).append(f"{dataset} ({_size(each, measure)}{floor})")
    text = "; ".join(f"{claim} in {listed(names)}" for claim, names in groups.items())
    direction = _direction(list(found.values()), measure)
    counted_text = f". Significant or not, the difference is {direction}." if direction is not None else "."
    return f"{condition_label(comparison.name)}, {measure.title}: {text}{counted_text}"


def _size(comparison: Comparison, measure: Measure) -> str:
    if not math.isfinite(comparison.difference):
        return "no values"
    low, high = comparison.interval.low, comparison.interval.high
    return difference_text(comparison.difference, low, high, unit=measure.unit)


def _direction(comparisons: Sequence[Comparison], measure: Measure) -> str | None:
    """Return in how many data sets the difference points in the more frequent direction; None without values."""
    known = [comparison.difference for comparison in comparisons if math.isfinite(comparison.difference)]
    senses = [measure.sense(difference) for difference in known if difference != 0]
    if not known:
        return None
    losses, gains = senses.count("worse"), senses.count("better")
    count, word = (losses, "a loss") if losses >= gains else (gains, "a gain")
    return f"{word} in {count} of {counted(len(comparisons), 'data set')}"


def effects_grid(parts: Sequence[Findings]) -> Grid:
    """Return the table of differences: a row for each condition and primary metric, a column for each data set."""
    rows = []
    for condition in parts[0].conditions:
        for measure in parts[0].measures:
            found = [each.comparisons[condition, measure.name] for each in parts]
            cells = [_effect(each, (condition, measure.name)) for each in parts]
            direction = _direction(found, measure)
            row = (*cells, Cell(DASH if direction is None else direction), _holds_for(parts, found))
            rows.append((Cell(condition), Cell(measure.heading), *row))
    header = ("condition", "metric", *(each.result.dataset for each in parts), "direction", "claim holds for")
    notes = (
        "Difference to the baseline of the same data set, with its interval (not adjusted). Stars: after Holm's "
        "adjustment over the declared comparisons of all data sets. ° exploratory: outside the declared family.",
        "Direction counts data sets, significant or not. A claim holds for the data sets in which it is significant; "
        "no test is made over data sets.",
    )
    return Grid("Effects in each data set", header, tuple(rows), notes)


def _effect(findings: Findings, pair: Pair) -> Cell:
    """Return the difference in one data set, with its share of the range there and what limits it."""
    comparison, span, declared = findings.comparisons[pair], findings.span(pair[1]), findings.is_declared(pair)
    if not math.isfinite(comparison.difference):
        return Cell(DASH, tone="quiet")
    low, high = comparison.interval.low, comparison.interval.high
    digits = decimals(low, high, of=comparison.difference)
    mark = "°" if not declared else comparison.stars if comparison.verdict != "equivalent" else ""
    share = f"share {number(comparison.difference / span, _DIGITS, signed=True)}" if span is not None else ""
    at_floor = pair[1] in floors_of(findings.control_tests)
    reason = "baseline at its controls" if at_floor else comparison.reason
    small = (bracket(low, high, digits), share, reason)
    text = f"{number(comparison.difference, digits, signed=True)}{mark}"
    return Cell(text, tuple(filter(None, small)), TONES[comparison.verdict] if declared else "")


def _holds_for(parts: Sequence[Findings], comparisons: Sequence[Comparison]) -> Cell:
    """Return which declared claims are made, and for which data sets."""
    groups: dict[str, list[str]] = {}
    for findings, comparison in zip(parts, comparisons, strict=True):
        if comparison.verdict in _CLAIMS and findings.is_declared((comparison.name, comparison.metric)):
            groups.setdefault(_CLAIMS[comparison.verdict], []).append(findings.result.dataset)
    return Cell("; ".join(f"{claim}: {listed(names)}" for claim, names in groups.items()) or DASH, tone="prose")


def data_sets_grid(parts: Sequence[Findings]) -> Grid:
    """Return the table of the data sets: what they are, the baseline's standing there, overlap of test and training."""
    rows = [
        (
            Cell(each.result.dataset),
            Cell(_overrides(each), tone="prose"),
            Cell(listed([str(subject) for subject in each.result.subjects])),
            Cell(clips_fact(each) or DASH, tone="prose"),
            Cell(_standing(each)),
            Cell(_overlap(each)),
        )
        for each in parts
    ]
    header = ("data set", "sets", "subjects", "test clips", "baseline above its controls", "nearest training clip")
    notes = (
        "Above its controls: in how many primary metrics the baseline is better than every control that knows nothing "
        "of the clip, after Holm's adjustment over the metrics of all data sets.",
        "Nearest training clip: median CLIP similarity of a test clip to it, the mean over subjects; – if no metric of "
        "videos is primary, since only they need it. Each data set has its own tables below.",
    )
    return Grid("Data sets", header, tuple(rows), notes)


def _overrides(findings: Findings) -> str:
    whole, name = findings.result.registration.design, findings.result.dataset
    (data,) = (each for each in whole.datasets if each.name == name)
    return ", ".join(f"{field}: {value}" for field, value in data.overrides.items()) or "the baseline's"


def _standing(findings: Findings) -> str:
    tests = findings.control_tests
    tested = [test for test in tests if test.standing != "untested"]
    if not tested:
        return "cannot be tested" if tests else DASH
    above = sum(test.standing == "above" for test in tested)
    return f"{above} of {counted(len(tested), 'tested metric')}"


def _overlap(findings: Findings) -> str:
    medians = [found["quantiles"]["50%"] for _, found in overlaps(findings.result)]
    return number(sum(medians) / len(medians), _DIGITS) if medians else DASH
