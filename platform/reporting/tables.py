"""The tables of a report: conditions by metrics, subjects, and missing trials."""

import math
from collections.abc import Mapping, Sequence
from statistics import median_high

from platform.analysis.findings import Findings, MeanInterval
from platform.analysis.measures import Measure
from platform.record.results import error_line
from platform.reporting.noise_ceiling import noise_ceiling_notes
from platform.reporting.protocol import caption
from platform.reporting.sentences import condition_label, family_in_words
from platform.reporting.words import DASH, bracket, decimals, number
from platform.statistics.multiplicity import STARS
from platform.study.design import BASELINE
from trainables.judging.controls import title_of
from trainables.metrics.metric import notes as metric_notes
from trainables.pages.grid import Cell, Grid, Tone

SHOWN_GAPS = 40
TONES: Mapping[str, Tone] = {"better": "better", "worse": "worse", "equivalent": "same", "inconclusive": ""}


def main_table(findings: Findings) -> Grid:
    """Return the table of conditions by primary metrics, with controls and chance levels below."""
    return _means(
        findings,
        findings.measures,
        title=caption("Conditions and metrics", findings.result),
        notes=(*_main_notes(findings), *noise_ceiling_notes(findings.result)),
    )


def condition_table(findings: Findings) -> Grid:
    """Return the table of the fields that each condition sets."""
    design = findings.result.design
    cells = design.factorial.cells if design.factorial is not None else {}
    known_as = tuple(cell for cell, condition in cells.items() if condition == BASELINE)
    rows = []
    for name in (BASELINE, *findings.conditions):
        what = ", ".join(design.in_words(name)) or "the defaults"
        rows.append((Cell(name, known_as if name == BASELINE else ()), Cell(what, tone="prose")))
    note = "The baseline is described by what it sets, a condition by its differences to the baseline."
    return Grid("Definition of the conditions", ("condition", "sets"), tuple(rows), (note,))


def other_table(findings: Findings) -> Grid:
    """Return the table of conditions by all other metrics, without tests."""
    notes = ("Described, not tested: these metrics are not primary. Δ with Student's interval, not adjusted.",)
    return _means(findings, findings.other_measures, title=caption("Other metrics", findings.result), notes=notes)


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
        return (f"Means with {level} intervals, within the range of the metric.",)
    notes = [
        f"Means with {level} intervals, within the range of the metric; Δ is the paired difference to the baseline "
        "with its interval, which is not adjusted. Stars: p after Holm's correction for "
        f"{family_in_words(design, 'declared comparison')}: {levels}.",
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


def subject_table(findings: Findings) -> Grid:
    """Return the table of differences per subject in primary metrics."""
    result, level = findings.result, 1 - findings.result.design.alpha
    digits = {measure.name: _digits(findings, measure) for measure in findings.measures}
    rows: list[tuple[Cell, ...]] = []
    for condition in findings.conditions:
        rows.append((Cell(condition, tone="group"),))
        for index, subject in enumerate(result.subjects):
            cells = [
                _mean(findings.subjects[condition, name][index], places, tone="") for name, places in digits.items()
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
