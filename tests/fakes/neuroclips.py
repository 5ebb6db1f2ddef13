"""Writes a small data set as CC2017 is packed for NeuroClips, with planted answers to motion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.fakes.films import clip_frames
from trainables.preparation.cc2017 import Cc2017Design, clip_names

SMALL = Cc2017Design(train=("seg1", "seg2", "seg3", "seg4"), test=("test1", "test2"), validation=("seg4",), clips=6)
VOXELS, VISUAL = 40, 12
TEST_REPEATS = 5
SIDE = 32


def clips(name: str) -> list[str]:
    """Return the clips of a set."""
    return clip_names(SMALL.train if name == "train" else SMALL.test, SMALL.clips)


def _number(name: str, index: int) -> int:
    return index + (1000 if name == "test" else 0)


def speed(name: str, index: int) -> float:
    """Return pixels per frame of a clip."""
    return float(np.random.default_rng([23, _number(name, index)]).uniform(0, 5))


def frames(name: str) -> NDArray[np.uint8]:
    """Return the frames of a set, [clips, 6, SIDE, SIDE, 3]."""
    return np.stack(
        [clip_frames(_number(name, index), speed(name, index), 6, (SIDE, SIDE)) for index in range(len(clips(name)))]
    )


def fmri(name: str, subject: int) -> NDArray[np.float32]:
    """Return [clips, repeats, VOXELS], of which the first VISUAL answer to motion."""
    count, repeats = len(clips(name)), 2 if name == "train" else TEST_REPEATS
    values = 0.5 * np.random.default_rng([29, subject, count]).normal(size=(count, repeats, VOXELS))
    speeds = np.array([speed(name, index) for index in range(count)])
    values[..., :VISUAL] += ((speeds - 2.5) / 1.45)[:, None, None]
    values -= values.mean(axis=(0, 1))
    return np.asarray(values / values.std(axis=(0, 1)), np.float32)


def save(path: Path, content: Any) -> Path:
    """Write what torch.save writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_number = isinstance(content, np.ndarray) and content.dtype.kind in "fiu"
    torch.save(torch.from_numpy(content) if is_number else content, path)
    return path


def write_neuroclips(folder: Path, subjects: Sequence[int] = (1, 2)) -> Path:
    """Write fMRI, frames from 0 to 1 and captions."""
    for name in ("train", "test"):
        for subject in subjects:
            save(folder / f"subj{subject:02}_{name}_fmri.pt", fmri(name, subject))
        save(folder / f"GT_{name}_3fps.pt", (frames(name) / np.float32(255)).transpose(0, 1, 4, 2, 3).copy())
        save(folder / f"GT_{name}_caption.pt", np.array([f"scene of {clip}" for clip in clips(name)]))
    return folder
