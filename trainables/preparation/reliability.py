"""Computes the reliability of a written subject's voxels and checks its lag. Arrays are read in blocks of voxels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem
from trainables.datasets.prepared.description import LagCurve
from trainables.datasets.prepared.read import ClipArray, PreparedSubject, map_array
from trainables.datasets.prepared.tables import ClipRow, RunRow, VoxelTable
from trainables.preparation.filtering import make_projection
from trainables.preparation.lag import LagCheck, ShownRun, align_at_lag, check_lag, motion_energy, volume_times
from trainables.preparation.noise_ceiling import noise_ceiling, repeat_correlation

Floats = NDArray[np.float32]

_BLOCK_VALUES = 1 << 21
"""Responses, presentations times voxels, that are in memory at a time."""
_MOST_CLIPS = 1000
"""Training clips whose motion is measured for the check of the lag: more would not change it."""
_FEWEST_CLIPS = 20
"""Fewest presentations for a meaningful lag curve."""
_VISUAL = ("V1", "MT", "hV1", "V1v", "V1d")
_RELIABLE = 100
"""Voxels that stand for visual ones where no region is known: the most repeatable."""


@dataclass(frozen=True)
class Responses:
    """The response to each presentation: a row of a subject's array, or a weighted sum of volumes."""

    subject: PreparedSubject
    lag_s: float
    """Seconds from onset to response; series only."""

    @cached_property
    def clips(self) -> list[str]:
        """The clip of each presentation, in the order of `block`."""
        if self.subject.kind == "rows":
            return [row.clip_id for row in self.subject.rows]
        return [clip for _, _, clips in self.responses_by_run for clip in clips]

    @cached_property
    def responses_by_run(self) -> list[tuple[RunRow, Floats, list[str]]]:
        """Each used run, the weights of its volumes, and the clips that it has responses to; series only."""
        with_clips = {event.run_id for event in self.subject.events}
        used = [run for run in self.subject.runs if run.excluded is None and run.run_id in with_clips]
        return [(run, *_responses_of(self.subject, run, self.lag_s)) for run in used]

    def block(self, voxels: slice) -> Floats:
        """Return the responses of some voxels, [presentations, voxels]; series are detrended and z-scored by run."""
        if self.subject.kind == "rows":
            return _columns(self.subject, slice(None), voxels)
        return np.concatenate(
            [weights @ clean_run(self.subject, run, voxels) for run, weights, _ in self.responses_by_run]
        )


def _columns(subject: PreparedSubject, rows: slice, voxels: slice | NDArray[np.int64]) -> Floats:
    """Return some columns. The file is mapped anew each time, since pages of a mapped file count as memory."""
    return np.array(map_array(subject.array)[rows, voxels], np.float32, order="C")


def clean_run(subject: PreparedSubject, run: RunRow, voxels: slice | NDArray[np.int64]) -> Floats:
    """Return some voxels of a run without mean and drift, with a standard deviation of 1, [volumes, voxels]."""
    values = _columns(subject, slice(run.first_row, run.first_row + run.volumes), voxels)
    return make_projection(run.volumes, run.tr).clean(values).values


def _responses_of(subject: PreparedSubject, run: RunRow, lag_s: float) -> tuple[Floats, list[str]]:
    """Return the weights of volumes [presentations, volumes], and the clips of a run whose responses lie in it."""
    shown = [event for event in subject.events if event.run_id == run.run_id]
    onsets = np.array([event.onset_s for event in shown])
    times = volume_times(run.volumes, run.tr, start_s=run.start_time_s, reference=0.0)
    alignment = align_at_lag(times, onsets, np.zeros(len(shown)), lag_s=lag_s)
    clips = [event.clip_id for event, has_response in zip(shown, alignment.has_response, strict=True) if has_response]
    return alignment.weights[alignment.has_response].astype(np.float32), clips


