"""Config of the analysis of voxels: their importance for trained decoders, and how well clips predict them."""

from typing import Annotated

from pydantic import Field

from trainables.config.base import Config, Count, Natural, Positive


class ImportanceConfig(Config):
    """Importance of voxels for each decoder (mind-animator.md C.4, Figs 8, 9 and 22)."""

    clips: Count = 60
    """Number of validation clips on which gradients and permutations are measured: the first ones of the split."""
    shuffles: Count = 2
    """Number of times that the values of each voxel are shuffled over the clips."""
    seed: Natural = 0
    """Seed of the shuffles."""


class EncodingAccuracyConfig(Config):
    """Ridge regression from features of the clips to each voxel: which voxels answer to what."""

    alphas: Annotated[tuple[Positive, ...], Field(min_length=1)] = tuple(10.0 ** (half / 2) for half in range(13))
    """Candidates for the penalty of squared weights. Each voxel takes the one with the smallest error on validation
    clips."""
