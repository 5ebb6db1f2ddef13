"""The answers of a report as sentences. Each sentence follows from one comparison."""

import math
from collections import Counter
from collections.abc import Mapping

from platform.analysis.condition_values import NOT_FINISHED
from platform.analysis.control_tests import ControlTest
from platform.analysis.findings import Findings
from platform.analysis.measures import Measure
from platform.reporting.clusters import clips_fact, clips_text
from platform.reporting.control_standing import floor_text, loss_at_floor_text
from platform.reporting.protocol import evaluate_of_trials, judges_videos
from platform.reporting.words import bracket, counted, decimals, difference_text, listed, moment, number, p_text
from platform.statistics.compare import Comparison
from platform.statistics.levels import not_excluded
from platform.statistics.missing import MissingValues
from platform.statistics.sameness import Reason
from platform.study.design import BASELINE, Design
from trainables.judging.protocols import protocol_text


def condition_label(condition: str) -> str:
    """Return the name of a condition as the first words of a sentence."""
    label = condition.replace("_", " ")
    if condition.startswith("wo_"):
        return f"Without {label.removeprefix('wo ')}"
    if condition.startswith("only_"):
        return f"With {label.removeprefix('only ')} alone"
    return f"Under {condition}"


def sentence(comparison: Comparison, measure: Measure, test: ControlTest | None = None) -> str:
    """Return the result of a comparison as text: size, p-value, and better, worse, equivalent or inconclusive.

    `test` compares the baseline with its controls in the same metric.
    """
    if not math.isfinite(comparison.difference):
        reasons = (
            listed(sorted({gap.reason for gap in comparison.missing})[:3])
            if comparison.missing
            else "no trial has ended"
        )
        return f"{condition_label(comparison.name)}, {measure.title} cannot be compared: {reasons}."
    text = f"{condition_label(comparison.name)}, {measure.title} {_verb(comparison, measure)}, {_tested(comparison)}."
    if comparison.verdict == "equivalent" and comparison.unit != "clips":
        text += f" It holds for trainings like these: {not_excluded(comparison.sizes[1])}."
    if comparison.verdict == "worse" and test is not None and test.standing == "at":
        text += f" {loss_at_floor_text(test)}"
    if comparison.verdict == "inconclusive":
        text += f" {_open(comparison, measure, test)}"
    return f"{text} {_gaps(comparison)}".rstrip()


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
    subjects, seeds, clips = comparison.sizes
    planned = comparison.planned[1]
    sizes = counted(seeds, "seed") if seeds == planned else f"{seeds:,} of {counted(planned, 'seed')}"
    sizes += f", {counted(subjects, 'subject')}" if subjects > 1 else ""
    sizes += f", {clips_text(comparison)}" if clips > 1 else ""
    return f"{_p(comparison)}, {sizes}"


def _gaps(comparison: Comparison) -> str:
    """Return what is missing, by reason, and the worst cases; empty if nothing is."""
    if not comparison.missing:
        return ""
    trials = Counter("not finished" if gap.reason == NOT_FINISHED else "failed" for gap in _lost(comparison))
    values = sum(gap.clips for gap in comparison.missing if not gap.whole_trial)
    parts = [f"{counted(count, 'trial')} {state}" for state, count in trials.items()]
    parts += [f"{counted(values, 'value')} missing"] if values else []
    return f"{listed(parts)}: {_bounds(comparison)}."


def _lost(comparison: Comparison) -> list[MissingValues]:
    return [gap for gap in comparison.missing if gap.whole_trial]


def _p(comparison: Comparison) -> str:
    """Return the p-value behind the verdict."""
    equivalence = comparison.equivalence
    symbol, p_value, adjusted = "p", comparison.p, comparison.p_holm
    if comparison.verdict == "equivalent" and equivalence is not None:
        symbol, p_value, adjusted = "p of equivalence", equivalence.p, equivalence.p_holm
    kind = "not adjusted" if adjusted is None else "Holm"
    return f"{symbol} ({kind}) {p_text(p_value if adjusted is None else adjusted)}"


def _open(comparison: Comparison, measure: Measure, test: ControlTest | None) -> str:
    """Return why nothing can be concluded."""
    family, smallest = max(1, comparison.family), comparison.smallest_p
    adjusted = f", {min(1.0, family * smallest):.2g} after Holm" if family > 1 else ""
    impossible = f"No result could be significant: the smallest possible p is {smallest:.2g}{adjusted}."
    texts: dict[Reason, str] = {
        "floor": floor_text(test) if test is not None else "",
        "too few units": impossible,
        "saturated": f"The metric is saturated: every value of both is {comparison.baseline:g}, which shows nothing.",
        "identical": "Every value equals that of the baseline: there is no spread that a test could use.",
        "no spread": "The differences have no spread over a unit of the claim, so sameness cannot be tested.",
        "missing trials": "This is inconclusive: the missing trials could move the difference beyond the margin.",
    }
    if comparison.reason != "":
        return texts[comparison.reason]
    if smallest * family > 1 - comparison.interval.level:
        return impossible
    return "This is inconclusive; it does not show that there is no difference."


