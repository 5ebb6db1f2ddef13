"""The answers of a report as sentences. Each sentence follows from one comparison."""

import math

from platform.analysis.findings import Findings
from platform.analysis.measures import Measure
from platform.reporting.words import bracket, counted, decimals, listed, moment, number, p_text
from platform.statistics.compare import Comparison
from platform.study.design import BASELINE


def condition_label(condition: str) -> str:
    """Return the name of a condition as the first words of a sentence."""
    words = condition.replace("_", " ")
    if condition.startswith("wo_"):
        return f"Without {words.removeprefix('wo ')}"
    if condition.startswith("only_"):
        return f"With {words.removeprefix('only ')} alone"
    return f"Under {condition}"


def sentence(comparison: Comparison, measure: Measure) -> str:
    """Return the result of a comparison as text: size, p-value, and better, worse, equivalent or inconclusive."""
    if not math.isfinite(comparison.difference):
        reasons = (
            listed(sorted({gap.reason for gap in comparison.missing})[:3])
            if comparison.missing
            else "no trial has ended"
        )
        return f"{condition_label(comparison.name)}, {measure.title} cannot be compared: {reasons}."
    text = f"{condition_label(comparison.name)}, {measure.title} {_verb(comparison, measure)}, {_tested(comparison)}."
    if comparison.verdict == "inconclusive":
        text += f" {_open(comparison)}"
    if comparison.missing:
        gaps = sum(gap.whole_trial for gap in comparison.missing)
        what = counted(gaps, "trial") if gaps else counted(sum(gap.clips for gap in comparison.missing), "value")
        text += f" {what} missing: at worst, {_bounds(comparison)}."
    return text


def _verb(comparison: Comparison, measure: Measure) -> str:
    places = decimals(comparison.interval.low, comparison.interval.high, of=comparison.difference)
    unit = f" {measure.unit}" if measure.unit else ""
    interval = bracket(comparison.interval.low, comparison.interval.high, places)
    size = f"{number(abs(comparison.difference), places)}{unit}"
    low, high = sorted((abs(comparison.interval.low), abs(comparison.interval.high)))
    if comparison.verdict in ("better", "worse"):
        plain = bracket(low, high, places) if comparison.interval.low * comparison.interval.high > 0 else interval
        return f"{'worsens' if comparison.verdict == 'worse' else 'improves'} by {size} {plain}".rstrip()
    shift = f"{number(comparison.difference, places, signed=True)}{unit} {interval}".rstrip()
    if comparison.verdict == "equivalent" and comparison.equivalence is not None:
        return f"is the same to within the declared {comparison.equivalence.margin:g}{unit}: {shift}"
    return f"changes by {shift}"


def _tested(comparison: Comparison) -> str:
    over = counted(comparison.kept[1], "seed") + (
        f", {counted(comparison.kept[0], 'subject')}" if comparison.kept[0] > 1 else ""
    )
    over += f", {counted(comparison.kept[2], 'clip')}" if comparison.kept[2] > 1 else ""
    return f"{_p(comparison)}, {over}"


def _p(comparison: Comparison) -> str:
    """Return the p-value behind the verdict."""
    same = comparison.equivalence
    what, plain, adjusted = "p", comparison.p, comparison.p_holm
    if comparison.verdict == "equivalent" and same is not None:
        what, plain, adjusted = "p of equivalence", same.p, same.p_holm
    kind = "not adjusted" if adjusted is None else "Holm"
    return f"{what} ({kind}) {p_text(plain if adjusted is None else adjusted)}"


def _open(comparison: Comparison) -> str:
    family = max(1, comparison.family)
    if comparison.smallest_p * family > 1 - comparison.interval.level:
        adjusted = f", {min(1.0, family * comparison.smallest_p):.2g} after Holm" if family > 1 else ""
        return f"No result could be significant: the smallest possible p is {comparison.smallest_p:.2g}{adjusted}."
    return "This is inconclusive; it does not show that there is no difference."


def _bounds(comparison: Comparison) -> str:
    places = decimals(comparison.bounds.low, comparison.bounds.high)
    low, high = (number(bound, places) for bound in (comparison.bounds.low, comparison.bounds.high))
    return f"the difference is between {low} and {high}"


