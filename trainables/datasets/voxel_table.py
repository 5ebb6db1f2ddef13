"""The voxels of one subject: where each lies, which ROIs it belongs to, and how reliably it answers.

A table is written as Parquet, one row per voxel, with the columns `voxel` (its column in the fMRI), `structure`,
`hemisphere`, `vertex`, `i`, `j`, `k`, `roi`, one boolean column per further ROI, `noise_ceiling_1`, `noise_ceiling_n`
and `repeat_r`. Columns of which nothing is known are absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NOWHERE = -1
"""The vertex of a voxel that lies in the volume, and the coordinates of one that lies on the surface."""
_HEMISPHERES = {"_LEFT": "left", "_RIGHT": "right"}
_FLOATS = ("noise_ceiling_1", "noise_ceiling_n", "repeat_r")
_RESERVED = ("voxel", "structure", "hemisphere", "vertex", "i", "j", "k", "roi", *_FLOATS)


@dataclass(frozen=True)
class VoxelTable:
    """The V voxels of one subject, in the order of the columns of the fMRI. None: not known."""

    roi: NDArray[np.int16]
    """The main ROI: index into the data set's ROI names, [V]."""
    structure: Sequence[str] | None = None
    """Names as in CIFTI: `CIFTI_STRUCTURE_CORTEX_LEFT`."""
    vertex: NDArray[np.int32] | None = None
    """Number of the vertex in its hemisphere's mesh; `NOWHERE` for voxels of the volume."""
    ijk: NDArray[np.int32] | None = None
    """Coordinates in the volume, [V, 3]; `NOWHERE` for vertices."""
    further_rois: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """ROIs that overlap the main ones: name to membership, [V]."""
    noise_ceiling_1: Floats | None = None
    """Share of the variance of a single answer that the clip explains, in percent."""
    noise_ceiling_n: Floats | None = None
    """The same for the mean over repeats."""
    repeat_r: Floats | None = None
    """Correlation between repeats, over training clips."""

    def __post_init__(self) -> None:
        for name in ("structure", "vertex", "ijk", *_FLOATS):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.roi):
                raise ValueError(f"{name} has {len(values)} entries for {len(self.roi)} voxels")
        for name, members in self.further_rois.items():
            if name in _RESERVED:
                raise ValueError(f"a ROI cannot be called {name!r}: a column of the table has this name")
            if len(members) != len(self.roi):
                raise ValueError(f"ROI {name} has {len(members)} entries for {len(self.roi)} voxels")

    def __len__(self) -> int:
        return len(self.roi)

    @property
    def hemisphere(self) -> list[str] | None:
        """`left`, `right`, or empty for structures that have no side; None if no structure is known."""
        if self.structure is None:
            return None
        return [next((side for end, side in _HEMISPHERES.items() if name.endswith(end)), "") for name in self.structure]

    def to_arrow(self, roi_names: Sequence[str]) -> pa.Table:
        """Return the table with ROIs by name."""
        columns: dict[str, Any] = {"voxel": np.arange(len(self), dtype=np.int32)}
        columns |= {"structure": self.structure, "hemisphere": self.hemisphere, "vertex": self.vertex}
        if self.ijk is not None:
            columns |= dict(zip("ijk", np.ascontiguousarray(self.ijk.T), strict=True))
        columns |= {"roi": [roi_names[index] for index in self.roi], **self.further_rois}
        columns |= {name: getattr(self, name) for name in _FLOATS}
        return pa.table({name: values for name, values in columns.items() if values is not None})


def voxel_table(table: pa.Table, roi_names: Sequence[str]) -> VoxelTable:
    """Return the voxels that `VoxelTable.to_arrow` wrote.

    Raises:
        ValueError: A ROI is not among `roi_names`, or a column is missing or of another type.
    """
    number = {name: index for index, name in enumerate(roi_names)}
    names = table.column("roi").to_pylist()
    unknown = sorted(set(names) - set(number))
    if unknown:
        raise ValueError(f"the column roi holds {', '.join(map(repr, unknown))}; the ROIs are {', '.join(roi_names)}")
    present = set(table.column_names)
    numbers = {name: table.column(name).to_numpy() for name in ("vertex", *"ijk", *_FLOATS) if name in present}
    further = [name for name in table.column_names if name not in _RESERVED]
    return VoxelTable(
        roi=np.array([number[name] for name in names], np.int16),
        structure=table.column("structure").to_pylist() if "structure" in present else None,
        vertex=numbers["vertex"].astype(np.int32) if "vertex" in present else None,
        ijk=np.stack([numbers[axis].astype(np.int32) for axis in "ijk"], 1) if "i" in present else None,
        further_rois={name: table.column(name).to_numpy().astype(bool) for name in further},
        **{name: numbers[name].astype(np.float32) for name in _FLOATS if name in present},
    )
