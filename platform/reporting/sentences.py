"""The answers of a report as sentences. Each sentence follows from one comparison."""

import math

from platform.analysis.findings import Findings
from platform.analysis.measures import Measure
from platform.reporting.words import bracket, counted, decimals, listed, moment, number, p_text
from platform.statistics.compare import Comparison
from platform.study.design import BASELINE


def condition_label(condition: str) -> str:
    """Return the name of a condition as the first words of a sentence."""
    label = condition.replace("_", " ")
    if condition.startswith("wo_"):
        return f"Without {label.removeprefix('wo ')}"
    if condition.startswith("only_"):
        return f"With {label.removeprefix('only ')} alone"
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
    digits = decimals(comparison.interval.low, comparison.interval.high, of=comparison.difference)
    unit = f" {measure.unit}" if measure.unit else ""
    interval = bracket(comparison.interval.low, comparison.interval.high, digits)
    size = f"{number(abs(comparison.difference), digits)}{unit}"
    low, high = sorted((abs(comparison.interval.low), abs(comparison.interval.high)))
    if comparison.verdict in ("better", "worse"):
        interval_text = (
            bracket(low, high, digits) if comparison.interval.low * comparison.interval.high > 0 else interval
        )
        return f"{'worsens' if comparison.verdict == 'worse' else 'improves'} by {size} {interval_text}".rstrip()
    shift = f"{number(comparison.difference, digits, signed=True)}{unit} {interval}".rstrip()
    if comparison.verdict == "equivalent" and comparison.equivalence is not None:
        return f"is the same to within the declared {comparison.equivalence.margin:g}{unit}: {shift}"
    return f"changes by {shift}"


def _tested(comparison: Comparison) -> str:
    sizes = counted(comparison.sizes[1], "seed") + (
        f", {counted(comparison.sizes[0], 'subject')}" if comparison.sizes[0] > 1 else ""
    )
    sizes += f", {counted(comparison.sizes[2], 'clip')}" if comparison.sizes[2] > 1 else ""
    return f"{_p(comparison)}, {sizes}"


def _p(comparison: Comparison) -> str:
    """Return the p-value behind the verdict."""
    equivalence = comparison.equivalence
    symbol, p_value, adjusted = "p", comparison.p, comparison.p_holm
    if comparison.verdict == "equivalent" and equivalence is not None:
        symbol, p_value, adjusted = "p of equivalence", equivalence.p, equivalence.p_holm
    kind = "not adjusted" if adjusted is None else "Holm"
    return f"{symbol} ({kind}) {p_text(p_value if adjusted is None else adjusted)}"


def _open(comparison: Comparison) -> str:
    family = max(1, comparison.family)
    if comparison.smallest_p * family > 1 - comparison.interval.level:
        adjusted = f", {min(1.0, family * comparison.smallest_p):.2g} after Holm" if family > 1 else ""
        return f"No result could be significant: the smallest possible p is {comparison.smallest_p:.2g}{adjusted}."
    return "This is inconclusive; it does not show that there is no difference."


def _bounds(comparison: Comparison) -> str:
    digits = decimals(comparison.bounds.low, comparison.bounds.high)
    low, high = (number(bound, digits) for bound in (comparison.bounds.low, comparison.bounds.high))
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
            digits = decimals(mean.low, mean.high, of=mean.value)
            interval = bracket(mean.low, mean.high, digits)
            size = " ".join(part for part in (number(mean.value, digits), measure.unit, interval) if part)
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
