"""The answer in sentences, each made from a comparison and nothing else."""

import math

from platform.analysis.findings import Findings
from platform.analysis.measures import Measure
from platform.reporting.words import bracket, counted, decimals, listed, moment, number, p_text
from platform.statistics.compare import Comparison
from platform.study.design import BASELINE


def condition_label(condition: str) -> str:
    """Return a condition's name as the beginning of a sentence."""
    words = condition.replace("_", " ")
    if condition.startswith("wo_"):
        return f"Without {words.removeprefix('wo ')}"
    if condition.startswith("only_"):
        return f"With {words.removeprefix('only ')} alone"
    return f"Under {condition}"


def sentence(one: Comparison, measure: Measure) -> str:
    """Say what `one` shows: how large, how sure, and whether that is better, worse, the same, or not known."""
    if not math.isfinite(one.difference):
        reasons = listed(sorted({gap.reason for gap in one.missing})[:3]) if one.missing else "no trial has ended"
        return f"{condition_label(one.name)}, {measure.title} cannot be compared: {reasons}."
    text = f"{condition_label(one.name)}, {measure.title} {_verb(one, measure)}, {_tested(one)}."
    if one.verdict == "inconclusive":
        text += f" {_open(one)}"
    if one.missing:
        gaps = sum(gap.whole_trial for gap in one.missing)
        what = counted(gaps, "trial") if gaps else counted(sum(gap.clips for gap in one.missing), "value")
        text += f" {what} missing: at worst, {_bounds(one)}."
    return text


def _verb(one: Comparison, measure: Measure) -> str:
    places = decimals(one.interval.low, one.interval.high, of=one.difference)
    unit = f" {measure.unit}" if measure.unit else ""
    interval = bracket(one.interval.low, one.interval.high, places)
    size = f"{number(abs(one.difference), places)}{unit}"
    low, high = sorted((abs(one.interval.low), abs(one.interval.high)))
    if one.verdict in ("better", "worse"):
        plain = bracket(low, high, places) if one.interval.low * one.interval.high > 0 else interval
        return f"{'worsens' if one.verdict == 'worse' else 'improves'} by {size} {plain}".rstrip()
    shift = f"{number(one.difference, places, signed=True)}{unit} {interval}".rstrip()
    if one.verdict == "equivalent" and one.equivalence is not None:
        return f"is the same to within the declared {one.equivalence.margin:g}{unit}: {shift}"
    return f"moves by {shift}"


def _tested(one: Comparison) -> str:
    over = counted(one.kept[1], "seed") + (f", {counted(one.kept[0], 'subject')}" if one.kept[0] > 1 else "")
    over += f", {counted(one.kept[2], 'clip')}" if one.kept[2] > 1 else ""
    return f"{_p(one)}, {over}"


def _p(one: Comparison) -> str:
    """Return the p that the verdict rests on."""
    same = one.equivalence
    what, plain, adjusted = "p", one.p, one.p_holm
    if one.verdict == "equivalent" and same is not None:
        what, plain, adjusted = "p of equivalence", same.p, same.p_holm
    kind = "not adjusted" if adjusted is None else "Holm"
    return f"{what} ({kind}) {p_text(plain if adjusted is None else adjusted)}"


def _open(one: Comparison) -> str:
    family = max(1, one.family)
    if one.smallest_p * family > 1 - one.interval.level:
        adjusted = f", {min(1.0, family * one.smallest_p):.2g} after Holm" if family > 1 else ""
        return f"Nothing could have been shown: these units allow no p below {one.smallest_p:.2g}{adjusted}."
    return "This is inconclusive, which is not the same as no difference."


def _bounds(one: Comparison) -> str:
    places = decimals(one.bounds.low, one.bounds.high)
    return f"the difference lies between {number(one.bounds.low, places)} and {number(one.bounds.high, places)}"


