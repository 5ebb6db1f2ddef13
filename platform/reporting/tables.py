"""The tables of a report: conditions by metrics, all comparisons, subjects, and missing trials."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_high

from platform.analysis.findings import Findings, MeanInterval
from platform.analysis.measures import Measure
from platform.record.results import error_line
from platform.reporting.sentences import condition_label
from platform.reporting.words import DASH, bracket, counted, decimals, number, p_text
from platform.statistics.compare import Comparison
from platform.statistics.multiplicity import STARS
from platform.study.design import BASELINE
from trainables.judging.controls import title_of
from trainables.metrics.metric import notes as metric_notes
from trainables.pages.grid import Cell, Grid, Tone

SHOWN_GAPS = 40
TONES: Mapping[str, Tone] = {"better": "better", "worse": "worse", "equivalent": "same", "inconclusive": ""}


def main_table(findings: Findings) -> Grid:
    """Return the table of conditions by primary metrics, with controls and chance levels below."""
    return _means(findings, findings.measures, title="Conditions and metrics", notes=_main_notes(findings))


def condition_table(findings: Findings) -> Grid:
    """Return the table of the fields that each condition sets."""
    design = findings.result.design
    cells = design.factorial.cells if design.factorial is not None else {}
    known_as = tuple(cell for cell, condition in cells.items() if condition == BASELINE)
    rows = []
    for name in (BASELINE, *findings.conditions):
        what = ", ".join(design.in_words(name)) or "the defaults"
        rows.append((Cell(name, known_as if name == BASELINE else ()), Cell(what, tone="prose")))
    note = (
        "The baseline is described by its differences to the defaults, a condition by its differences to the baseline."
    )
    return Grid("Definition of the conditions", ("condition", "sets"), tuple(rows), (note,))


def other_table(findings: Findings) -> Grid:
    """Return the table of conditions by all other metrics, without tests."""
    notes = ("Described, not tested: these metrics are not primary. Δ with Student's interval, not adjusted.",)
    return _means(findings, findings.other_measures, title="Other metrics", notes=notes)


def _means(findings: Findings, measures: Sequence[Measure], *, title: str, notes: tuple[str, ...]) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    digits = {measure.name: _digits(findings, measure) for measure in measures}
    for condition in (BASELINE, *findings.conditions):
        cells = (_condition(findings, condition, measure, digits[measure.name]) for measure in measures)
        rows.append((Cell(condition), *cells))
    shown = [name for name in findings.controls if any((name, measure.name) in findings.means for measure in measures)]
    if shown or any(measure.chance for measure in measures):
        rows.append((Cell("Controls, in the baseline", tone="group"),))
    for control in shown:
        means = [(findings.means.get((control, measure.name)), digits[measure.name]) for measure in measures]
        rows.append((Cell(title_of(control)), *(_mean(mean, places) for mean, places in means)))
    if any(measure.chance for measure in measures):
        rows.append((Cell("chance"), *(Cell(measure.chance or DASH) for measure in measures)))
    gaps = [
        (measure.title, findings.tables[measure.name])
        for measure in measures
        if findings.tables[measure.name].undefined_clips
    ]
    if gaps:
        counts = ", ".join(f"{name} up to {values.undefined_clips} of {len(values.clips)}" for name, values in gaps)
        notes += (
            f"Clips for which a metric is undefined with some seed are excluded from the mean of a row: {counts}.",
        )
    return Grid(title, ("condition", *(measure.heading for measure in measures)), tuple(rows), notes)


def column_decimals(column: Sequence[MeanInterval]) -> int:
    """Return the decimals of a column: the median of those that its intervals justify, so that its numbers align."""
    places = [decimals(mean.low, mean.high, of=mean.value) for mean in column if math.isfinite(mean.value)]
    return median_high(places) if places else 3


def _digits(findings: Findings, measure: Measure) -> int:
    pairs = [(condition, measure.name) for condition in (BASELINE, *findings.conditions)]
    return column_decimals(
        [means[pair] for means in (findings.means, findings.differences) for pair in pairs if pair in means]
    )


def _mean(mean: MeanInterval | None, digits: int, *, tone: Tone = "quiet") -> Cell:
    if mean is None or not math.isfinite(mean.value):
        return Cell(DASH, tone="quiet")
    return Cell(number(mean.value, digits), (bracket(mean.low, mean.high, digits),), tone)


def _condition(findings: Findings, condition: str, measure: Measure, digits: int) -> Cell:
    mean = _mean(findings.means.get((condition, measure.name)), digits, tone="")
    shift = findings.differences.get((condition, measure.name))
    if shift is None or not math.isfinite(shift.value):
        return mean
    tested = findings.comparisons.get((condition, measure.name))
    tone: Tone = ""
    mark = ""
    if tested is not None:
        declared = findings.is_declared((condition, measure.name))
        # "the same" and a star in one cell would contradict each other; the table of comparisons has both
        mark = "°" if not declared else tested.stars if tested.verdict != "equivalent" else ""
        tone = TONES[tested.verdict] if declared else ""
    delta = f"Δ {number(shift.value, digits, signed=True)} {bracket(shift.low, shift.high, digits)}"
    return Cell(f"{mean.text}{mark}", (*mean.small, delta), tone)


def _main_notes(findings: Findings) -> tuple[str, ...]:
    design = findings.result.design
    level = f"{1 - design.alpha:.0%}"
    levels = ", ".join(f"{mark} {design.alpha / part:g}" for part, mark in reversed(STARS))
    if not findings.conditions:
        return (f"Means with {level} intervals.",)
    notes = [
        f"Means with {level} intervals; Δ is the paired difference to the baseline with its interval, which is not "
        f"adjusted. Stars: p after Holm's correction for {counted(len(design.family), 'declared comparison')}: "
        f"{levels}.",
        f"{smallest(findings)} ° exploratory: outside the declared family, therefore without stars.",
        "▲ better and ▼ worse than the baseline, = the same to within the declared margin; a declared comparison "
        "without a sign is inconclusive.",
    ]
    notes += metric_notes(measure.metric for measure in findings.measured)
    if findings.controls:
        notes.append("A metric without a chance level has controls instead.")
    return tuple(notes)


def smallest(findings: Findings) -> str:
    """Return a sentence with the smallest possible p."""
    smallest_ps = sorted({(tested.smallest_p, tested.family) for tested in findings.declared if tested.sizes[0] > 0})
    if not smallest_ps:
        return "No comparison is possible yet."
    lowest, family = smallest_ps[0]
    text = f"The smallest possible p is {lowest:.2g}, {min(1.0, lowest * family):.2g} after Holm's correction"
    alpha = findings.result.design.alpha
    return f"{text}{': no result can be significant.' if lowest * family > alpha else '.'}"


def comparison_table(comparisons: Sequence[Comparison], findings: Findings, *, title: str) -> Grid:
    """Return the table of comparisons: difference, interval, p, sizes of effects, equivalence, verdict."""
    columns = _Columns.of(comparisons, findings)
    header = ("condition", "metric", "difference", *(("share",) if columns.shares else ()), "p")
    header += ("p (Holm)",) if columns.declared else ()
    header += ("Hedges g", "Cliff's δ") if columns.effects else ()
    header += ("p (same)", "smallest p", "verdict")
    rows = tuple(tuple(_cells(comparison, findings, columns)) for comparison in comparisons)
    return Grid(title, header, rows, (*_comparison_notes(comparisons, findings, columns), *_warnings(comparisons)))


@dataclass(frozen=True)
class _Columns:
    """The columns of a table of comparisons that not every table has, and the decimals of each metric."""

    declared: bool
    shares: bool
    effects: bool
    digits: Mapping[str, int]

    @classmethod
    def of(cls, comparisons: Sequence[Comparison], findings: Findings) -> "_Columns":
        intervals: dict[str, list[MeanInterval]] = {}
        for each in comparisons:
            interval = MeanInterval(each.difference, each.interval.low, each.interval.high)
            intervals.setdefault(each.metric, []).append(interval)
        return cls(
            any(comparison.p_holm is not None for comparison in comparisons),
            any(findings.span(comparison.metric) is not None for comparison in comparisons),
            any(comparison.effect is not None for comparison in comparisons),
            {metric: column_decimals(column) for metric, column in intervals.items()},
        )


def _comparison_notes(comparisons: Sequence[Comparison], findings: Findings, columns: _Columns) -> Iterator[str]:
    compared = [comparison for comparison in comparisons if comparison.sizes[0] > 0]
    if compared:
        methods = sorted({f"{each.interval.method} over {each.interval.unit}" for each in compared})
        generalised = sorted({comparison.generalises_over for comparison in compared})
        yield (
            f"Intervals: {', '.join(methods)}, not adjusted for several comparisons. Results generalise to: "
            f"{'; '.join(generalised)}."
        )
    if columns.shares:
        titles = {measure.name: measure.title for measure in findings.measures}
        spans = [
            (titles[metric], findings.span(metric)) for metric in dict.fromkeys(each.metric for each in comparisons)
        ]
        sizes = ", ".join(f"{title} {number(abs(span), 3)}" for title, span in spans if span is not None)
        yield (
            "Share: the difference in units of the ceiling minus another clip's fMRI, both of the baseline and taken "
            f"as known ({sizes}); positive is better."
        )
    if columns.effects:
        yield "g is Hedges' g_av, δ is Cliff's paired delta, both over the unit of the test."
    yield "p (same): two one-sided tests against the declared margin."


def _warnings(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield each warning once, with its conditions unless it concerns all conditions."""
    conditions: dict[str, dict[str, None]] = {}
    for tested in comparisons:
        for warning in tested.warnings:
            conditions.setdefault(warning, {})[tested.name] = None
    all_conditions = {tested.name for tested in comparisons}
    for warning, names in conditions.items():
        prefix = "" if names.keys() == all_conditions else f"{', '.join(names)}: "
        yield f"{prefix}{warning}."


