"""The population that a claim speaks of: it follows from what was varied between the blocks, and from the unit."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from platform.statistics.attainable import ClaimUnit

Varied: TypeAlias = Literal["training", "training clips", "data set"]
"""What differs between the blocks of a design: the seed of the training alone; the training and validation clips, too;
or the whole data set, with clips and brains of its own in every block."""


_NETWORKS: Mapping[Varied, str] = {
    "training": "networks trained anew",
    "training clips": "networks trained anew on training clips drawn anew",
    "data set": "networks trained anew on data sets drawn anew (clips, brains and noise)",
}


def fixed(dataset: str = "") -> str:
    """Return for what alone a claim holds if the data set is the same in all blocks; `dataset` is one of several."""
    return f"for {f'the data set {dataset}' if dataset else 'this data set'} and these subjects"


def population(unit: ClaimUnit, *, clustered: str = "clip", varied: Varied = "training", dataset: str = "") -> str:
    """Return for what a difference holds that is tested over `unit`.

    Args:
        unit: The unit of the test.
        clustered: What the clips of a cluster share; `clip` if they are independent.
        varied: What differs between the blocks.
        dataset: Of a study in several data sets, the name of the one in which it was tested.

    Example:
        >>> population("both", clustered="film")
        'networks trained anew and other films, for this data set and these subjects'
    """
    if varied == "data set" and unit != "clips":
        return f"{_NETWORKS[varied]}{f', each like {dataset}' if dataset else ''}"
    texts: Mapping[ClaimUnit, str] = {
        "clips": f"other {clustered}s, for these trained networks only",
        "seeds": f"{_NETWORKS[varied]}, for these test clips only",
        "both": f"{_NETWORKS[varied]} and other {clustered}s",
    }
    return f"{texts[unit]}, {fixed(dataset)}"
