"""The sentences of a sweep's report: what was found, how much of it is luck, and the methods paragraph."""

import math
from collections.abc import Iterator, Sequence

from platform.analysis.search_result import SearchResult
from platform.record.results import Result, better, controls, counts_text, ranked
from platform.reporting.sweep_findings import SweepFindings
from platform.reporting.sweep_tables import value_text
from platform.reporting.words import counted, listed, moment
from platform.study.samplers import SAMPLERS
from platform.study.study import Study
from trainables.config.trial import TrialConfig
from trainables.judging.controls import is_uninformed, title_of
from trainables.judging.protocols import protocol_text
from trainables.metrics.clip_metrics import EVALUATE
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS, is_held_out

_SOFTWARE = {"version.python": "Python", "version.torch": "PyTorch", "version.optuna": "Optuna", "version.ray": "Ray"}
_COMMIT = {"git.commit": "commit", "git.dirty": "uncommitted changes"}

_ADVISED = 4
"""Largest number of metrics that are named in place of a saturated one."""


def alerts(findings: SweepFindings) -> list[str]:
    """Return the warnings at the top of the report."""
    search, warnings = findings.search, []
    if search.open_points > 0:
        rule = search.study.headline().get("stop")
        what = "Not finished" if rule is None else f"Not all points were tried (stop: {rule})"
        warnings.append(f"{what}: {search.ended_points:,} of {counted(search.study.trials, 'point')} have ended.")
    if findings.failed:
        warnings.append(f"{counted(len(findings.failed), 'trial')} failed: see “Failed trials” for the reasons.")
    return [*warnings, *_saturated(findings)]


def _saturated(findings: SweepFindings) -> Iterator[str]:
    """Yield for each target whether it has one value in all completed points, and which metrics have several."""
    points = findings.listed
    if len(points) < 2:
        return
    for target in findings.search.study.targets:
        values = {point.metrics[target.name] for point in points}
        if len(values) == 1:
            others = sorted(_differing(points), key=lambda name: name.partition(".")[0] != target.stage)
            advice = f" Metrics that differ: {listed(others[:_ADVISED])}." if others else ""
            yield (
                f"{target.name} is {values.pop():.4g} in all {len(points)} completed points: it is saturated, or no "
                f"field matters, so it orders nothing.{advice}"
            )


def _differing(points: Sequence[Result]) -> Iterator[str]:
    """Yield the metrics that all `points` have, with several values."""
    for name in METRICS:
        if all(name in point.metrics for point in points) and len({point.metrics[name] for point in points}) > 1:
            yield name


def conclusions(findings: SweepFindings, followed_by: Sequence[str]) -> list[str]:
    """Return what the sweep found, what it does not show, and the ablations that show more or the command for one."""
    if not findings.order and findings.listed:
        return [
            f"None of {counted(len(findings.listed), 'completed point')} satisfies {_bounds(findings)}: "
            "there is no best point. Widen the search, or the bound if you can defend that."
        ]
    if not findings.order:
        return [f"No point has completed ({findings.search.counts}): there is nothing to choose from."]
    several = len(findings.search.study.targets) > 1
    sentences = [_front(findings)] if several else [_best(findings)]
    sentences += [_bounded(findings)] if findings.search.study.outcome_constraints else []
    for target in findings.search.study.targets:
        sentences += [*_controls(findings, target), _luck(findings, target)]
    sentences += [_what_next(findings.search)] if not followed_by else list(map(_followed, followed_by))
    return sentences


def _bounds(findings: SweepFindings) -> str:
    return listed([each.text for each in findings.search.study.outcome_constraints])


def _bounded(findings: SweepFindings) -> str:
    return (
        f"{len(findings.order):,} of {counted(len(findings.listed), 'completed point')} satisfy {_bounds(findings)}. "
        "Whether a point does is read off its measured value, without a margin for chance: one that is near a bound "
        "may violate it under other seeds or clips."
    )


def _front(findings: SweepFindings) -> str:
    names = listed([f"t{point.point:04d}" for point in findings.front])
    targets = listed([measure.title for measure in findings.measures])
    return (
        f"{names} form the Pareto front of {counted(len(findings.order), 'completed point')} in {targets}: no other "
        "point is at least as good in all of them and better in one."
    )


def _best(findings: SweepFindings) -> str:
    target, best = findings.search.study.targets[0], findings.order[0]
    value = best.metrics[target.name]
    text = (
        f"The best of {_compared(findings)} is t{best.point:04d}: {target.title} "
        f"{value:.4g}{f' {target.unit}' if target.unit else ''}"
    )
    gain = findings.gain(target)
    if not math.isfinite(gain):
        return f"{text}."
    if best.point == 0:
        return f"{text}, the point tried first: the search found no better one."
    return f"{text}, {value_text(gain, target, like=gain)} better than the point tried first."


def _compared(findings: SweepFindings) -> str:
    """Return how many points the best was chosen from; one that was stopped early was compared, too."""
    stopped = findings.stopped.total()
    completed = counted(len(findings.order), "completed point")
    return completed if stopped == 0 else f"{completed} and {stopped:,} stopped early"


def _controls(findings: SweepFindings, target: Metric) -> Iterator[str]:
    """Yield that the best value of `target` is no better than controls that know nothing of the clip, if so."""
    best = ranked(findings.order, [target])[0]
    value = best.metrics[target.name]
    reached = [
        f"{title_of(name)} ({level:.4g})"
        for name, level in controls(best, target).items()
        if is_uninformed(name, of_motion=target.of_motion) and not better(target, value, level)
    ]
    if reached:
        knows = "how a clip moves" if target.of_motion else "the clip"
        yield (
            f"{target.title} of the best point ({value:.4g}) is not better than that of {listed(reached)}, which "
            f"knows nothing of {knows}: the search has not yet found what works."
        )


