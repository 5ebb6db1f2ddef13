"""Writes CIFTI-2 files with nibabel: dense series and atlases, on a reduced axis or the standard one of 91k."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.cifti2 import cifti2_axes as axes
from numpy.typing import NDArray

MESH = 32492
LEFT = "CIFTI_STRUCTURE_CORTEX_LEFT"
RIGHT = "CIFTI_STRUCTURE_CORTEX_RIGHT"
STEM = "CIFTI_STRUCTURE_BRAIN_STEM"
SUBCORTEX_91K = {
    "ACCUMBENS_LEFT": 135,
    "ACCUMBENS_RIGHT": 140,
    "AMYGDALA_LEFT": 315,
    "AMYGDALA_RIGHT": 332,
    "BRAIN_STEM": 3472,
    "CAUDATE_LEFT": 728,
    "CAUDATE_RIGHT": 755,
    "CEREBELLUM_LEFT": 8709,
    "CEREBELLUM_RIGHT": 9144,
    "DIENCEPHALON_VENTRAL_LEFT": 706,
    "DIENCEPHALON_VENTRAL_RIGHT": 712,
    "HIPPOCAMPUS_LEFT": 764,
    "HIPPOCAMPUS_RIGHT": 795,
    "PALLIDUM_LEFT": 297,
    "PALLIDUM_RIGHT": 260,
    "PUTAMEN_LEFT": 1060,
    "PUTAMEN_RIGHT": 1010,
    "THALAMUS_LEFT": 1288,
    "THALAMUS_RIGHT": 1248,
}
_AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
_VOLUME = (91, 109, 91)


@dataclass(frozen=True)
class Brain:
    """Which grayordinates a fake file has."""

    left: Sequence[int]
    """Vertices of the left cortex."""
    right: Sequence[int]
    mesh: int = MESH
    subcortex: Mapping[str, int] | None = None
    """Voxels per structure, without the prefix of CIFTI; None has no subcortical voxels."""
    swapped: bool = False
    """The right hemisphere first."""

    def __len__(self) -> int:
        return len(self.left) + len(self.right) + sum((self.subcortex or {}).values())

    def axis(self) -> axes.BrainModelAxis:
        """Return nibabel's axis."""
        left = axes.BrainModelAxis.from_surface(np.array(self.left), self.mesh, LEFT)
        right = axes.BrainModelAxis.from_surface(np.array(self.right), self.mesh, RIGHT)
        axis = right + left if self.swapped else left + right
        first = 0
        for name, count in (self.subcortex or {}).items():
            ijk = np.stack(np.unravel_index(np.arange(first, first + count), _VOLUME), 1)
            first += count
            name = f"CIFTI_STRUCTURE_{name}"
            axis = axis + axes.BrainModelAxis(name=name, voxel=ijk, affine=_AFFINE, volume_shape=_VOLUME)
        return axis


def reduced_brain(vertices: int = 60, **changes: Any) -> Brain:
    """Return a brain of some vertices per hemisphere, spread over the cortex, and 20 voxels of the brain stem."""
    ids = np.arange(vertices) * (MESH // vertices) + 3
    fields = {"left": ids.tolist(), "right": (ids + 1).tolist(), "subcortex": {"BRAIN_STEM": 20}}
    return Brain(**{**fields, **changes})


def write_dtseries(
    path: Path, values: NDArray[Any], brain: Brain, *, tr: float = 2.0, dtype: str = "f4", slope: float | None = None
) -> Path:
    """Write a dense series of `values` [volumes, grayordinates], as Workbench does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    series = axes.SeriesAxis(0, tr, len(values), "SECOND")
    image = nib.Cifti2Image(values, (series, brain.axis()))
    image.update_headers()
    image.nifti_header["pixdim"][1:4] = 1  # else nibabel warns
    image.nifti_header.set_data_dtype(dtype)
    if slope is not None:
        image.nifti_header.set_slope_inter(slope, 0.0)
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SERIES")
    nib.save(image, path)
    return path


def write_atlas(path: Path, areas: Sequence[str], brain: Brain, *, first_number: int = 1) -> Path:
    """Write an atlas with one area's name per cortical grayordinate, such as `R_V1_ROI`; empty for none."""
    names = [name for name in dict.fromkeys(areas) if name]
    numbers = {name: number for number, name in enumerate(names, first_number)}
    table = {0: ("???", (1.0, 1.0, 1.0, 0.0))} | {number: (name, (1, 0, 0, 1)) for name, number in numbers.items()}
    values = np.array([[numbers.get(name, 0) for name in areas]], np.float32)
    image = nib.Cifti2Image(values, (axes.LabelAxis(["areas"], [table]), brain.axis()))
    image.update_headers()
    image.nifti_header["pixdim"][1:4] = 1
    nib.save(image, path)
    return path
