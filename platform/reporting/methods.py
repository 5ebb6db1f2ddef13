"""What was done, as a paragraph for a paper, and where every number comes from."""

from collections.abc import Iterator

from platform.analysis.collect import AblationResult, AblationTrial
from platform.analysis.findings import Findings
from platform.reporting.words import counted, listed, moment
from platform.statistics.compare import Comparison
from platform.study.design import BASELINE
from storage.errors import StoreError
from storage.runs import Manifest

_TESTS = {
    "seeds": "p is that of the sign-flip test of the mean over seeds, values being averaged over clips and subjects",
    "clips": "p is that of the sign-flip test of the mean over clips, values being averaged over seeds and subjects; "
    "it holds for these trained networks only",
    "both": "p is the largest of three: sign flips over seeds, sign flips over clips, and a t test of both at once "
    "(min F', Clark 1973), so that a claim holds for networks trained anew and for other clips",
}


def methods(findings: Findings) -> str:
    """Return the paragraph."""
    return " ".join(_sentences(findings))


def _sentences(findings: Findings) -> Iterator[str]:
    result, design = findings.result, findings.result.design
    first = _first(result)
    data = f" on the data set {first.config['dataset']['kind']}" if first is not None else ""
    subjects = counted(len(result.subjects), "subject")
    seeds, trials = counted(len(result.seeds), "seed"), counted(len(result.trials), "trial")
    primary = listed([one.title for one in findings.measures])
    hashed = f"(SHA-256 {result.registration.sha256[:16]})"
    if findings.conditions:
        yield (
            f"We compared {counted(len(design.conditions), 'condition')} with a baseline{data}: "
            f"{listed(list(findings.conditions))}. Each was run for {subjects} under {seeds}, "
            f"the same ones in every condition ({trials})."
        )
        metrics = {one.metric for one in design.family}
        tested = listed([one.title for one in findings.measures if one.name in metrics])
        yield (
            f"Before the first trial, {counted(len(design.family), 'comparison')} in {tested}, the number of seeds "
            f"({design.seeds}) and the level ({design.alpha:g}) were registered {hashed}."
        )
    else:
        yield f"We ran one configuration{data} for {subjects} under {seeds} ({trials}), comparing it with no other."
        yield f"Before the first trial, {primary} and the number of seeds ({design.seeds}) were registered {hashed}."
    if result.amendments:
        changes = "; ".join(f"{one.text} on {moment(one.time)}" for one in result.amendments)
        yield f"Later the plan was amended: {changes}."
    if findings.declared:
        yield _tested(findings.declared[0])
        yield "Declared comparisons were adjusted after Holm; all others are exploratory and were not adjusted."
        yield "Effect sizes are Hedges' g and the paired Cliff's delta."
    if design.margins:
        margins = ", ".join(
            f"{one.title} {design.margins[one.name]:g}" for one in findings.measures if one.name in design.margins
        )
        yield f"Equivalence was tested by two one-sided tests within margins declared beforehand ({margins})."
    gone = len(result.unusable)
    yield (
        "No trial is missing."
        if gone == 0
        else f"{counted(gone, 'trial')} of {len(result.trials):,} failed or did not finish; what both conditions have "
        "is compared (listwise), with worst-case bounds for the rest."
    )
    versions = _software(result)
    if versions:
        yield f"Software: {versions}."


def _tested(one: Comparison) -> str:
    method = f"{one.interval.method} over {one.interval.over}"
    paired = "subject, seed and clip" if one.planned[2] > 1 else "subject and seed"
    return (
        f"Differences are paired by {paired}; {_TESTS[one.unit]}. The smallest p that is possible is "
        f"{one.smallest_p:.2g}. Intervals ({one.interval.level:.0%}) are {method}."
    )


def _first(result: AblationResult) -> AblationTrial | None:
    """Return a trial of the baseline, preferably a completed one; None before any was proposed."""
    known = [trial for (name, _, _), trial in result.trials.items() if name == BASELINE and trial.config]
    return next((trial for trial in known if trial.outcome == "COMPLETED"), known[0] if known else None)


def _manifest(result: AblationResult) -> Manifest | None:
    """Return what the last stage of a completed baseline trial made."""
    trial = _first(result)
    if trial is None or trial.outcome != "COMPLETED":
        return None
    try:
        return result.runs.open(list(trial.identities.values())[-1]).manifest
    except StoreError:
        return None


def _software(result: AblationResult) -> str:
    manifest = _manifest(result)
    info = manifest.info if manifest is not None else {}
    return ", ".join(f"{name} {info[key]}" for key, name in (("python", "Python"), ("torch", "PyTorch")) if key in info)


def provenance_facts(findings: Findings, store: str) -> tuple[tuple[str, str], ...]:
    """Return labels and texts: where records are, what was registered, and which stage runs the baseline has."""
    result = findings.result
    facts = [("study", result.study), ("store", store), ("registered", result.registration.sha256)]
    facts += [("amended", f"{one.text}, {moment(one.time)}") for one in result.amendments]
    times = [trial.finished for trial in result.trials.values() if trial.finished > 0]
    if times:
        facts.append(("trials ended", f"{moment(min(times))} to {moment(max(times))}"))
    facts += [(f"baseline, {stage}", identity) for stage, identity in result.registration.baseline.items()]
    manifest = _manifest(result)
    if manifest is not None:
        facts += [(f"last stage run, {name}", text) for name, text in manifest.info.items()]
    facts.append(("again", f"python -m platform.report {result.study}"))
    return tuple(facts)