def with_reliability(voxels: VoxelTable, responses: Responses, train: frozenset[str]) -> VoxelTable:
    """Return the voxel table with noise ceilings of all clips, and the correlation between repeats of training clips.

    Only the latter may be used to select voxels: the ceilings depend on test clips.
    """
    names = {clip: number for number, clip in enumerate(dict.fromkeys(responses.clips))}
    if len(names) == len(responses.clips):
        return voxels  # nothing was shown twice
    clip = np.array([names[name] for name in responses.clips])
    of_train = np.array([name in train for name in responses.clips])
    parts: dict[str, list[Floats]] = {"noise_ceiling_1": [], "noise_ceiling_n": [], "repeat_r": []}
    size = max(64, _BLOCK_VALUES // len(clip))
    for first in range(0, len(voxels), size):
        rows = responses.block(slice(first, min(first + size, len(voxels))))
        ceiling = noise_ceiling(rows, clip)
        parts["noise_ceiling_1"].append(ceiling.single.astype(np.float32))
        parts["noise_ceiling_n"].append(ceiling.averaged.astype(np.float32))
        parts["repeat_r"].append(repeat_correlation(rows[of_train], clip[of_train]).astype(np.float32))
    joined = {name: np.concatenate(blocks) for name, blocks in parts.items()}
    return replace(
        voxels,
        noise_ceiling_1=joined["noise_ceiling_1"],
        noise_ceiling_n=joined["noise_ceiling_n"],
        repeat_r=joined["repeat_r"],
    )


def clip_motion(clips: Sequence[ClipRow], frames: ClipArray) -> dict[str, float]:
    """Return the motion energy of training clips; if there are many, of an even choice."""
    train = [index for index, clip in enumerate(clips) if clip.split == "train"]
    chosen = np.unique(np.linspace(0, len(train) - 1, min(len(train), _MOST_CLIPS)).round().astype(int))
    return {clips[train[index]].clip_id: motion_energy(frames[train[index]]) for index in chosen.tolist()}


def check_subject_lag(
    subject: PreparedSubject, voxels: VoxelTable, motion: Mapping[str, float], lag_s: float
) -> LagCheck | None:
    """Correlate the motion in clips with visual activity at several shifts; None if too few clips were shown."""
    chosen = visual_voxels(voxels)
    runs = [*_shown_runs(subject, chosen, motion)]
    if sum(len(run.onsets) for run in runs) < _FEWEST_CLIPS:
        return None
    half = (
        float(runs[0].times[1] - runs[0].times[0]) / 2 - float(np.mean(np.concatenate([r.durations for r in runs]))) / 2
    )
    return check_lag(runs, lag_s=lag_s + half)  # which counts from the clip's middle to the volume's middle


def visual_voxels(voxels: VoxelTable) -> NDArray[np.int64]:
    """Return the voxels of V1 and MT, or else the most repeatable, or else all."""
    names = [name.replace("L_", "").replace("R_", "").removesuffix("_ROI") for name in voxels.roi.tolist()]
    visual = np.flatnonzero([name in _VISUAL for name in names])
    if len(visual):
        return visual
    if voxels.repeat_r is not None:
        return np.sort(np.argsort(-np.nan_to_num(voxels.repeat_r, nan=-1.0), kind="stable")[:_RELIABLE])
    return np.arange(len(voxels))


def _shown_runs(subject: PreparedSubject, voxels: NDArray[np.int64], motion: Mapping[str, float]) -> Iterator[ShownRun]:
    for run in subject.runs:
        events = [event for event in subject.events if event.run_id == run.run_id and event.clip_id in motion]
        if run.excluded is not None or not events or run.volumes < 2:
            continue
        yield ShownRun(
            times=volume_times(run.volumes, run.tr, start_s=run.start_time_s),
            activity=clean_run(subject, run, voxels).mean(axis=1).astype(np.float64),
            onsets=np.array([event.onset_s for event in events]),
            durations=np.array([event.duration_s for event in events]),
            energy=np.array([motion[event.clip_id] for event in events]),
        )


def lag_findings(curves: Mapping[str, LagCheck | None], where: str) -> tuple[dict[str, LagCurve], list[DataProblem]]:
    """Return the curves for dataset.json, and a warning for each that does not peak at the configured lag."""
    computed = {name: check for name, check in curves.items() if check is not None}
    finite = {
        name: LagCurve(
            seconds=check.seconds, correlation=tuple(r if np.isfinite(r) else 0.0 for r in check.correlation)
        )
        for name, check in computed.items()
    }
    warnings = [
        DataProblem(f"{where}, {name}", check.warning, "see the lag curve in the card", fatal=False)
        for name, check in computed.items()
        if check.warning is not None
    ]
    return finite, warnings