def _bounds(comparison: Comparison) -> str:
    digits = decimals(comparison.bounds.low, comparison.bounds.high)
    low, high = (number(bound, digits) for bound in (comparison.bounds.low, comparison.bounds.high))
    if comparison.bounds.is_of_range:
        return f"at worst, the difference is between {low} and {high}"
    return f"with the most extreme values observed, the difference is between {low} and {high}"


def sentences_of(findings: Findings) -> list[tuple[Comparison, str]]:
    """Return all declared comparisons with their sentences, and with their results after seeds were added."""
    measures = {measure.name: measure for measure in findings.measures}
    tests = {test.metric: test for test in findings.control_tests}
    added = {(tested.name, tested.metric): tested for tested in findings.with_added}
    sentences = []
    for tested in findings.declared:
        text = sentence(tested, measures[tested.metric], tests.get(tested.metric))
        later = added.get((tested.name, tested.metric))
        if later is not None:
            text += f" With the added seeds, {later.sizes[1]:,} in all (exploratory): {_difference(later, measures)}."
        sentences.append((tested, text))
    return sentences


def _difference(comparison: Comparison, measures: Mapping[str, Measure]) -> str:
    low, high = comparison.interval.low, comparison.interval.high
    text = difference_text(comparison.difference, low, high, unit=measures[comparison.metric].unit)
    return f"{text}, {_p(comparison)}"


def replicated(findings: Findings) -> list[str]:
    """Return the mean of each primary metric with its interval if there is no condition to compare."""
    if findings.conditions:
        return []
    ended = [trial for trial in findings.result.trials.values() if trial.outcome == "COMPLETED"]
    seeds, subjects = len({trial.seed for trial in ended}), len({trial.subject for trial in ended})
    extent = counted(seeds, "seed") + (f" and {counted(subjects, 'subject')}" if subjects > 1 else "")
    sentences = []
    for measure in findings.measures:
        mean = findings.means[BASELINE, measure.name]
        chance = f"; chance: {measure.chance}" if measure.chance else ""
        if math.isfinite(mean.value):
            digits = decimals(mean.low, mean.high, of=mean.value)
            interval = bracket(mean.low, mean.high, digits)
            size = " ".join(part for part in (number(mean.value, digits), measure.unit, interval) if part)
            sentences.append(f"{measure.title} is {size} over {extent}{chance}.")
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
            f"Amended after results were known: {changes}. Stars, verdicts, tables and figures are of the registered "
            "seeds. Results with the added seeds are exploratory: adding seeds until a result is significant does not "
            "keep the significance level (0.05 becomes 0.16 from 7 up to 20 seeds)."
        )
    return warnings


def family_in_words(design: Design, noun: str) -> str:
    """Return the number of comparisons that Holm's method adjusts together, and in how many data sets they are."""
    text = counted(design.family_size, noun)
    return f"{text} in {design.sharing} data sets" if design.sharing > 1 else text


def declared_as(findings: Findings) -> list[tuple[str, str]]:
    """Return the registration and the amendments as labels and texts."""
    result, design = findings.result, findings.result.design
    ended = sum(trial.outcome is not None for trial in result.trials.values())
    facts = [("registered", f"SHA-256 {result.registration.sha256[:16]}{_first_proposed(findings)}")]
    if findings.conditions:
        facts += [
            ("family", f"{family_in_words(design, 'comparison')}, level {design.alpha:g} after Holm"),
            ("holds for", "; ".join(sorted({comparison.generalises_over for comparison in findings.declared}))),
            ("exploratory", f"{counted(len(findings.exploratory), 'other comparison')} in primary metrics"),
        ]
    clips = clips_fact(findings)
    facts += [
        *((("test clips", clips),) if clips is not None else ()),
        *((("protocol", protocol_text(evaluate_of_trials(result))),) if judges_videos(result) else ()),
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
        facts.append(("margins", f"differences within {listed(margins)} count as none"))
    facts += [("amended", f"{amendment.text}, {moment(amendment.time)}") for amendment in result.amendments]
    return facts


def _first_proposed(findings: Findings) -> str:
    times = [trial.proposed for trial in findings.result.trials.values() if trial.proposed > 0]
    return f", before the first trial of {moment(min(times))}" if times else ", no trial yet"
