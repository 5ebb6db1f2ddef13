"""Writes a small data set as the movie runs of HCP 7T are published, with planted answers in V1 and MT."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.fakes.cifti import Brain, reduced_brain, write_dtseries
from tests.fakes.films import clip_frames, write_frames
from trainables.preparation.hcp_facts import VERSION_FOLDERS, HcpDesign, MovieRun, Version

FPS = 8
SMALL = HcpDesign(
    runs=(
        MovieRun("MOVIE1", "AP", "7T_MOVIE1_CC1", 46, ((4.0, 14.04), (18.0, 28.5), (32.5833, 41.0)), ()),
        MovieRun("MOVIE2", "PA", "7T_MOVIE2_HO1", 44, ((4.0, 16.04), (20.0, 26.5), (30.5833, 39.0)), ()),
        MovieRun("MOVIE3", "PA", "7T_MOVIE3_CC2", 45, ((4.0, 12.04), (16.0, 27.5), (31.5833, 40.0)), ()),
        MovieRun("MOVIE4", "AP", "7T_MOVIE4_HO2", 42, ((4.0, 13.04), (17.0, 24.5), (28.5833, 37.0)), ()),
    ),
    fps=FPS,
)
"""Rests of about 4 s, and a montage of 8 whole seconds."""
LAG = 5
VISUAL = 20
"""Vertices at the beginning of each hemisphere that answer to motion."""
VERTICES = 30
_SIZE = (48, 64)
_MONTAGE, _REST = 500, 999
"""Numbers of patterns."""


def described(run: MovieRun) -> MovieRun:
    """Return the run with whole seconds that captions describe: one second later than clips begin."""
    intervals = tuple((math.ceil(start) + 1, math.floor(end)) for start, end in run.clips)
    return MovieRun(run.name, run.direction, run.film, run.volumes, run.clips, intervals)


DESIGN = HcpDesign(tuple(map(described, SMALL.runs)), SMALL.tr, SMALL.fps)


@dataclass(frozen=True)
class Second:
    """What a film shows in one second from the beginning of a clip on."""

    pattern: int
    speed: float


def shown(run: MovieRun, time: float) -> tuple[Second, float]:
    """Return what a film shows at a time, and for how long it has shown it; rests stand still."""
    number = DESIGN.runs.index(run)
    for index, (start, end) in enumerate(run.clips):
        if start <= time < end:
            base = _MONTAGE if index == len(run.clips) - 1 else 100 * number + 30 * index
            pattern = base + int(time - start)
            speed = float(np.random.default_rng([7, pattern]).uniform(0, 8))
            return Second(pattern, speed), (time - start) % 1
    return Second(_REST, 0.0), 0.0


def film_frames(run: MovieRun, *, later_s: float = 0.0) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a film; with `later_s`, everything comes later than published."""
    for index in range(run.volumes * FPS):
        second, since = shown(run, index / FPS - later_s)
        yield clip_frames(second.pattern, second.speed, int(since * FPS) + 1, _SIZE)[-1]


def write_films(folder: Path, version: Version = "1", *, later_s: float = 0.0) -> Path:
    """Write the films of a version."""
    for run in DESIGN.runs:
        path = folder / VERSION_FOLDERS[version] / run.film_file(version)
        write_frames(path, film_frames(run, later_s=later_s), fps=FPS, size=_SIZE)
    return folder


def answers(run: MovieRun) -> NDArray[np.float64]:
    """Return the planted answer of each volume: the speed in the clip's second `LAG` before."""
    times = np.arange(run.volumes) - LAG + 0.5
    return np.array([shown(run, time)[0].speed for time in times])


def run_path(folder: Path, subject: int, run: MovieRun, processing: str = "Atlas") -> Path:
    """Return where HCP has a run."""
    results = folder / str(subject) / "MNINonLinear" / "Results" / run.task
    return results / f"{run.task}_{processing}.dtseries.nii"


def brain(**changes: Any) -> Brain:
    """Return the grayordinates of a run."""
    return reduced_brain(VERTICES, **changes)


def areas() -> list[str]:
    """Return the label of each cortical grayordinate: V1, MT, and one that answers to nothing."""
    names = ["V1"] * 10 + ["MT"] * 10 + ["46"] * 10
    return [f"{side}_{name}_ROI" for side in "LR" for name in names]


def run_values(run: MovieRun, subject: int, *, noise: float = 0.5) -> NDArray[np.float32]:
    """Return volumes [volumes, grayordinates]."""
    rng = np.random.default_rng([subject, DESIGN.runs.index(run)])
    columns = len(brain())
    visual = np.r_[:VISUAL, VERTICES : VERTICES + VISUAL]
    signal = np.zeros((run.volumes, columns))
    signal[:, visual] = answers(run)[:, None]
    drift = np.linspace(-1, 1, run.volumes)[:, None] * rng.normal(size=columns)
    return (1e4 + 100 * (signal + drift + noise * rng.normal(size=signal.shape))).astype(np.float32)


def write_runs(folder: Path, subjects: Sequence[int] = (100610,), processing: str = "Atlas") -> None:
    """Write the runs of some subjects."""
    for subject in subjects:
        for run in DESIGN.runs:
            write_dtseries(run_path(folder, subject, run, processing), run_values(run, subject), brain(), tr=1.0)
