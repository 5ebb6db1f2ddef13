"""What is asked of trained decoders beside their predictions."""

from trainables.config.base import Config, Count, Natural


class ImportanceConfig(Config):
    """Which voxels each decoder relies on (mind-animator.md C.4, Figs 8, 9 and 22)."""

    clips: Count = 60
    """Validation clips on which gradients and permutations are measured; the first ones of the split."""
    shuffles: Count = 2
    """How often each voxel's values are shuffled over the clips."""
    seed: Natural = 0
    """Of the shuffles."""
