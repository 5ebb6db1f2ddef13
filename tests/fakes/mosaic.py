"""Writes a small data set as MOSAIC has it in HDF5, with planted answers to motion and repeats of unequal number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fakes.bmd import Videos
from tests.fakes.films import write_film

COLUMNS, VISUAL = 60, 12
VIDEOS = Videos(train=16, test=4)


def stem(number: str) -> str:
    """Return the name of a video in Moments in Time."""
    return f"flickr-7-{number}_3-out_{number}"


def shown(subject: int) -> list[tuple[str, str, int]]:
    """Return number, phase and repetition of each presentation: a subject lacks some repeats."""
    parts = [("train", number, repeat) for number in VIDEOS.numbers["train"] for repeat in (1, 2)]
    parts += [("test", number, repeat) for number in VIDEOS.numbers["test"] for repeat in (1, 2, 3)]
    return [(number, phase, repeat) for phase, number, repeat in parts if (int(number) + repeat + subject) % 7]


def values(subject: int, number: str, repeat: int) -> np.ndarray:
    """Return the betas of one presentation."""
    betas = 0.5 * np.random.default_rng([31, subject, int(number), repeat]).normal(size=COLUMNS)
    betas[:VISUAL] += (VIDEOS.speed(number) - 2.5) / 1.45
    return betas


def write_group(group: Any, subject: int, *, attributes: Mapping[str, str] | None = None) -> None:
    """Write the presentations of a subject into a file or group."""
    facts = {"dataset_name": "BMD", "subjectID": f"sub-{subject:02}", "beta_pipeline": "GLMsingle TYPED"}
    group.attrs.update(facts if attributes is None else attributes)
    for number, phase, repeat in shown(subject):
        name = f"betas/sub-{subject:02}_BMD_stimulus-{stem(number)}_phase-{phase}_rep-{repeat}"
        item = group.create_dataset(name, data=values(subject, number, repeat))
        item.attrs["presented_stimulus_filename"] = f"videos/{stem(number)}.mp4"
        item.attrs["phase"] = phase
        item.attrs["repetition"] = repeat
        item.attrs["nan_indices"] = np.array([], np.int64)


def write_mosaic(folder: Path, subjects: Sequence[int] = (1, 2)) -> Path:
    """Write a file per subject, and the videos."""
    folder.mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        with h5py.File(folder / f"sub-{subject:02}_BMD.hdf5", "w") as file:
            write_group(file, subject)
    for numbers in VIDEOS.numbers.values():
        for number in numbers:
            path = folder / "stimuli" / f"{stem(number)}.mp4"
            write_film(path, [VIDEOS.speed(number)], clip_s=3.0, fps=4, first_pattern=int(number))
    return folder
