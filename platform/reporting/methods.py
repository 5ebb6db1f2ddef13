"""The methods paragraph of a report, for a paper, and the provenance of its numbers."""

from collections.abc import Iterator

from platform.analysis.collect import AblationResult, AblationTrial
from platform.analysis.findings import Findings
from platform.reporting.clusters import clusters_in_methods
from platform.reporting.protocol import evaluate_of_trials, judges_videos
from platform.reporting.words import counted, listed, moment
from platform.statistics.compare import Comparison
from platform.statistics.levels import level_note
from platform.study.design import BASELINE
from platform.study.varied import varied_in_words
from storage.errors import StoreError
from storage.runs import Manifest
from trainables.judging.controls import title_of
from trainables.judging.protocols import protocol_text
from trainables.metrics.clip_metrics import EVALUATE
from trainables.metrics.registry import is_held_out

_TESTS = {
    "seeds": "p is from a sign-flip test of the mean over seeds; values are averaged over clips and subjects",
    "clips": "p is from a sign-flip test of the mean over clips; values are averaged over seeds and subjects, so the "
    "result holds for these trained networks only",
    "both": "p is the largest of three p-values: a sign-flip test over seeds, a sign-flip test over clips, and a t "
    "test over both (min F', Clark 1973); a significant result generalises to newly trained networks and other clips",
}


def methods(findings: Findings) -> str:
    """Return the methods paragraph."""
    return " ".join(_sentences(findings))


def _sentences(findings: Findings) -> Iterator[str]:
    result, design = findings.result, findings.result.design
    yield from _design(findings) if findings.conditions else _replication(findings)
    if result.amendments:
        changes = "; ".join(f"{amendment.text} on {moment(amendment.time)}" for amendment in result.amendments)
        yield f"Later the plan was amended: {changes}."
    if design.varies_data:
        yield f"Between seeds we varied {varied_in_words(design, len(result.seeds))}."
    if findings.declared:
        yield _tested(findings.declared[0])
        note = level_note(findings.declared[0].unit, seeds=findings.declared[0].sizes[1])
        if note:
            yield f"{note}."
        clusters = clusters_in_methods(findings)
        if clusters is not None:
            yield clusters
        yield (
            "Declared comparisons were adjusted by Holm's method; all others are exploratory, and we give their "
            "false-discovery rates (Benjamini and Hochberg)."
        )
        if any(comparison.effect is not None for comparison in findings.declared):
            yield "Effect sizes are Hedges' g and the paired Cliff's delta, over the unit of the test."
    if design.margins:
        margins = ", ".join(
            f"{measure.title} {design.margins[measure.name]:g}"
            for measure in findings.measures
            if measure.name in design.margins
        )
        yield f"Equivalence was tested by two one-sided tests within margins declared in advance ({margins})."
    yield _missing(result)
    versions = _software(result)
    if versions:
        yield f"Software: {versions}."


def _design(findings: Findings) -> Iterator[str]:
    """Yield what was compared, and what was registered before the first trial."""
    design = findings.result.design
    data, subjects, seeds, trials, registration = _extent(findings.result)
    yield (
        f"We compared {counted(len(design.conditions), 'condition')} with a baseline{data}: "
        f"{listed(list(findings.conditions))}. Each condition was run for {subjects} with {seeds}, "
        f"the same in all conditions ({trials})."
    )
    metrics = {comparison.metric for comparison in design.family}
    tested = listed([measure.title for measure in findings.measures if measure.name in metrics])
    clips = max((comparison.planned[2] for comparison in findings.declared), default=1)
    if clips > 1:
        yield f"Each trial was evaluated on the same {clips:,} test clips."
    yield from _clips_of_decoders(findings)
    if judges_videos(findings.result):
        yield f"Videos were judged by the protocol {protocol_text(evaluate_of_trials(findings.result))}."
    yield from _controls(findings)
    yield (
        f"Before the first trial, {counted(len(design.family), 'comparison')} in {tested}, the number of seeds "
        f"({design.seeds}) and the level ({design.alpha:g}) were registered {registration}."
    )


