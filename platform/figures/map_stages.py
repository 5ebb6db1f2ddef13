"""The stages that compute a map of voxels, and where maps are shown. This module imports nothing heavy."""

from collections.abc import Iterable

MAP_STAGES = ("importance", "encoding_accuracy")
MAPS = "maps"
"""Name of the page with maps, and of the folder beside it with its pictures and the files for viewers."""


def has_maps(stages: Iterable[str]) -> bool:
    """Return whether one of a trial's stages computes a map of voxels.

    Example:
        >>> has_maps(["voxels", "importance"])
        True
    """
    return not {*stages}.isdisjoint(MAP_STAGES)
