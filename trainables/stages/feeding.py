"""Inputs of the generator: features decoded from fMRI, or their replacements in an ablation.

Each clip has one partner, drawn from the clip's own split. All `shuffled` features are the partner's. With all three
features shuffled, a clip's video equals its partner's, up to the generator's noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainables.config.video import GeneratorConfig
from trainables.context import StageTask
from trainables.kinds import of_kind
from trainables.randomness import derived_seed
from trainables.stages.decoding import (
    BATCH,
    HELD_OUT,
    SplitRows,
    in_batches,
    pick,
    read_some,
    read_tensors,
    split_index,
)
from trainables.stages.trained import motion_roll_out


@dataclass(frozen=True)
class Fed:
    """The generator's inputs for n videos."""

    conditions: Tensor
    """[n,L,C], starting with the begin token."""
    latents: Tensor
    """[n,F,c,h,w]"""
    seeds: tuple[int, ...]
    """Seeds of the generator's noise."""


def noise_seeds(task: StageTask, index: Tensor) -> tuple[int, ...]:
    """Return the generator's seed for each of the clips `index`. It depends on the trial's seed and the clip only."""
    return tuple(derived_seed(task.seed, "generator", int(clip)) for clip in index)


def chosen_clips(members: Mapping[str, Tensor], config: GeneratorConfig) -> Tensor:
    """Return the clips to reconstruct: the first of the validation split, then the first of the test split.

    Args:
        members: The numbers of the clips of each split.
        config: How many of each.

    Raises:
        ValueError: The config selects no clip.
    """
    counts = {"validation": config.validation_clips, "test": config.test_clips}
    firsts = [members[name][:count] for name, count in counts.items() if count > 0]
    if not firsts:
        raise ValueError("generator.validation_clips and generator.test_clips are both 0; one must be at least 1")
    return torch.cat(firsts)


def partners(index: Tensor, *, seed: int) -> dict[int, int]:
    """Return a different clip for each of `index`, each used once: the cyclic neighbours in a random order.

    Raises:
        ValueError: There is only one clip.
    """
    if len(index) < 2:
        raise ValueError("reconstruct: 'shuffled' needs at least two clips in each split that is reconstructed")
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))
    clips = index[order].tolist()
    return dict(zip(clips, [*clips[1:], clips[0]], strict=True))


class Feeder:
    """The generator's inputs for the chosen clips, read and decoded some clips at a time."""

    def __init__(self, task: StageTask, *, nothing: Tensor, device: torch.device) -> None:
        """Choose the clips. `nothing` is the empty prompt's condition, [L,C].

        Raises:
            ValueError: The config selects no clip, or a split with shuffled features has only one.
        """
        self._task, self._config, self._nothing, self._device = task, task.config.reconstruct, nothing, device
        members = split_index(task)
        self.index = chosen_clips(members, task.config.generator)
        """The number of each clip in the data set, int64 [n]."""
        first = self._features(members["train"][:1])
        self.video = tuple(first.features["latents"].shape[1:])
        """F, c, h, w."""
        self._begin = first.features["condition"][0, 0]
        # State of the begin token. It is constant, because CLIP's text encoder is causal.
        shuffled = "shuffled" in (self._config.semantic, self._config.structure, self._config.motion)
        self._partner = _all_partners(members, self.index, seed=task.seed) if shuffled else {}

    def __len__(self) -> int:
        return len(self.index)

    def block(self, rows: slice) -> Fed:
        """Return the inputs of the clips `rows`."""
        clips = self._features(self.index[rows])
        return Fed(self._conditions(clips), self._videos(clips), noise_seeds(self._task, clips.index))

    def _features(self, index: Tensor) -> SplitRows:
        return read_some(self._task, ("condition", "latents"), index, device=torch.device("cpu"))

    def _conditions(self, clips: SplitRows) -> Tensor:
        """Return the text conditions, [n,L,C]. Decoders predict all tokens except the first."""
        kind, true = self._config.semantic, clips.features["condition"]
        if kind == "true":
            return true
        if kind == "null":
            return self._nothing.cpu().expand_as(true)
        noise = kind == "noise"
        tokens = (
            self._noise(clips, true[:, 1:], "semantic")
            if noise
            else self._decoded(clips, "semantic", "condition", kind)
        )
        return torch.cat((self._begin.expand_as(true[:, :1]), tokens), dim=1)

    def _videos(self, clips: SplitRows) -> Tensor:
        """Return the latent videos, [n,F,c,h,w]."""
        kind, true = self._config.motion, clips.features["latents"]
        if kind == "decoded" and self._config.structure == "decoded":
            return self._decoded(clips, "motion", "latents", kind)
        first = self._first(clips)[:, None]
        if kind == "static":
            return first.expand_as(true).contiguous()
        if kind in ("true", "noise"):
            rest = true[:, 1:] if kind == "true" else self._noise(clips, true[:, 1:], "motion")
            return torch.cat((first, rest), dim=1)
        return self._rolled_out(clips, first, self._source(clips, kind))

    def _first(self, clips: SplitRows) -> Tensor:
        kind, true = self._config.structure, clips.features["latents"][:, 0]
        if kind == "true":
            return true
        noise = kind == "noise"
        return (
            self._noise(clips, true, "structure") if noise else self._decoded(clips, "structure", "first_latent", kind)
        )

    def _rolled_out(self, clips: SplitRows, first: Tensor, source: Tensor) -> Tensor:
        """Return `first` [n,1,c,h,w] continued with the fMRI of clips `source`. Per-frame MLPs ignore `first`."""
        fmri = read_tensors(self._path("voxels", "voxels.safetensors"), ("fmri",))["fmri"][source].to(self._device)
        roll_out = motion_roll_out(self._task, SplitRows(clips.index, fmri, clips.features))
        with torch.no_grad():
            return in_batches(roll_out, first[:, 0].to(self._device), fmri, size=BATCH).cpu()

    def _decoded(self, clips: SplitRows, stage: str, name: str, kind: str) -> Tensor:
        """Return the prediction `name` of `stage` for the clips, or for their partners."""
        stored = read_tensors(self._path(stage, "predictions.safetensors"), (name, "index"))
        position = {clip: i for i, clip in enumerate(stored["index"].tolist())}
        return pick(stored[name], torch.tensor([position[clip] for clip in self._source(clips, kind).tolist()]))

    def _source(self, clips: SplitRows, kind: str) -> Tensor:
        """Return the clips whose fMRI is decoded: the clips themselves, or with `shuffled` their partners."""
        own = {clip: clip for clip in clips.index.tolist()}
        of_clip = of_kind({"decoded": own, "shuffled": self._partner}, kind, field="reconstruct")
        return torch.tensor([of_clip[clip] for clip in own])

    def _noise(self, clips: SplitRows, like: Tensor, what: str) -> Tensor:
        """Return standard normal noise with the shape of `like`. Each clip has its own seed."""
        seeds = [derived_seed(self._task.seed, what, clip) for clip in clips.index.tolist()]
        return torch.stack([torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds])

    def _path(self, stage: str, name: str) -> Path:
        return self._task.inputs[stage].path(name)


def _all_partners(members: Mapping[str, Tensor], index: Tensor, *, seed: int) -> dict[int, int]:
    """Return the partner of every clip of the splits that `index` has clips of."""
    splits = {name: members[name] for name in HELD_OUT if torch.isin(members[name], index).any()}
    of_split = [partners(split, seed=derived_seed(seed, "partners", name)) for name, split in splits.items()]
    return {clip: other for of_clip in of_split for clip, other in of_clip.items()}
