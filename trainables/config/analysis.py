"""Config of the analysis of trained decoders."""

from trainables.config.base import Config, Count, Natural


class ImportanceConfig(Config):
    """Importance of voxels for each decoder (mind-animator.md C.4, Figs 8, 9 and 22)."""

    clips: Count = 60
    """Number of validation clips on which gradients and permutations are measured: the first ones of the split."""
    shuffles: Count = 2
    """Number of times that the values of each voxel are shuffled over the clips."""
    seed: Natural = 0
    """Seed of the shuffles."""