def _luck(findings: SweepFindings, target: Metric) -> str:
    study, count = findings.search.study, len(findings.order) + findings.stopped.total()
    if count == 1:
        return "Only one point was tried, so none was chosen."
    spread, luck = findings.luck(target)
    lead = (
        f"{target.title} of the best point is probably better than what its config gives again: it is the best of "
        f"{count} on the clips that chose it."
    )
    if not math.isfinite(luck):
        return (
            f"{lead} With one training per point, the spread between seeds is not known, so no point is "
            "shown to be better than another."
        )
    size, noise = value_text(luck, target, like=luck), value_text(spread, target, like=spread)
    return (
        f"{lead} If all points were equally good, seeds alone (standard deviation {noise}, means of "
        f"{study.repeats}) would make the best look {size} better than it is."
    )


def _what_next(search: SearchResult) -> str:
    target = "" if len(search.study.targets) == 1 else f" --target {search.study.targets[0].name}"
    return f"To claim a difference, confirm it under fresh seeds: python -m platform.confirm {search.study.id}{target}"


def _followed(study_id: str) -> str:
    what = "are confirmed under fresh seeds" if "-confirm" in study_id else "is taken apart"
    subject = "Its best points" if "-confirm" in study_id else "Its best point"
    return f"{subject} {what} in the ablation {study_id}: python -m platform.report {study_id}"


def facts(findings: SweepFindings) -> list[tuple[str, str]]:
    """Return what was planned and what ended, as labels and texts."""
    study = findings.search.study
    lines = list(study.headline().items())
    if any(target.stage == EVALUATE for target in study.targets):
        lines.append(("protocol", protocol_text(study.space.config({}).evaluate.model_dump())))
    return [*lines, ("trials", counts_text(findings.search.trials)), _seeds(findings)]


def _seeds(findings: SweepFindings) -> tuple[str, str]:
    first, *more = findings.search.study.seeds()
    return ("seeds", f"{first} to {more[-1]}, the same for all points") if more else ("seed", str(first))


def methods(findings: SweepFindings) -> str:
    """Return the methods paragraph."""
    return " ".join(_methods(findings))


def _methods(findings: SweepFindings) -> Iterator[str]:
    search, study = findings.search, findings.search.study
    fields = listed([f"{name}" for name in study.space.fields])
    config = study.space.config({})
    data = f" on the data set {config.dataset.kind}" if study.targets[0].stage != "noop" else ""
    targets = listed(
        [f"{target.title} ({'maximised' if target.goal == 'max' else 'minimised'})" for target in study.targets]
    )
    held_out = all(is_held_out(target.name) for target in study.targets)
    yield (
        f"We searched {fields}{data} with the sampler {study.sampler} ({SAMPLERS[study.sampler].purpose}) and the "
        f"scheduler {study.headline()['scheduler']} for {targets}{_validation(config) if held_out else ''}."
    )
    if study.outcome_constraints:
        yield f"Only points with {_bounds(findings)} could be chosen."
    if study.start_from is not None and study.start_from.points is not None:
        yield (
            f"The sampler was given the results of {counted(len(study.start_from.points), 'point')} of the earlier "
            f"sweep {study.start_from.study}, which are not among the points here."
        )
    first = len(study.space.points)
    fixed = f", of which {first:,} {'was' if first == 1 else 'were'} fixed in advance," if first else ""
    yield (
        f"{counted(study.trials, 'point')}{fixed} were planned, each trained under {counted(study.repeats, 'seed')}"
        f"{_epochs(study)} ({counts_text(search.trials)})."
    )
    yield "The values of a search serve to choose, not to compare: no test was made, and no test clip served to choose."
    software = ", ".join(f"{name} {search.code[key]}" for key, name in _SOFTWARE.items() if key in search.code)
    if software:
        yield f"Software: {software}."


def _validation(config: TrialConfig) -> str:
    """Return on which clips points were compared; a prepared data set counts them itself."""
    count = getattr(config.dataset, "validation_clips", None)
    return ", on validation clips" if count is None else f", on {count:,} validation clips"


def _epochs(study: Study) -> str:
    epochs = study.max_epochs()
    if epochs is None or study.targets[0].stage == "noop":
        return ""
    early = " unless it was stopped early" if study.scheduler.name != "fifo" else ""
    return f" for {'up to ' if early else ''}{counted(epochs, 'epoch')}"


def provenance(findings: SweepFindings, store: str) -> tuple[tuple[str, str], ...]:
    """Return labels and texts: the store, the file, the plug-ins, the times."""
    study = findings.search.study
    lines = [("study", study.id), ("store", store), ("file", study.path)]
    lines += [("settings", ", ".join(study.settings))] if study.settings else []
    times = [trial.finished for trial in findings.search.trials if trial.finished > 0]
    lines += [("trials ended", f"{moment(min(times))} to {moment(max(times))}")] if times else []
    lines += [(label, findings.search.code[key]) for key, label in _COMMIT.items() if key in findings.search.code]
    lines += [(f"plug-in {name}", f"SHA-256 {sha256}") for name, sha256 in study.plugins.digests.items()]
    return (*lines, ("again", f"python -m platform.report {study.id}"))
