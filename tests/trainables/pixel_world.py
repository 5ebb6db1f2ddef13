"""A tiny world for decoders of pixels: clips of the phantom, and fMRI that is a linear function of what they show."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from storage.checkpoints import Checkpoints
from storage.memory import MemoryStore
from storage.runs import Artifacts, Manifest, RunStore
from trainables.config.trial import TrialConfig
from trainables.context import Context, EpochReport, StageResult, StageTask, silent
from trainables.datasets.base import digest_of
from trainables.datasets.phantom.stimuli import render, sample_factors
from trainables.graph import resolve_reference
from trainables.stage_table import STAGES

SIDE, FRAMES, VOXELS = 32, 8, 40
SPLIT = ("train",) * 96 + ("validation",) * 12 + ("test",) * 16
_NOISE = 0.05


def clips(*, seed: int = 0, count: int = len(SPLIT)) -> NDArray[np.uint8]:
    """Return clips of the phantom, uint8 [N,F,H,W,3]."""
    return render(sample_factors(np.random.default_rng(seed), count), frames=FRAMES, resolution=SIDE)


def answers(shown: NDArray[np.uint8], *, seed: int = 1) -> NDArray[np.float32]:
    """Return standardised fMRI [N,V]: a random projection of coarse first and last frames, with some noise."""
    rng = np.random.default_rng(seed)
    coarse = shown[:, (0, -1), 2::4, 2::4].reshape(len(shown), -1) / 255.0
    voxels = (coarse - coarse.mean(0)) @ rng.normal(size=(coarse.shape[1], VOXELS))
    voxels = voxels / voxels.std(0) + rng.normal(scale=_NOISE, size=voxels.shape)
    return np.asarray((voxels - voxels.mean(0)) / voxels.std(0), np.float32)


class PixelWorld:
    """A store with the runs `clips` and `voxels`, and stages to run on them."""

    def __init__(self, folder: Path, *, fmri: NDArray[np.float32] | None = None, more: int = 0) -> None:
        """`fmri` replaces that of `answers`, [N,V]. `more` training clips follow those of `SPLIT`."""
        self.folder = folder
        self.runs = RunStore(MemoryStore(), cache=folder / "cache")
        self._number = itertools.count()
        self.split = (*SPLIT, *("train",) * more)
        self.clips = clips(count=len(self.split))
        self.fmri = answers(self.clips) if fmri is None else fmri
        shown = {
            "captions": [["a clip"]] * len(self.split),
            "source": [f"film {number}" for number in range(len(self.split))],
            "factors": None,
            "warnings": [],
            "shape": self.clips.shape,
            "digests": [digest_of(clip) for clip in self.clips],
            "prepared": None,
        }
        self.inputs: dict[str, Artifacts] = {}
        self.add("clips", {"clips.safetensors": {"clips": self.clips}, "clips.json": shown})
        roi = {"roi": np.zeros(VOXELS, np.int16), "voxel": np.arange(VOXELS, dtype=np.int32)}
        described = {"split": list(self.split), "roi_names": ["V1"], "subject": "one"}
        self.add("voxels", {"voxels.safetensors": {"fmri": self.fmri, **roi}, "voxels.json": described})

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the numbers of the clips of a split."""
        return np.flatnonzero(np.array(self.split) == split)

    def add(self, stage: str, files: Mapping[str, Any]) -> None:
        """Commit `files` as the run of `stage` that others read."""
        folder = self._new_folder()
        for name, content in files.items():
            if name.endswith(".json"):
                (folder / name).write_text(json.dumps(content), encoding="utf-8")
            else:
                save_file({key: np.ascontiguousarray(values) for key, values in content.items()}, folder / name)
        self._commit(stage, folder)

    def run(
        self,
        stage: str,
        config: TrialConfig,
        *,
        seed: int = 0,
        report: EpochReport = silent,
        checkpoints: Checkpoints | None = None,
    ) -> tuple[StageResult, dict[str, NDArray[Any]]]:
        """Run `stage`; return its result and its videos, if it makes some. Later stages find what it wrote."""
        output = self._new_folder()
        kept = Checkpoints(MemoryStore(), stage, cache=self._new_folder()) if checkpoints is None else checkpoints
        task = StageTask(config, seed, self.inputs, Context(output, kept, report))
        result = resolve_reference(STAGES[stage].implementation)(task)
        videos = load_file(output / "videos.safetensors") if (output / "videos.safetensors").is_file() else {}
        self._commit(stage, output)
        return result, videos

    def checkpoints(self) -> Checkpoints:
        """Return a place for checkpoints that two runs of a stage can share."""
        return Checkpoints(MemoryStore(), "shared", cache=self._new_folder())

    def _new_folder(self) -> Path:
        folder = self.folder / str(next(self._number))
        folder.mkdir(parents=True)
        return folder

    def _commit(self, stage: str, folder: Path) -> None:
        identity = f"{stage}-{next(self._number)}"
        self.runs.commit(Manifest(identity, stage, {}, 0, {}, {}, {}, (), {}, 0.0, 0.0), folder)
        self.inputs[stage] = self.runs.open(identity)


class StopError(Exception):
    """Stands for a killed process."""


def stop_after(last: int) -> EpochReport:
    """Return a report that ends a training after epoch `last`."""

    def report(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == last:
            raise StopError

    return report


def identified(videos: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Return how often a video [n,F,H,W,3] is nearer to its own true clip than to another, by squared error.

    Chance is 0.5. Without information, the standard deviation of the mean over 16 clips is about 0.07.
    """
    shown = videos.reshape(len(videos), -1).astype(np.float64)
    true = truth.reshape(len(truth), -1).astype(np.float64)
    errors = ((shown[:, None] - true[None]) ** 2).mean(axis=-1)
    farther = (errors > errors.diagonal()[:, None]).sum(axis=1) / (len(true) - 1)
    return float(farther.mean())
