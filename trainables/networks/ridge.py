"""The three decoders as ridge regression: one linear layer from voxels to all targets, solved and not trained."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.config.decoders import MotionConfig
from trainables.ridge import RidgeWeights


class LinearMap(nn.Module):
    """fMRI [B,V] to outputs [B,*shape], with the penalty that each output value was solved with."""

    def __init__(self, voxels: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        outputs = math.prod(shape)
        with torch.device("meta"):  # no weights are drawn: they are solved, or loaded
            shapeless = nn.Linear(voxels, outputs)
        self.linear = shapeless.to_empty(device="cpu")
        self.register_buffer("penalty", torch.zeros(outputs, dtype=torch.float64))

    def fill(self, solution: RidgeWeights) -> None:
        """Take over the weights of `solution`."""
        self.linear.weight = nn.Parameter(solution.weight, requires_grad=False)
        self.linear.bias = nn.Parameter(solution.bias, requires_grad=False)
        self.penalty = solution.penalty

    def forward(self, fmri: Tensor) -> Tensor:
        """Return the outputs."""
        outputs: Tensor = self.linear(fmri).unflatten(-1, self.shape)
        return outputs


class RidgeSemantic(nn.Module):
    """fMRI to the CLIP embedding, and to the text condition: two independent linear maps."""

    def __init__(self, voxels: int, *, clip_dim: int, condition: Sequence[int]) -> None:
        super().__init__()
        self.embedding = LinearMap(voxels, (clip_dim,))
        self.condition = LinearMap(voxels, condition)

    def forward(self, fmri: Tensor) -> tuple[Tensor, Tensor]:
        """Turn fMRI [B,V] into the embedding [B,D] and the condition [B,L-1,C]."""
        return self.embedding(fmri), self.condition(fmri)

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """The linear layer from voxels to the text condition."""
        return (self.condition.linear,)


class RidgeStructure(nn.Module):
    """fMRI to the first frame's latent."""

    def __init__(self, voxels: int, latent: Sequence[int]) -> None:
        super().__init__()
        self.first = LinearMap(voxels, latent)

    def forward(self, fmri: Tensor) -> Tensor:
        """Turn fMRI [B,V] into latents [B,c,h,w]."""
        latent: Tensor = self.first(fmri)
        return latent

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """The one linear layer."""
        return (self.first.linear,)


class RidgeMotion(nn.Module):
    """fMRI to the latents of frames 2 to F. They do not depend on the first frame, which is given."""

    def __init__(self, config: MotionConfig, *, voxels: int, video: Sequence[int]) -> None:
        """Create an unsolved map for latent videos of shape `video`, [F,c,h,w]. No setting changes its shape."""
        super().__init__()
        frames, *latent = video
        self.later = LinearMap(voxels, (frames - 1, *latent))

    def forward(self, first: Tensor, fmri: Tensor) -> Tensor:
        """Return the video [B,F,c,h,w] that starts with `first` [B,c,h,w]."""
        return torch.cat((first[:, None], self.later(fmri)), dim=1)

    def roll_out(self, first: Tensor, fmri: Tensor) -> Tensor:
        """Return the same: all frames follow from the fMRI at once."""
        return self.forward(first, fmri)

    @property
    def fmri_layers(self) -> tuple[nn.Linear, ...]:
        """The one linear layer."""
        return (self.later.linear,)


def penalties_of(network: nn.Module) -> dict[str, str]:
    """Return the penalty of each linear map of a solved network, or their range, as facts of a stage run."""
    maps = {name: part for name, part in network.named_modules() if isinstance(part, LinearMap)}
    return {f"penalty of {name}": _range(part.penalty) for name, part in maps.items()}


def _range(penalty: Tensor) -> str:
    least, most = float(penalty.min()), float(penalty.max())
    return f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