def _cells(comparison: Comparison, findings: Findings, columns: _Columns) -> Iterator[Cell]:
    measure = findings.tables[comparison.metric].measure
    yield Cell(comparison.name)
    yield Cell(measure.heading)
    low, high, digits = comparison.interval.low, comparison.interval.high, columns.digits[comparison.metric]
    difference = f"{number(comparison.difference, digits, signed=True)}{comparison.stars}"
    yield Cell(difference, (bracket(low, high, digits),))
    if columns.shares:
        yield _share(comparison, findings.span(comparison.metric))
    yield Cell(p_text(comparison.p).removeprefix("= "))
    if columns.declared:
        yield Cell(p_text(comparison.p_holm).removeprefix("= "))
    if columns.effects:
        effect = comparison.effect
        for size in (None, None) if effect is None else (effect.g_av, effect.cliff):
            yield Cell(DASH) if size is None else Cell(number(size.value, 2), (bracket(size.low, size.high, 2),))
    equivalence = comparison.equivalence
    p_same = None if equivalence is None else equivalence.p if equivalence.p_holm is None else equivalence.p_holm
    yield Cell(
        p_text(p_same).removeprefix("= "), (f"margin {equivalence.margin:g}",) if equivalence is not None else ()
    )
    yield Cell(f"{comparison.smallest_p:.2g}")
    yield Cell(comparison.verdict, (comparison.reason,) if comparison.reason else (), TONES[comparison.verdict])


