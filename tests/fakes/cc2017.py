"""Writes a small data set as CC2017 is published, with planted answers in V1 and MT."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.fakes.cifti import Brain, reduced_brain, write_dtseries
from tests.fakes.films import write_film
from trainables.preparation.cc2017 import Cc2017Design

SMALL = Cc2017Design(
    train=("seg1", "seg2", "seg3"),
    test=("test1", "test2"),
    validation=("seg3",),
    repeats={"seg": 2, "test": 3},
    clips=12,
    tr=2.0,
    leading={17: 1, 18: 2},
)
VISUAL = 30
"""Vertices at the beginning of each hemisphere that answer to motion."""


@dataclass(frozen=True)
class Planted:
    """What a fake data set was made from."""

    folder: Path
    design: Cc2017Design
    brain: Brain
    speeds: dict[str, list[float]]
    """Of each segment's clips."""


def areas(brain: Brain) -> list[str]:
    """Return the label of each cortical grayordinate: V1, MT, and two that answer to nothing."""
    names = ["V1"] * 15 + ["MT"] * 15 + ["46"] * 15 + ["LIPv"] * (len(brain.left) - 45)
    return [f"L_{name}_ROI" for name in names] + [f"R_{name}_ROI" for name in names]


def write_cc2017(
    folder: Path, *, design: Cc2017Design = SMALL, subjects: Sequence[int] = (1,), noise: float = 0.5
) -> Planted:
    """Write films and CIFTI files, each archive unpacked beside the other."""
    rng = np.random.default_rng(0)
    brain = reduced_brain()
    speeds = {segment: rng.permutation(np.linspace(0, 5, design.clips)).tolist() for segment in design.segments}
    stimuli = folder / "Stimuli" / "video_fmri_dataset" / "stimuli"
    for index, segment in enumerate(design.segments):
        film = stimuli / f"{segment}.mp4"
        write_film(film, speeds[segment], clip_s=design.tr, first_pattern=index * design.clips)
    for subject in subjects:
        for segment in design.segments:
            for repeat in range(1, design.runs_of(segment) + 1):
                values = run_values(speeds[segment], design, brain, noise=noise, seed=(subject, repeat))
                write_dtseries(run_path(folder, subject, segment, repeat), values, brain, tr=design.tr)
    return Planted(folder, design, brain, speeds)


def run_path(folder: Path, subject: int, segment: str, repeat: int) -> Path:
    """Return where CC2017 has a run."""
    root = folder / f"Subject{subject:02d}" / "video_fmri_dataset" / f"subject{subject}" / "fmri" / segment / "cifti"
    return root / f"{segment}_{repeat}_Atlas.dtseries.nii"


def run_values(
    speeds: Sequence[float], design: Cc2017Design, brain: Brain, *, noise: float, seed: tuple[int, int]
) -> NDArray[np.float32]:
    """Return volumes [volumes, grayordinates]: the volume of a clip answers it, as after the published trim."""
    length = 18 if seed[1] == 2 else 17
    leading = design.leading[length]
    rng = np.random.default_rng([*seed, len(speeds), int(1000 * speeds[0])])
    signal = np.zeros((length, len(brain)))
    visual = np.r_[:VISUAL, len(brain.left) : len(brain.left) + VISUAL]
    signal[leading : leading + len(speeds), visual] = np.asarray(speeds)[:, None]
    drift = np.linspace(-1, 1, length)[:, None] * rng.normal(size=len(brain))
    return (1e4 + 100 * (signal + drift + noise * rng.normal(size=signal.shape))).astype(np.float32)
