"""Writes a small data set as BOLD Moments is published, with planted answers to motion."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.fakes.films import write_film
from tests.fakes.pickles import write_bmd_betas, write_pickle
from trainables.preparation.noise_ceiling import noise_ceiling

SURFACE = Path("derivatives", "versionB", "fsLR32k", "GLM")
VOLUME = Path("derivatives", "versionB", "MNI152", "prepared_allvoxel_pkl")
ANNOTATIONS = Path("derivatives", "stimuli_metadata", "annotations.json")
REPEATS: Mapping[str, int] = {"train": 3, "test": 10}


@dataclass(frozen=True)
class Videos:
    """The clips of a fake, and how fast something moves in each."""

    train: int = 30
    test: int = 6

    @property
    def numbers(self) -> dict[str, list[str]]:
        """Four digits per clip of each set."""
        return {
            "train": [f"{number:04}" for number in range(1, self.train + 1)],
            "test": [f"{number:04}" for number in range(1001, self.test + 1001)],
        }

    def speed(self, number: str) -> float:
        """Return pixels per frame."""
        return float(np.random.default_rng([17, int(number)]).uniform(0, 5))


def write_videos(folder: Path, videos: Videos, *, seconds: float = 3.0, ending: str = "") -> None:
    """Write a video per clip: train/0001.mp4; or with an `ending`, all in one folder."""
    for name, numbers in videos.numbers.items():
        for number in numbers:
            path = folder / f"{number}{ending}.mp4" if ending else folder / name / f"{number}.mp4"
            write_film(path, [videos.speed(number)], clip_s=seconds, fps=4, first_pattern=int(number))


def write_annotations(path: Path, videos: Videos) -> None:
    """Write five sentences per clip, and other entries that the published file has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        number: {
            "text_descriptions": [f"Something moves in video {number}, seen by person {person}" for person in range(5)],
            "actions": ["moving"],
            "set": name,
            "memorability_score": 0.5,
        }
        for name, numbers in videos.numbers.items()
        for number in numbers
    }
    path.write_text(json.dumps(content))


@dataclass(frozen=True)
class Planted:
    """Betas whose first `visual` voxels answer to the motion in the clips."""

    videos: Videos
    visual: int
    seed: int
    noise: float = 0.5

    def betas(self, numbers: Sequence[str], repeats: int, voxels: int) -> NDArray[np.float64]:
        """Return [clips, repeats, voxels]."""
        rng = np.random.default_rng([19, self.seed, repeats, len(numbers)])
        betas = self.noise * rng.normal(size=(len(numbers), repeats, voxels))
        speeds = np.array([self.videos.speed(number) for number in numbers])
        betas[..., : self.visual] += ((speeds - 2.5) / 1.5)[:, None, None]
        return betas


def write_surface(root: Path, subject: int, videos: Videos, voxels: int = 140, *, visual: int = 20) -> Path:
    """Write both pickles of a subject and the noise ceilings; return their folder."""
    name = f"sub-{subject:02}"
    folder = root / SURFACE / name / "prepared_betas"
    planted = Planted(videos, visual, seed=subject)
    for task, numbers in videos.numbers.items():
        betas = planted.betas(numbers, REPEATS[task], voxels)
        write_bmd_betas(folder / f"{name}_organized_betas_task-{task}_normalized.pkl", betas, int(numbers[0]))
        ceiling = noise_ceiling(betas.reshape(-1, voxels), np.repeat(np.arange(len(numbers)), REPEATS[task]))
        for count, percent in ((1, ceiling.single), (REPEATS[task], ceiling.averaged)):
            write_pickle(folder / f"{name}_noiseceiling_task-{task}_n-{count}.pkl", (ceiling.ncsnr, percent))
    return folder


def write_region(root: Path, subject: int, region: str, betas: Mapping[str, NDArray[Any]], **more: Any) -> Path:
    """Write the pickle of a region, such as `lV1v`, with more entries than are needed."""
    name = f"sub-{subject:02}"
    content = {f"{task}_data_allvoxel": values for task, values in betas.items()}
    path = root / VOLUME / name / f"{name}_roi-{region}_betas_normalized.pkl"
    return write_pickle(path, {**content, "roi_mask": np.ones((4, 5, 6)), "unverified": [1, "x"], **more})


def write_volume(root: Path, subject: int, videos: Videos) -> None:
    """Write V1v, EBA and LOC of both hemispheres, and the whole brain; EBA and LOC of a hemisphere share 4 voxels."""
    whole: dict[str, list[NDArray[Any]]] = {task: [] for task in REPEATS}
    for side in "lr":
        planted = Planted(videos, visual=20, seed=100 * subject + (side == "r"))
        betas = {task: planted.betas(numbers, REPEATS[task], 30) for task, numbers in videos.numbers.items()}
        for region, part in (("V1v", slice(0, 8)), ("EBA", slice(8, 18)), ("LOC", slice(14, 26))):
            write_region(root, subject, f"{side}{region}", {task: values[..., part] for task, values in betas.items()})
        for task, values in betas.items():
            whole[task].append(values)
    write_region(root, subject, "WB", {task: np.concatenate(values, axis=2) for task, values in whole.items()})


def write_bmd(root: Path, *, subjects: Sequence[int] = (1, 2), videos: Videos | None = None) -> Path:
    """Write videos, sentences, and betas of the surface and by region."""
    videos = videos if videos is not None else Videos()
    write_videos(root / "stimuli", videos)
    write_annotations(root / ANNOTATIONS, videos)
    for subject in subjects:
        write_surface(root, subject, videos)
        write_volume(root, subject, videos)
    return root
