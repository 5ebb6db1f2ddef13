"""The stages that compute a map of voxels. This module imports nothing heavy."""

from collections.abc import Iterable

MAP_STAGES = ("importance", "encoding_accuracy")


def has_maps(stages: Iterable[str]) -> bool:
    """Return whether one of a trial's stages computes a map of voxels.

    Example:
        >>> has_maps(["voxels", "importance"])
        True
    """
    return not {*stages}.isdisjoint(MAP_STAGES)