def _clips_of_decoders(findings: Findings) -> Iterator[str]:
    """Yield over how many clips primary metrics without values per clip are means, if the data set's config says so."""
    first = _first(findings.result)
    names = [measure.name for measure in findings.measures if not measure.name.startswith(f"{EVALUATE}.")]
    splits = dict.fromkeys("test" if ".test_" in name else "validation" for name in names if is_held_out(name))
    for split in splits:
        count = first.config["dataset"].get(f"{split}_clips") if first is not None else None
        if count is not None:
            yield (
                f"Values of a trial are over {count:,} {split} clips; there is one for each trial, so other clips are "
                "not a unit of the tests."
            )


def _controls(findings: Findings) -> Iterator[str]:
    """Yield with which controls the baseline was compared."""
    names = list(dict.fromkeys(title_of(each.name) for test in findings.control_tests for each in test.comparisons))
    of_all = " of all data sets" if findings.result.dataset else ""
    if names:
        yield (
            f"The baseline was first compared with controls that know nothing of the clip ({listed(names)}): the "
            f"largest p of the controls of a metric, adjusted by Holm's method over the primary metrics{of_all}."
        )


def _replication(findings: Findings) -> Iterator[str]:
    """Yield what was run without a comparison, and what was registered before the first trial."""
    data, subjects, seeds, trials, registration = _extent(findings.result)
    primary = listed([measure.title for measure in findings.measures])
    count = findings.result.design.seeds
    yield f"We ran one configuration{data} for {subjects} with {seeds} ({trials}), without a comparison."
    yield f"Before the first trial, {primary} and the number of seeds ({count}) were registered {registration}."


def _extent(result: AblationResult) -> tuple[str, str, str, str, str]:
    """Return data set, numbers of subjects, seeds and trials, and registration, as parts of sentences."""
    first = _first(result)
    return (
        f" on the data set {first.config['dataset']['kind']}" if first is not None else "",
        counted(len(result.subjects), "subject"),
        counted(len(result.seeds), "seed"),
        counted(len(result.trials), "trial"),
        f"(SHA-256 {result.registration.sha256[:16]})",
    )


def _missing(result: AblationResult) -> str:
    unusable = len(result.unusable)
    if unusable == 0:
        return "No trial is missing."
    return (
        f"{counted(unusable, 'trial')} of {len(result.trials):,} failed or did not finish; values that both "
        "conditions have are compared (listwise; a seed that some subjects lack is the mean of the others), with "
        "worst-case bounds for the missing values."
    )


def _tested(comparison: Comparison) -> str:
    method = f"{comparison.interval.method} over {comparison.interval.unit}"
    paired = "subject, seed and clip" if comparison.planned[2] > 1 else "subject and seed"
    return (
        f"Differences are paired by {paired}; {_TESTS[comparison.unit]}. The smallest possible p is "
        f"{comparison.smallest_p:.2g}. Intervals ({comparison.interval.level:.0%}) are {method}; they are not adjusted."
    )


def _first(result: AblationResult) -> AblationTrial | None:
    """Return a trial of the baseline, preferably a completed one; None before a trial was proposed."""
    proposed = [trial for (name, _, _), trial in result.trials.items() if name == BASELINE and trial.config]
    return next((trial for trial in proposed if trial.outcome == "COMPLETED"), proposed[0] if proposed else None)


def _manifest(result: AblationResult) -> Manifest | None:
    """Return the manifest of the last stage run of a completed baseline trial."""
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
    """Return labels and texts: the store, the registration, the plug-ins, and the stage runs of the baseline."""
    result = findings.result
    facts = [("study", result.study), ("store", store), ("registered", result.registration.sha256)]
    facts += [("amended", f"{amendment.text}, {moment(amendment.time)}") for amendment in result.amendments]
    times = [trial.finished for trial in result.trials.values() if trial.finished > 0]
    if times:
        facts.append(("trials ended", f"{moment(min(times))} to {moment(max(times))}"))
    facts += [(f"baseline, {stage}", identity) for stage, identity in result.registration.baseline.items()]
    facts += [(f"plug-in {name}", f"SHA-256 {sha256}") for name, sha256 in result.registration.plugins.items()]
    manifest = _manifest(result)
    if manifest is not None:
        facts += [(f"last stage run, {name}", text) for name, text in manifest.info.items()]
    facts.append(("again", f"python -m platform.report {result.study}"))
    return tuple(facts)
