"""What a system scores that only finds training clips, where test clips show combinations that it knows, and where not.

    python -m benchmarks.nearest_clip [--subjects 3] [--train-clips 2400]

The control `nearest_clip` of the stage `library`, on the phantom and on the phantom with `dataset.unseen_combinations`.
Its clips are compared with the true clips: by the factors that each clip is known to show, and by the metrics of
`evaluate`. Two others are compared in the same way: an ideal finder, which is given the true CLIP embedding, and one
linear decoder for each factor. No features but CLIP's are computed, so this takes minutes.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from storage.memory import MemoryStore
from storage.runs import RunStore
from trainables.backbones.load import load_clip
from trainables.config.decoders import RidgeConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.phantom.stimuli import Factors, from_json
from trainables.datasets.stored_clips import read_stimuli
from trainables.execute import execute
from trainables.graph import stage_runs
from trainables.judging.library import decoded_embeddings, library_of, nearest_of
from trainables.judging.score_tables import mean_and_interval
from trainables.metrics.clip import Clip
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.networks import load_networks
from trainables.metrics.video import reading_of
from trainables.ridge import RidgeSolver
from trainables.tensors import map_tensors

FACTORS = {"shape": ("shape",), "colour": ("colour",), "ground": ("texture", "background")}
JUDGED = ("two_way_i", "vifi", "ssim", "epe")
_CLIPS_AT_ONCE = 16


def main() -> None:
    """Print a table for each world and subject."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--train-clips", type=int, default=2400)
    options = parser.parse_args()
    for unseen in (False, True):
        overrides = {"dataset.unseen_combinations": unseen, "dataset.train_clips": options.train_clips}
        print(f"\n## test clips show {'unseen' if unseen else 'known'} combinations", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            _world(overrides, subjects=options.subjects, folder=Path(folder))


def _world(overrides: dict[str, Any], *, subjects: int, folder: Path) -> None:
    runs = RunStore(MemoryStore(), cache=folder / "cache")
    embeddings: Tensor | None = None
    for subject in range(subjects):
        config = resolve({**overrides, "voxels.subject": subject})
        inputs = _executed(config, runs, folder)
        stimuli = read_stimuli(inputs, config.dataset)
        if embeddings is None:
            embeddings = _embedded(stimuli.clips)
        split = inputs["voxels"].json("voxels.json")["split"]
        fmri = torch.from_numpy(np.array(map_tensors(inputs["voxels"].path("voxels.safetensors"))["fmri"]))
        library = library_of(split, stimuli.digests or [])
        members = {
            name: torch.tensor([i for i, of in enumerate(split) if of == name]) for name in ("validation", "test")
        }
        members["train"] = library
        test = members["test"]
        decoded = decoded_embeddings(
            {name: fmri[members[name]] for name in ("train", "validation")},
            {name: embeddings[members[name]] for name in ("train", "validation")},
            fmri[test],
        )
        factors = from_json(stimuli.factors or {})
        found = nearest_of(decoded, embeddings[library], library).clip
        ideal = nearest_of(embeddings[test], embeddings[library], library).clip
        print(f"subject {subject}: nearest_clip", *_told(factors, test, found), sep="\n  ", flush=True)
        print("  metrics:", *_judged(stimuli.clips, test, found), flush=True)
        if subject == 0:
            print("ideal finder", *_told(factors, test, ideal), sep="\n  ", flush=True)
            print("  metrics:", *_judged(stimuli.clips, test, ideal), flush=True)
        print("linear decoder of each factor", *_linear(factors, fmri, members), sep="\n  ", flush=True)


def _executed(config: TrialConfig, runs: RunStore, folder: Path) -> dict[str, Any]:
    needed = stage_runs(config, seed=0, targets=["voxels"])
    for run in needed:
        execute(run, config, runs=runs, scratch=folder / "scratch")
    return {run.stage: runs.open(run.identity) for run in needed}


def _embedded(clips: Any) -> Tensor:
    clip = load_clip("phantom")
    parts = []
    for first in range(0, len(clips), _CLIPS_AT_ONCE):
        frames = torch.from_numpy(np.array(clips[first : first + _CLIPS_AT_ONCE]))
        parts.append(clip.images(frames.flatten(0, 1)).reshape(*frames.shape[:2], -1).mean(dim=1))
    return torch.cat(parts)


def _codes(factors: Factors, names: tuple[str, ...]) -> NDArray[np.int64]:
    return np.stack([getattr(factors, name) for name in names], axis=1)


def _shares(right: dict[str, NDArray[np.bool_]]) -> Iterator[str]:
    for name, values in {**right, "all three": np.all(list(right.values()), axis=0)}.items():
        mean, low, high = mean_and_interval(values.astype(float).tolist())
        assert mean is not None
        yield f"{name} {mean:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _told(factors: Factors, truth: Tensor, answers: Tensor) -> Iterator[str]:
    right = {}
    for name, parts in FACTORS.items():
        codes = _codes(factors, parts)
        right[name] = np.all(codes[truth.numpy()] == codes[answers.numpy()], axis=1)
    yield from _shares(right)


def _judged(clips: Any, truth: Tensor, answers: Tensor) -> Iterator[str]:
    networks = load_networks({"image_classifier": "phantom", "vifi": "phantom"}, frames=clips.shape[1])

    def clip(number: int) -> Clip:
        return np.array(clips[number : number + 1][0])

    values: dict[str, list[float]] = {name: [] for name in JUDGED}
    for true, answer in zip(truth.tolist(), answers.tolist(), strict=True):
        pair = reading_of(clip(true), networks), reading_of(clip(answer), networks)
        for name, of_metric in values.items():
            of_metric.append(CLIP_METRICS[name].score(*pair))
    for name, of_metric in values.items():
        mean, low, high = mean_and_interval(of_metric)
        yield f"{name} {mean:.3f} [{low:.3f}, {high:.3f}]"


def _linear(factors: Factors, fmri: Tensor, members: dict[str, Tensor]) -> Iterator[str]:
    """Decode each part of each factor alone, by ridge regression to its indicators."""
    solver, right = RidgeSolver.of(fmri[members["train"]]), {}
    for name, parts in FACTORS.items():
        hits = []
        for part in parts:
            codes = torch.from_numpy(getattr(factors, part))
            indicators = torch.nn.functional.one_hot(codes).float()
            solution = solver.chosen(
                indicators[members["train"]],
                validation=(fmri[members["validation"]], indicators[members["validation"]]),
                penalties=RidgeConfig().alphas,
                per="all",
            )
            scores = fmri[members["test"]] @ solution.weight.T + solution.bias
            hits.append((scores.argmax(dim=1) == codes[members["test"]]).numpy())
        right[name] = np.all(hits, axis=0)
    yield from _shares(right)


if __name__ == "__main__":
    main()