def sentences_of(findings: Findings) -> list[tuple[Comparison, str]]:
    """Return all declared comparisons with their sentences, and with their results before seeds were added."""
    measures = {measure.name: measure for measure in findings.measures}
    before = {(tested.name, tested.metric): tested for tested in findings.as_registered}
    sentences = []
    for tested in findings.declared:
        text = sentence(tested, measures[tested.metric])
        first = before.get((tested.name, tested.metric))
        if first is not None:
            seeds = counted(first.planned[1], "registered seed")
            text += f" With the {seeds} alone: {first.verdict}, {_p(first)}."
        sentences.append((tested, text))
    return sentences


def replicated(findings: Findings) -> list[str]:
    """Return the mean of each primary metric with its interval if there is no condition to compare."""
    if findings.conditions:
        return []
    ended = sum(trial.outcome == "COMPLETED" for trial in findings.result.trials.values())
    sentences = []
    for measure in findings.measures:
        mean = findings.means[BASELINE, measure.name]
        chance = f"; chance: {measure.chance}" if measure.chance else ""
        if math.isfinite(mean.value):
            places = decimals(mean.low, mean.high, of=mean.value)
            interval = bracket(mean.low, mean.high, places)
            size = " ".join(part for part in (number(mean.value, places), measure.unit, interval) if part)
            sentences.append(f"{measure.title} is {size} over {counted(ended, 'trial')}{chance}.")
        else:
            sentences.append(f"{measure.title} is not known: no trial has ended.")
    return sentences


def status(findings: Findings) -> list[str]:
    """Return the warnings at the top of the report; empty if everything went as planned."""
    result = findings.result
    warnings = []
    trials = result.trials.values()
    waiting = sum(trial.outcome is None for trial in trials)
    failed = sum(trial.outcome == "FAILED" for trial in trials)
    if waiting:
        warnings.append(
            f"Not finished: {waiting:,} of {counted(len(result.trials), 'trial')} have no result yet. This report is "
            "preliminary: tests before the planned number of seeds do not keep their significance level."
        )
    if failed:
        warnings.append(
            f"{counted(failed, 'trial')} failed: see “Missing and failed” for the reasons and worst-case bounds."
        )
    if result.amendments:
        changes = "; ".join(amendment.text for amendment in result.amendments)
        warnings.append(
            f"Amended after results were known: {changes}. Tests over all seeds are not the registered tests, and "
            "adding seeds until a result is significant does not keep the significance level. The results with the "
            "registered seeds are shown, too."
        )
    return warnings


def declared_as(findings: Findings) -> list[tuple[str, str]]:
    """Return the registration and the amendments as labels and texts."""
    result, design = findings.result, findings.result.design
    ended = sum(trial.outcome is not None for trial in result.trials.values())
    facts = [("registered", f"SHA-256 {result.registration.sha256[:16]}{_first_proposed(findings)}")]
    if findings.conditions:
        family = counted(len(design.family), "comparison")
        facts += [
            ("family", f"{family}, level {design.alpha:g} after Holm"),
            ("holds for", "; ".join(sorted({comparison.generalises_over for comparison in findings.declared}))),
            ("exploratory", f"{counted(len(findings.exploratory), 'other comparison')} in primary metrics"),
        ]
    facts += [
        ("primary", listed([measure.title for measure in findings.measures])),
        ("planned", f"{counted(len(design.subjects), 'subject')}, {counted(design.seeds, 'seed')}"),
        ("trials", f"{ended:,} of {len(result.trials):,} ended"),
    ]
    if design.margins:
        margins = [
            f"{measure.title} {design.margins[measure.name]:g}"
            for measure in findings.measures
            if measure.name in design.margins
        ]
        facts.append(("no difference", f"within {listed(margins)}"))
    facts += [("amended", f"{amendment.text}, {moment(amendment.time)}") for amendment in result.amendments]
    return facts


def _first_proposed(findings: Findings) -> str:
    times = [trial.proposed for trial in findings.result.trials.values() if trial.proposed > 0]
    return f", before the first trial of {moment(min(times))}" if times else ", no trial yet"