def _share(comparison: Comparison, span: float | None) -> Cell:
    if span is None or not math.isfinite(comparison.difference):
        return Cell(DASH)
    low, high = sorted((comparison.interval.low / span, comparison.interval.high / span))
    return Cell(number(comparison.difference / span, 2, signed=True), (bracket(low, high, 2),))


def subject_table(findings: Findings) -> Grid:
    """Return the table of differences per subject in primary metrics."""
    result, level = findings.result, 1 - findings.result.design.alpha
    rows: list[tuple[Cell, ...]] = []
    for condition in findings.conditions:
        rows.append((Cell(condition, tone="group"),))
        for index, subject in enumerate(result.subjects):
            cells = [
                _mean(findings.subjects[condition, measure.name][index], _digits(findings, measure), tone="")
                for measure in findings.measures
            ]
            rows.append((Cell(f"subject {subject}"), *cells))
    header = ("difference to the baseline", *(measure.heading for measure in findings.measures))
    return Grid("Subjects", header, tuple(rows), (f"Student's {level:.0%} intervals, not adjusted: descriptive.",))


def missing_table(findings: Findings) -> Grid:
    """Return the table of trials that failed or have not ended, with the reasons."""
    unusable = findings.result.unusable
    rows = []
    for trial in unusable[:SHOWN_GAPS]:
        reason = "not finished" if trial.outcome is None else error_line(trial.error)
        rows.append(
            (
                Cell(trial.name),
                Cell("waiting" if trial.outcome is None else trial.outcome.lower()),
                Cell(reason, tone="prose"),
            )
        )
    notes = (f"{len(unusable) - SHOWN_GAPS:,} more are listed in trials.csv.",) if len(unusable) > SHOWN_GAPS else ()
    return Grid("Trials without a result", ("trial", "outcome", "why"), tuple(rows), notes)


def bounds_table(findings: Findings) -> Grid | None:
    """Return the table of worst-case bounds for comparisons with missing values; None if no value is missing."""
    measures = {measure.name: measure for measure in findings.measures}
    rows = []
    for comparison in (*findings.declared, *findings.exploratory):
        if comparison.missing:
            digits = decimals(comparison.bounds.low, comparison.bounds.high)
            rows.append(
                (
                    Cell(f"{condition_label(comparison.name)}, {measures[comparison.metric].title}"),
                    Cell(number(comparison.difference, digits, signed=True)),
                    Cell(bracket(comparison.bounds.low, comparison.bounds.high, digits) or DASH),
                    Cell(comparison.bounds.assumed, tone="prose"),
                )
            )
    if not rows:
        return None
    header = ("comparison", "difference", "worst cases", "assumed for missing values")
    return Grid("Worst-case bounds for missing values", header, tuple(rows))
