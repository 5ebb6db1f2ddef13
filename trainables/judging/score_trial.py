"""Evaluates one split of a trial: all metrics of the system and its controls, and the shuffle test.

Controls that no decoder changes are judged once for all trials (`judge_controls`). What the networks say of the true
clips, and their flow, is kept with their values, so a trial (`judge`) asks the networks only about what it made itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from trainables.datasets.clusters import each_its_own
from trainables.judging.bench import Bench
from trainables.judging.control_scores import SplitControls, TruthOutputs
from trainables.judging.controls import CEILING, CONTROLS, GENERATOR_CEILING, SYSTEM, SYSTEMS, TRUTH
from trainables.judging.judged_trial import JudgedSplit
from trainables.judging.score_tables import summarise_scores
from trainables.judging.trial_videos import SplitVideos
from trainables.judging.values import Scores, Value, above_average, clip_values
from trainables.judging.video_sequences import ReorderedVideos, RepeatedVideo, StaticVideos, VideoSequence
from trainables.metrics.clip import Floats, UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS, SHUFFLE_TESTED, ClipMetric
from trainables.metrics.flow import transition_errors
from trainables.metrics.shuffle import shuffle_test
from trainables.metrics.video import Reading
from trainables.metrics.video_semantics import transition_similarities

SHUFFLED = (SYSTEM, CEILING)
"""Systems to which the shuffle test is applied."""
_STILL = (SYSTEM, "shuffled_fmri", "plain", CEILING)
"""Videos of one frame, if the system makes such."""
_ALPHA = 0.05
_LEAST_FRAMES = 3


@dataclass(frozen=True)
class SplitScores:
    """The evaluation of one split."""

    judged: JudgedSplit
    scores: Scores


@dataclass(frozen=True)
class _Visit:
    """The readings of one clip."""

    row: int
    truth: Reading
    readings: Mapping[str, Reading]
    """System to reading."""


@dataclass
class _Notes:
    values: list[Value] = field(default_factory=list)
    tables: dict[tuple[str, str], list[Floats]] = field(default_factory=dict)


def judge_controls(material: SplitVideos, bench: Bench, outputs: TruthOutputs) -> Scores:
    """Return the scores of the controls that no decoder changes; write what is known of the truth."""
    constant = bench.read(material.mean_latent)

    def visits() -> Iterator[_Visit]:
        for row in _order(len(material.clips), bench.seed):
            readings = bench.read_all({name: videos[row] for name, videos in material.videos.items()})
            truth = readings.pop(TRUTH)
            outputs.write(row, truth)
            yield _Visit(row, _with_object(truth, material, row), {**readings, "mean_latent": constant})

    return _scores(material, visits(), bench)


def judge(material: SplitVideos, bench: Bench, controls: SplitControls, *, clusters: Sequence[str] = ()) -> SplitScores:
    """Return the evaluation of the clips of `material`, of which `controls` were judged before.

    Clips are visited in a random order. `shuffled_fmri` is the reconstruction of the previous clip, so it is never the
    clip's own. A split with one clip has no such control.

    `clusters` has the cluster of each clip of the data set; if it is empty, every clip is on its own.
    """
    own = _scores(material, _own_visits(material, bench, controls), bench)
    shared = _of_generator(controls.scores) if material.has_own_ceiling else controls.scores
    scores = Scores((*own.values, *shared.values), {**own.shuffle, **shared.shuffle})
    partner = shuffled_partners(len(material.clips), bench.seed)
    own_clusters = tuple(clusters[clip] for clip in material.clips) if clusters else each_its_own(material.clips)
    videos = videos_of(material, partner)
    return SplitScores(_judged(material, scores.values, bench.metrics, clusters=own_clusters, videos=videos), scores)


def _own_visits(material: SplitVideos, bench: Bench, controls: SplitControls) -> Iterator[_Visit]:
    order = _order(len(material.clips), bench.seed)
    made = {name: videos for name, videos in material.videos.items() if name == SYSTEM or _is_own(name, material)}
    previous = bench.read(made[SYSTEM][order[-1]]) if len(order) > 1 else None
    for row in order:
        frames = material.videos[TRUTH][row]
        flow = controls.flow(row)
        truth = Reading(frames, bench.flow(frames) if flow is None else flow, controls.outputs(row))
        readings = bench.read_all({name: videos[row] for name, videos in made.items()})
        if not material.still:
            readings["static"] = bench.hold(readings[SYSTEM])
        shuffled = {"shuffled_fmri": previous} if previous is not None else {}
        yield _Visit(row, _with_object(truth, material, row), {**readings, **shuffled})
        previous = readings[SYSTEM] if previous is not None else None


def _is_own(name: str, material: SplitVideos) -> bool:
    """Return whether the control `name` differs between trials."""
    return (name in CONTROLS and not CONTROLS[name].shared) or (name == CEILING and material.has_own_ceiling)


def _of_generator(scores: Scores) -> Scores:
    """Return the scores of shared controls with the name that the generator's ceiling has beside another one."""
    names = {CEILING: GENERATOR_CEILING}
    values = tuple(replace(value, system=names.get(value.system, value.system)) for value in scores.values)
    return Scores(values, {names.get(name, name): tests for name, tests in scores.shuffle.items()})


