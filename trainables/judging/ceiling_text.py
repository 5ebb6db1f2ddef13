"""The noise ceiling of voxels as text. It imports no engine, so that reports can read the fact."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it imports pyarrow's functions of columns
    from trainables.datasets.prepared.tables import VoxelTable

CEILING_FACT = "noise ceiling of the voxels"
"""A fact of the stage `library` that pages and reports show."""


def ceiling_in_words(table: "VoxelTable", voxels: NDArray[np.int32]) -> str:
    """Return the noise ceiling of the selected voxels as text; empty if clips were not repeated.

    It is the share of a voxel's variance that repeats of a clip explain, so more cannot be decoded from it.
    """
    ceilings = {"one presentation": table.noise_ceiling_1, "the mean over repeats": table.noise_ceiling_n}
    parts = []
    for of, values in ceilings.items():
        chosen = np.array([]) if values is None else values[voxels].astype(np.float64)
        if np.isfinite(chosen).any():
            low, middle, high = np.nanquantile(chosen, [0.25, 0.5, 0.75])
            parts.append(
                f"{middle:.0f}% of a voxel's variance in {of} (middle half of voxels {low:.0f} to {high:.0f}%)"
            )
    return ", ".join(parts)
