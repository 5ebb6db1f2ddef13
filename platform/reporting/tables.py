"""The tables of a report: conditions by metrics, every comparison by itself, subjects, and what is missing."""

import math
from collections.abc import Iterator, Mapping, Sequence

from platform.analysis.findings import Estimated, Findings
from platform.analysis.measures import Measure
from platform.record.results import error_line
from platform.reporting.sentences import condition_label
from platform.reporting.words import DASH, bracket, counted, decimals, number, p_text
from platform.statistics.compare import Comparison
from platform.statistics.multiplicity import STARS
from platform.study.design import BASELINE
from trainables.judging.controls import title_of
from trainables.metrics.registry import notes as metric_notes
from trainables.pages.grid import Cell, Grid, Tone

SHOWN_GAPS = 40
TONES: Mapping[str, Tone] = {"better": "better", "worse": "worse", "equivalent": "same", "inconclusive": ""}


def main_table(findings: Findings) -> Grid:
    """Conditions by primary metrics, with controls and chance below."""
    return _means(findings, findings.measures, title="Conditions and metrics", notes=_main_notes(findings))


def condition_table(findings: Findings) -> Grid:
    """What every condition is: the fields that it sets."""
    design = findings.result.design
    cells = design.factorial.cells if design.factorial is not None else {}
    known_as = tuple(cell for cell, condition in cells.items() if condition == BASELINE)
    rows = []
    for name in (BASELINE, *findings.conditions):
        what = ", ".join(design.in_words(name)) or "the defaults"
        rows.append((Cell(name, known_as if name == BASELINE else ()), Cell(what, tone="prose")))
    note = "The baseline is told by what it sets beside the project's defaults, a condition by what it changes in that."
    return Grid("What the conditions are", ("condition", "sets"), tuple(rows), (note,))


def other_table(findings: Findings) -> Grid:
    """Conditions by all other metrics, without tests."""
    notes = ("Described, not tested: these metrics are not primary. Δ with Student's interval, not adjusted.",)
    return _means(findings, findings.others, title="Other metrics", notes=notes)


def _means(findings: Findings, measures: Sequence[Measure], *, title: str, notes: tuple[str, ...]) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for condition in (BASELINE, *findings.conditions):
        rows.append((Cell(condition), *(_condition(findings, condition, one) for one in measures)))
    held = [name for name in findings.controls if any((name, one.name) in findings.means for one in measures)]
    if held or any(one.chance for one in measures):
        rows.append((Cell("Controls, under the baseline", tone="group"),))
    for control in held:
        rows.append((Cell(title_of(control)), *(_mean(findings.means.get((control, one.name))) for one in measures)))
    if any(one.chance for one in measures):
        rows.append((Cell("chance"), *(Cell(one.chance or DASH) for one in measures)))
    gaps = [(one.title, findings.tables[one.name]) for one in measures if findings.tables[one.name].undefined_clips]
    if gaps:
        told = ", ".join(f"{name} up to {values.undefined_clips} of {len(values.clips)}" for name, values in gaps)
        notes += (f"Clips for which a metric is undefined under some seed are left out of a row's mean: {told}.",)
    return Grid(title, ("condition", *(one.heading for one in measures)), tuple(rows), notes)


def _mean(found: Estimated | None, *, tone: Tone = "quiet") -> Cell:
    if found is None or not math.isfinite(found.value):
        return Cell(DASH, tone="quiet")
    places = decimals(found.low, found.high, of=found.value)
    return Cell(number(found.value, places), (bracket(found.low, found.high, places),), tone)


def _condition(findings: Findings, condition: str, one: Measure) -> Cell:
    mean = _mean(findings.means.get((condition, one.name)), tone="")
    shift = findings.differences.get((condition, one.name))
    if shift is None or not math.isfinite(shift.value):
        return mean
    tested = findings.comparisons.get((condition, one.name))
    tone: Tone = ""
    mark = ""
    if tested is not None:
        declared = findings.is_declared((condition, one.name))
        mark = tested.stars if declared else "°"
        tone = TONES[tested.verdict] if declared else ""
    places = decimals(shift.low, shift.high, of=shift.value)
    delta = f"Δ {number(shift.value, places, signed=True)} {bracket(shift.low, shift.high, places)}"
    return Cell(f"{mean.text}{mark}", (*mean.small, delta), tone)


def _main_notes(findings: Findings) -> tuple[str, ...]:
    design = findings.result.design
    level = f"{1 - design.alpha:.0%}"
    levels = ", ".join(f"{mark} {design.alpha / part:g}" for part, mark in reversed(STARS))
    if not findings.conditions:
        return (f"Means with {level} intervals.",)
    notes = [
        f"Means with {level} intervals; Δ is the difference to the baseline, paired, with its interval. Stars are p "
        f"after Holm over the {counted(len(design.family), 'declared comparison')}: {levels}.",
        f"{smallest(findings)} ° exploratory: outside the declared family, so it can have no star.",
        "▲ better and ▼ worse than the baseline, = the same to within the declared margin; no sign: inconclusive.",
    ]
    notes += metric_notes(one.metric for one in findings.measured)
    if findings.controls:
        notes.append("A metric without a chance level has controls in its place.")
    return tuple(notes)


