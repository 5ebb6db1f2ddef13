"""Writes NIfTI volumes, masks, and GIFTI series with nibabel."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.gifti import GiftiDataArray, GiftiImage
from numpy.typing import NDArray

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def write_nifti(path: Path, values: NDArray[Any], *, tr: float = 2.0, slope: float | None = None) -> Path:
    """Write `values` [x, y, z] or [x, y, z, volumes]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, AFFINE)
    if values.ndim == 4:
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((2.0, 2.0, 2.0, tr))
    if slope is not None:
        image.header.set_data_dtype("i2")
        image.header.set_slope_inter(slope, 0.0)
    nib.save(image, path)
    return path


def write_gifti(path: Path, values: NDArray[Any], *, tr: float = 2.0) -> Path:
    """Write one data array per volume of `values` [volumes, vertices]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [
        GiftiDataArray(volume, intent="NIFTI_INTENT_TIME_SERIES", datatype="float32", meta={"TimeStep": f"{tr * 1000}"})
        for volume in values
    ]
    nib.save(GiftiImage(darrays=arrays), path)
    return path