def sentences_of(findings: Findings) -> list[tuple[Comparison, str]]:
    """Return every declared comparison with its sentence; what added seeds changed is said."""
    named = {one.name: one for one in findings.measures}
    before = {(one.name, one.metric): one for one in findings.as_registered}
    told = []
    for one in findings.declared:
        text = sentence(one, named[one.metric])
        first = before.get((one.name, one.metric))
        if first is not None:
            seeds = counted(first.planned[1], "registered seed")
            text += f" Under the {seeds} alone: {first.verdict}, {_p(first)}."
        told.append((one, text))
    return told


def replicated(findings: Findings) -> list[str]:
    """Return the mean of each primary metric with its interval, where there is no condition to compare."""
    if findings.conditions:
        return []
    ended = sum(trial.outcome == "COMPLETED" for trial in findings.result.trials.values())
    told = []
    for one in findings.measures:
        mean = findings.means[BASELINE, one.name]
        chance = f"; chance: {one.chance}" if one.chance else ""
        if math.isfinite(mean.value):
            places = decimals(mean.low, mean.high, of=mean.value)
            interval = bracket(mean.low, mean.high, places)
            size = " ".join(part for part in (number(mean.value, places), one.unit, interval) if part)
            told.append(f"{one.title} is {size} over {counted(ended, 'trial')}{chance}.")
        else:
            told.append(f"{one.title} is not known: no trial has ended.")
    return told


def status(findings: Findings) -> list[str]:
    """Return what a reader must know before the answer; empty where all went as planned."""
    result = findings.result
    said = []
    trials = result.trials.values()
    waiting = sum(trial.outcome is None for trial in trials)
    failed = sum(trial.outcome == "FAILED" for trial in trials)
    if waiting:
        said.append(
            f"Not finished: {waiting:,} of {counted(len(result.trials), 'trial')} have no result yet. What stands here "
            "is preliminary; tests that are looked at before the planned number of seeds is in do not keep their level."
        )
    if failed:
        said.append(
            f"{counted(failed, 'trial')} failed: see “Missing and failed” for why, and how much it could matter."
        )
    if result.amendments:
        changes = "; ".join(amendment.text for amendment in result.amendments)
        said.append(
            f"Amended after results were known: {changes}. Tests over all seeds are not those that were registered, "
            "and adding seeds until something is significant does not keep their level; the registered ones stand "
            "beside."
        )
    return said


def declared_as(findings: Findings) -> list[tuple[str, str]]:
    """Return what was frozen before the first trial and what came later, as labels and texts."""
    result, design = findings.result, findings.result.design
    ended = sum(trial.outcome is not None for trial in result.trials.values())
    facts = [("registered", f"SHA-256 {result.registration.sha256[:16]}{_first_proposed(findings)}")]
    if findings.conditions:
        family = counted(len(design.family), "comparison")
        facts += [
            ("family", f"{family}, level {design.alpha:g} after Holm"),
            ("holds for", "; ".join(sorted({one.generalises_over for one in findings.declared}))),
            ("exploratory", f"{counted(len(findings.exploratory), 'other comparison')} in primary metrics"),
        ]
    facts += [
        ("primary", listed([one.title for one in findings.measures])),
        ("planned", f"{counted(len(design.subjects), 'subject')}, {counted(design.seeds, 'seed')}"),
        ("trials", f"{ended:,} of {len(result.trials):,} ended"),
    ]
    if design.margins:
        margins = [
            f"{one.title} {design.margins[one.name]:g}" for one in findings.measures if one.name in design.margins
        ]
        facts.append(("no difference", f"within {listed(margins)}"))
    facts += [("amended", f"{one.text}, {moment(one.time)}") for one in result.amendments]
    return facts


def _first_proposed(findings: Findings) -> str:
    times = [trial.proposed for trial in findings.result.trials.values() if trial.proposed > 0]
    return f", before the first trial of {moment(min(times))}" if times else ", no trial yet"