def smallest(findings: Findings) -> str:
    """Say the smallest p that the units allow."""
    found = sorted({(one.smallest_p, one.family) for one in findings.declared if one.kept[0] > 0})
    if not found:
        return "Nothing can be compared yet."
    lowest, family = found[0]
    text = f"The smallest p that these units allow is {lowest:.2g}, {min(1.0, lowest * family):.2g} after Holm"
    alpha = findings.result.design.alpha
    return f"{text}{': no star can be earned.' if lowest * family > alpha else '.'}"


def comparison_table(comparisons: Sequence[Comparison], findings: Findings, *, title: str) -> Grid:
    """Every comparison in full: difference, interval, p, effect sizes, equivalence, verdict."""
    named = {one.name: one for one in findings.measures}
    declared = any(one.p_holm is not None for one in comparisons)
    header = ("condition", "metric", "difference", "p", *(("p (Holm)",) if declared else ()))
    header += ("Hedges g", "Cliff's δ", "p (same)", "smallest p", "verdict")
    rows = tuple(tuple(_cells(one, named[one.metric], declared=declared)) for one in comparisons)
    methods = sorted({f"{one.interval.method} over {one.interval.over}" for one in comparisons if one.kept[0] > 0})
    over = sorted({one.generalises_over for one in comparisons})
    first = (f"Intervals: {', '.join(methods)}. What is found holds for: {'; '.join(over)}.",) if methods else ()
    said = "g is Hedges' g_av, δ is paired. p (same): two one-sided tests against the declared margin."
    return Grid(title, header, rows, (*first, said, *_warnings(comparisons)))


def _warnings(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield each warning once, with the conditions that it is about unless it is about all."""
    about: dict[str, dict[str, None]] = {}
    for one in comparisons:
        for warning in one.warnings:
            about.setdefault(warning, {})[one.name] = None
    everyone = {one.name for one in comparisons}
    for warning, names in about.items():
        whom = "" if names.keys() == everyone else f"{', '.join(names)}: "
        yield f"{whom}{warning}."


def _cells(one: Comparison, measure: Measure, *, declared: bool) -> Iterator[Cell]:
    yield Cell(one.name)
    yield Cell(measure.heading)
    places = decimals(one.interval.low, one.interval.high, of=one.difference)
    interval = bracket(one.interval.low, one.interval.high, places)
    yield Cell(f"{number(one.difference, places, signed=True)}{one.stars}", (interval,))
    yield Cell(p_text(one.p).removeprefix("= "))
    if declared:
        yield Cell(p_text(one.p_holm).removeprefix("= "))
    effect = one.effect
    for size in (None, None) if effect is None else (effect.g_av, effect.cliff):
        yield Cell(DASH) if size is None else Cell(number(size.value, 2), (bracket(size.low, size.high, 2),))
    same = one.equivalence
    p_same = None if same is None else same.p if same.p_holm is None else same.p_holm
    yield Cell(p_text(p_same).removeprefix("= "), (f"margin {same.margin:g}",) if same is not None else ())
    yield Cell(f"{one.smallest_p:.2g}")
    yield Cell(one.verdict, tone=TONES[one.verdict])


def subject_table(findings: Findings) -> Grid:
    """Differences of every subject by itself, in primary metrics."""
    result, level = findings.result, 1 - findings.result.design.alpha
    rows: list[tuple[Cell, ...]] = []
    for condition in findings.conditions:
        rows.append((Cell(condition, tone="group"),))
        for index, subject in enumerate(result.subjects):
            cells = [_mean(findings.subjects[condition, one.name][index], tone="") for one in findings.measures]
            rows.append((Cell(f"subject {subject}"), *cells))
    header = ("difference to the baseline", *(one.heading for one in findings.measures))
    return Grid("Subjects", header, tuple(rows), (f"Student's {level:.0%} intervals, not adjusted: descriptive.",))


def missing_table(findings: Findings) -> Grid:
    """Trials that failed or have not ended, with their reason."""
    gone = findings.result.unusable
    rows = []
    for trial in gone[:SHOWN_GAPS]:
        why = "not finished" if trial.outcome is None else error_line(trial.error)
        rows.append(
            (
                Cell(trial.name),
                Cell("waiting" if trial.outcome is None else trial.outcome.lower()),
                Cell(why, tone="prose"),
            )
        )
    notes = (f"{len(gone) - SHOWN_GAPS:,} more stand in trials.csv.",) if len(gone) > SHOWN_GAPS else ()
    return Grid("Trials without a result", ("trial", "outcome", "why"), tuple(rows), notes)


def bounds_table(findings: Findings) -> Grid | None:
    """What comparisons with gaps would show in the worst of cases; None where nothing is missing."""
    named = {one.name: one for one in findings.measures}
    rows = []
    for one in (*findings.declared, *findings.exploratory):
        if one.missing:
            places = decimals(one.bounds.low, one.bounds.high)
            rows.append(
                (
                    Cell(f"{condition_label(one.name)}, {named[one.metric].title}"),
                    Cell(number(one.difference, places, signed=True)),
                    Cell(bracket(one.bounds.low, one.bounds.high, places) or DASH),
                    Cell(one.bounds.assumed, tone="prose"),
                )
            )
    if not rows:
        return None
    header = ("comparison", "difference", "worst cases", "a missing value stands for")
    return Grid("If what is missing were at its worst", header, tuple(rows))