def _with_object(truth: Reading, material: SplitVideos, row: int) -> Reading:
    return replace(truth, known=material.planted[row] if material.planted is not None else None)


def _scores(material: SplitVideos, visits: Iterable[_Visit], bench: Bench) -> Scores:
    notes = _Notes()
    for visit in visits:
        clip = str(material.clips[visit.row])
        for name, reading in visit.readings.items():
            still = material.still and name in _STILL
            outcomes = clip_values(bench.metrics, visit.truth, reading, threads=bench.threads, still=still)
            notes.values.extend(Value(name, "", clip, *outcome) for outcome in outcomes)
        if not material.still:
            _note_order(notes, visit.truth, visit.readings, threads=bench.threads)
    values = above_average(notes.values) if bench.average_gate else notes.values
    return Scores(tuple(values), _shuffle(notes, bench))


def _order(clips: int, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng(seed).permutation(clips).tolist()
    return order


def shuffled_partners(clips: int, seed: int) -> dict[int, int]:
    """Return row to the row whose reconstruction is its `shuffled_fmri`, for `clips` rows; empty for a single row."""
    order = _order(clips, seed)
    return dict(zip(order, [order[-1], *order[:-1]], strict=True)) if clips > 1 else {}


def _note_order(notes: _Notes, truth: Reading, readings: Mapping[str, Reading], *, threads: int) -> None:
    if len(truth.frames) < _LEAST_FRAMES:
        return
    for name, metric in product(SHUFFLED, SHUFFLE_TESTED):
        if name not in readings or (metric == "clip_pcc" and "clip" not in readings[name].outputs):
            continue
        try:
            table = _TRANSITIONS[metric](truth, readings[name], threads)
        except UndefinedError:
            continue  # per_clip.parquet has the reason
        notes.tables.setdefault((name, metric), []).append(table)


def _flow_transitions(truth: Reading, prediction: Reading, threads: int) -> Floats:
    return transition_errors(truth.flow["rgb"], prediction.frames, own=prediction.flow["rgb"], threads=threads)


def _clip_transitions(truth: Reading, prediction: Reading, threads: int) -> Floats:
    """CLIP-pcc without its gate, which does not depend on the order of frames."""
    return transition_similarities(prediction.outputs["clip"])


_TRANSITIONS: Mapping[str, Callable[[Reading, Reading, int], Floats]] = {
    "epe": _flow_transitions,
    "clip_pcc": _clip_transitions,
}
"""Each metric of `SHUFFLE_TESTED` to the function that computes the table for `shuffle_test`, on several threads."""


def _shuffle(notes: _Notes, bench: Bench) -> dict[str, dict[str, Any]]:
    """Return the P of the group (mean and all repeats), and the fraction of clips with p <= 0.05."""
    results: dict[str, dict[str, Any]] = {}
    for (system, metric), tables in notes.tables.items():
        test = shuffle_test(np.stack(tables), goal=CLIP_METRICS[metric].goal, shuffles=bench.shuffles, seed=bench.seed)
        results.setdefault(system, {})[metric] = {
            "group_p": float(test.group.mean()),
            "group_p_repeats": test.group.tolist(),
            "clips": len(tables),
            "clips_below_0.05": float((test.per_clip <= _ALPHA).mean()),
            "median_clip_p": float(np.median(test.per_clip)),
        }
    return results


def _judged(
    material: SplitVideos,
    values: tuple[Value, ...],
    metrics: tuple[ClipMetric, ...],
    *,
    clusters: tuple[str, ...],
    videos: Mapping[str, VideoSequence],
) -> JudgedSplit:
    numbers = {(value.system, value.metric, value.clip): value.value for value in values}
    present = {value.system for value in values}
    of_clip = dict(zip(map(str, material.clips), clusters, strict=True))
    rows = summarise_scores(values, metrics, clusters=of_clip)
    return JudgedSplit(
        split=material.split,
        clips=material.clips,
        names=material.names,
        clusters=clusters,
        captions=material.captions,
        videos=videos,
        values={
            (system, metric.short): tuple(numbers[system, metric.short, str(clip)] for clip in material.clips)
            for system in SYSTEMS
            if system in present
            for metric in metrics
        },
        rows=tuple(row for name in SYSTEMS for row in rows if (row.system, row.control) == (name, "")),
    )


def videos_of(material: SplitVideos, partner: Mapping[int, int]) -> dict[str, VideoSequence]:
    """Return the videos of the truth and of all systems, in the order of tables."""
    videos, count = dict(material.videos), len(material.clips)
    if not material.still:
        videos["static"] = StaticVideos(videos[SYSTEM])
    videos["mean_latent"] = RepeatedVideo(material.mean_latent, count)
    if partner:
        videos["shuffled_fmri"] = ReorderedVideos(videos[SYSTEM], [partner[row] for row in range(count)])
    return {name: videos[name] for name in (TRUTH, *SYSTEMS) if name in videos}


def row_json(split: JudgedSplit) -> list[dict[str, Any]]:
    """Return the rows of a split's summary as JSON objects."""
    return [{key: value for key, value in asdict(row).items() if key != "control"} for row in split.rows]
