"""Evaluates one split of a trial: all metrics of the system and its controls, and the shuffle test."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from trainables.judging.controls import SYSTEM, SYSTEMS, TRUTH
from trainables.judging.judged_trial import JudgedSplit
from trainables.judging.score_tables import summarise_scores
from trainables.judging.trial_videos import SplitVideos
from trainables.judging.values import Value, clip_values
from trainables.judging.video_sequences import ReorderedVideos, RepeatedVideo, StaticVideos, VideoSequence
from trainables.metrics.clip import Floats, UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS, SHUFFLE_TESTED, ClipMetric
from trainables.metrics.flow import transition_errors
from trainables.metrics.shuffle import shuffle_test
from trainables.metrics.video import Networks, Reading, reading_of
from trainables.metrics.video_semantics import transition_similarities

SHUFFLED = (SYSTEM, "ceiling")
"""Systems to which the shuffle test is applied."""
_ALPHA = 0.05
_LEAST_FRAMES = 3


@dataclass(frozen=True)
class Bench:
    """Networks, metrics and shuffles for the evaluation of a split."""

    networks: Networks
    metrics: tuple[ClipMetric, ...]
    shuffles: int
    seed: int


@dataclass(frozen=True)
class SplitScores:
    """The evaluation of one split."""

    judged: JudgedSplit
    values: tuple[Value, ...]
    """Values with the index of the clip in the data set as `clip`."""
    shuffle: Mapping[str, Mapping[str, Any]]
    """System to metric (`epe`, `clip_pcc`) to the result of the shuffle test; empty for fewer than three frames."""


@dataclass
class _Notes:
    values: list[Value] = field(default_factory=list)
    tables: dict[tuple[str, str], list[Floats]] = field(default_factory=dict)


def judge(material: SplitVideos, bench: Bench) -> SplitScores:
    """Return the evaluation of the clips of `material`.

    Clips are visited in a random order. `shuffled_fmri` is the reconstruction of the previous clip, so it is never the
    clip's own. A split with one clip has no such control.
    """
    order = _order(len(material.clips), bench.seed)
    notes, system = _Notes(), material.videos[SYSTEM]
    constant = reading_of(material.mean_latent, bench.networks)
    previous = order[-1] if len(order) > 1 else None
    shuffled = reading_of(system[previous], bench.networks) if previous is not None else None
    for row in order:
        readings = _readings(material, row, bench.networks)
        readings |= {"mean_latent": constant} | ({"shuffled_fmri": shuffled} if shuffled is not None else {})
        planted = material.planted[row] if material.planted is not None else None
        truth = replace(readings.pop(TRUTH), known=planted)
        for name, reading in readings.items():
            outcomes = clip_values(bench.metrics, truth, reading)
            notes.values.extend(Value(name, "", str(material.clips[row]), *outcome) for outcome in outcomes)
        _note_order(notes, truth, readings)
        if previous is not None:
            previous, shuffled = row, readings[SYSTEM]
    partner = shuffled_partners(len(material.clips), bench.seed)
    return SplitScores(_judged(material, notes, bench.metrics, partner), tuple(notes.values), _shuffle(notes, bench))


def _order(clips: int, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng(seed).permutation(clips).tolist()
    return order


def shuffled_partners(clips: int, seed: int) -> dict[int, int]:
    """Return row to the row whose reconstruction is its `shuffled_fmri`, for `clips` rows; empty for a single row."""
    order = _order(clips, seed)
    return dict(zip(order, [order[-1], *order[:-1]], strict=True)) if clips > 1 else {}


def _readings(material: SplitVideos, row: int, networks: Networks) -> dict[str, Reading]:
    readings = {name: reading_of(videos[row], networks) for name, videos in material.videos.items()}
    return readings | {"static": readings[SYSTEM].static(networks)}


def _note_order(notes: _Notes, truth: Reading, readings: Mapping[str, Reading]) -> None:
    if len(truth.frames) < _LEAST_FRAMES:
        return
    for name, metric in product(SHUFFLED, SHUFFLE_TESTED):
        if metric == "clip_pcc" and "clip" not in readings[name].outputs:
            continue
        try:
            table = _TRANSITIONS[metric](truth, readings[name])
        except UndefinedError:
            continue  # per_clip.parquet has the reason
        notes.tables.setdefault((name, metric), []).append(table)


def _flow_transitions(truth: Reading, prediction: Reading) -> Floats:
    return transition_errors(truth.flow["rgb"], prediction.frames)


def _clip_transitions(truth: Reading, prediction: Reading) -> Floats:
    """CLIP-pcc without its gate, which does not depend on the order of frames."""
    return transition_similarities(prediction.outputs["clip"])


_TRANSITIONS: Mapping[str, Callable[[Reading, Reading], Floats]] = {
    "epe": _flow_transitions,
    "clip_pcc": _clip_transitions,
}
"""Each metric of `SHUFFLE_TESTED` to the function that computes the table for `shuffle_test`."""


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
    material: SplitVideos, notes: _Notes, metrics: tuple[ClipMetric, ...], partner: Mapping[int, int]
) -> JudgedSplit:
    numbers = {(value.system, value.metric, value.clip): value.value for value in notes.values}
    present = {value.system for value in notes.values}
    rows = summarise_scores(notes.values, metrics)
    return JudgedSplit(
        split=material.split,
        clips=material.clips,
        names=material.names,
        captions=material.captions,
        videos=videos_of(material, partner),
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
    videos["static"] = StaticVideos(videos[SYSTEM])
    videos["mean_latent"] = RepeatedVideo(material.mean_latent, count)
    if partner:
        videos["shuffled_fmri"] = ReorderedVideos(videos[SYSTEM], [partner[row] for row in range(count)])
    return {name: videos[name] for name in (TRUTH, *SYSTEMS) if name in videos}


def row_json(split: JudgedSplit) -> list[dict[str, Any]]:
    """Return the rows of a split's summary as JSON objects."""
    return [{key: value for key, value in asdict(row).items() if key != "control"} for row in split.rows]
