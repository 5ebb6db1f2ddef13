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
from trainables.stages.trained import trained_motion_decoder


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


def feed(task: StageTask, *, nothing: Tensor, device: torch.device) -> tuple[Fed, Tensor]:
    """Return the generator's inputs for each chosen clip, and the clips' indices in the data set, int64 [n].

    `nothing` is the empty prompt's condition, [L,C].

    Raises:
        ValueError: The config selects no clip, or a split with shuffled features has only one.
    """
    feeder = _Feeder(task, split_index(task), device=device)
    fed = Fed(feeder.conditions(nothing), feeder.videos(), noise_seeds(task, feeder.clips.index))
    return fed, feeder.clips.index


class _Feeder:
    """Builds the features of the chosen clips."""

    def __init__(self, task: StageTask, members: Mapping[str, Tensor], *, device: torch.device) -> None:
        self.task, self.config, self.device = task, task.config.reconstruct, device
        cpu = torch.device("cpu")
        index = chosen_clips(members, task.config.generator)
        self.clips = read_some(task, ("condition", "latents"), index, device=cpu)
        first = read_some(task, ("condition",), members["train"][:1], device=cpu)
        self.begin = first.features["condition"][0, 0]
        """State of the begin token. It is constant, because CLIP's text encoder is causal."""
        self.members = members

    def conditions(self, nothing: Tensor) -> Tensor:
        """Return the text conditions, [n,L,C]. Decoders predict all tokens except the first."""
        kind, true = self.config.semantic, self.clips.features["condition"]
        if kind == "true":
            return true
        if kind == "null":
            return nothing.cpu().expand_as(true)
        tokens = (
            self._noise(true[:, 1:], "semantic") if kind == "noise" else self._decoded("semantic", "condition", kind)
        )
        return torch.cat((self.begin.expand_as(true[:, :1]), tokens), dim=1)

    def videos(self) -> Tensor:
        """Return the latent videos, [n,F,c,h,w]."""
        kind, true = self.config.motion, self.clips.features["latents"]
        if kind == "decoded" and self.config.structure == "decoded":
            return self._decoded("motion", "latents", kind)
        first = self._first()[:, None]
        if kind == "static":
            return first.expand_as(true).contiguous()
        if kind in ("true", "noise"):
            rest = true[:, 1:] if kind == "true" else self._noise(true[:, 1:], "motion")
            return torch.cat((first, rest), dim=1)
        return self._rolled_out(first, self._source(kind))

    def _first(self) -> Tensor:
        kind, true = self.config.structure, self.clips.features["latents"][:, 0]
        if kind == "true":
            return true
        return self._noise(true, "structure") if kind == "noise" else self._decoded("structure", "first_latent", kind)

    def _rolled_out(self, first: Tensor, source: Tensor) -> Tensor:
        """Return `first` [n,1,c,h,w] continued with the fMRI of clips `source`. Per-frame MLPs ignore `first`."""
        fmri = read_tensors(self._path("voxels", "voxels.safetensors"), ("fmri",))["fmri"][source].to(self.device)
        model = trained_motion_decoder(self.task, SplitRows(self.clips.index, fmri, self.clips.features))
        with torch.no_grad():
            return in_batches(model.roll_out, first[:, 0].to(self.device), fmri, size=BATCH).cpu()

    def _decoded(self, stage: str, name: str, kind: str) -> Tensor:
        """Return the prediction `name` of `stage` for the chosen clips, or for their partners."""
        stored = read_tensors(self._path(stage, "predictions.safetensors"), (name, "index"))
        position = {clip: i for i, clip in enumerate(stored["index"].tolist())}
        return pick(stored[name], torch.tensor([position[clip] for clip in self._source(kind).tolist()]))

    def _source(self, kind: str) -> Tensor:
        """Return the clips whose fMRI is decoded."""
        return of_kind({"decoded": self._own, "shuffled": self._partners}, kind, field="reconstruct")()

    def _own(self) -> Tensor:
        return self.clips.index

    def _partners(self) -> Tensor:
        index = self.clips.index
        other: dict[int, int] = {}
        for name in HELD_OUT:
            split = self.members[name]
            if torch.isin(split, index).any():
                other |= partners(split, seed=derived_seed(self.task.seed, "partners", name))
        return torch.tensor([other[clip] for clip in index.tolist()])

    def _noise(self, like: Tensor, what: str) -> Tensor:
        """Return standard normal noise with the shape of `like`. Each clip has its own seed."""
        seeds = [derived_seed(self.task.seed, what, clip) for clip in self.clips.index.tolist()]
        return torch.stack([torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds])

    def _path(self, stage: str, name: str) -> Path:
        return self.task.inputs[stage].path(name)
