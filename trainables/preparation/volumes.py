"""Opens NIfTI volumes with a mask, and GIFTI files of both hemispheres, as series of columns.

Such files hold one volume after another, often compressed, so that a column cannot be read without all the rest. They
are therefore unpacked once, volume by volume, into an array in a scratch folder, which is then read in blocks.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.npy_files import write_npy_header
from trainables.preparation.files import InputError, require_content
from trainables.preparation.series import CORTEX, BrainAxis, Floats, Structure

VOLUME = "VOLUME"
"""The structure of voxels in a mask."""
_LARGEST_SHIFT = 1e-3
"""Millimetres by which mask and volumes may lie apart."""
_UNITS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
"""Of NIfTI, in seconds."""


@dataclass(frozen=True)
class UnpackedSeries:
    """A series that was unpacked into an array on disk."""

    path: Path
    """Of the file that it came from."""
    axis: BrainAxis
    volumes: int
    tr_hint: float | None
    unpacked: tuple[Path, ...]
    """For each structure, its columns: float32 [volumes, columns], .npy."""
    notes: tuple[str, ...] = ()

    def read_block(self, columns: slice) -> Floats:
        """Return neighbouring columns, float32 [volumes, columns]."""
        parts, begin = [], 0
        for structure, file in zip(self.axis.structures, self.unpacked, strict=True):
            first, last = max(columns.start - begin, 0), min(columns.stop - begin, len(structure))
            if first < last:
                parts.append(np.load(file, mmap_mode="r")[:, first:last])
            begin += len(structure)
        return np.asfortranarray(np.concatenate(parts, axis=1))


def open_nifti(path: Path, *, mask: Path, scratch: Path) -> UnpackedSeries:
    """Open a NIfTI series; columns are the voxels of `mask` that are not zero.

    Args:
        path: of a `.nii` or `.nii.gz` with four dimensions.
        mask: of a `.nii` or `.nii.gz` on the same grid, such as fMRIPrep's `_desc-brain_mask.nii.gz`.
        scratch: a folder for the unpacked values; the caller removes it.

    Raises:
        InputError: A file is missing, not NIfTI, truncated, or the mask lies on another grid or is empty.
    """
    image, inside = _image(path, dimensions=4), _image(mask, dimensions=3)
    _require_same_grid(path, image, mask, inside)
    chosen = np.asarray(inside.dataobj) != 0
    axis = _mask_axis(mask, chosen)
    unpacked = scratch / f"{path.name}.npy"
    _unpack(path, (volume[chosen] for volume in _volumes(path, image)), unpacked, shape=(image.shape[3], len(axis)))
    return UnpackedSeries(path, axis, int(image.shape[3]), _nifti_tr(image), (unpacked,))


def read_nifti_shape(path: Path) -> tuple[int, ...]:
    """Return the shape of a NIfTI series from its header. Raises `InputError` as `open_nifti`."""
    return tuple(map(int, _image(path, dimensions=4).shape))


def read_mask(mask: Path) -> BrainAxis:
    """Return the columns of a series in `mask`. Raises `InputError` as `open_nifti`."""
    return _mask_axis(mask, np.asarray(_image(mask, dimensions=3).dataobj) != 0)


def _mask_axis(mask: Path, chosen: NDArray[np.bool_]) -> BrainAxis:
    ijk = np.argwhere(chosen).astype(np.int32)
    if len(ijk) == 0:
        raise InputError(mask, "has no voxel inside", "it must be 1 in the brain and 0 elsewhere")
    return BrainAxis((Structure(VOLUME, None, ijk, None),))


def open_gifti(left: Path, right: Path, *, scratch: Path) -> UnpackedSeries:
    """Open a pair of GIFTI series (`.func.gii`), one data array per volume; columns are all vertices, left first.

    A hemisphere is read whole into memory: GIFTI is XML. CIFTI is much faster where there is a choice.

    Raises:
        InputError: A file is missing, not GIFTI, empty, or the hemispheres differ in their volumes.
    """
    first, tr = _unpacked_hemisphere(left, scratch)
    second, _ = _unpacked_hemisphere(right, scratch)
    shapes = [np.load(file, mmap_mode="r").shape for file in (first, second)]
    if shapes[0][0] != shapes[1][0]:
        what = f"has {shapes[1][0]} volumes, but {left.name} has {shapes[0][0]}"
        raise InputError(right, what, "both hemispheres must be of one run")
    axis = _surfaces([vertices for _, vertices in shapes])
    return UnpackedSeries(left, axis, shapes[0][0], tr, (first, second))


def read_gifti_axis(left: Path, right: Path) -> tuple[BrainAxis, int]:
    """Return the columns that `open_gifti` gives, and the number of volumes; decodes no values.

    Raises:
        InputError: As `open_gifti`, but for values that cannot be decoded.
    """
    (volumes, first), (others, second) = _gifti_shape(left), _gifti_shape(right)
    if volumes != others:
        what = f"has {others} volumes, but {left.name} has {volumes}"
        raise InputError(right, what, "both hemispheres must be of one run")
    return _surfaces([first, second]), volumes


def _surfaces(vertices: Sequence[int]) -> BrainAxis:
    """Return the axis of all vertices of both hemispheres."""
    counts = zip(CORTEX, vertices, strict=True)
    return BrainAxis(tuple(Structure(name, np.arange(count, dtype=np.int32), None, count) for name, count in counts))


def _gifti_shape(path: Path) -> tuple[int, int]:
    """Return volumes and vertices, from the tags of the data arrays."""
    require_content(path)
    vertices: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "DataArray":
            vertices.append(attributes.get("Dim0", ""))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise InputError(path, f"cannot be read as GIFTI: {error}", "a .func.gii is needed") from error
    if len(set(vertices)) != 1 or not vertices[0].isdecimal():
        what = f"holds {len(vertices)} arrays of {sorted(set(vertices))} vertices"
        raise InputError(path, what, "one array of all vertices per volume is needed")
    return len(vertices), int(vertices[0])


def _unpacked_hemisphere(path: Path, scratch: Path) -> tuple[Path, float | None]:
    volumes, tr = _gifti(path)
    unpacked = scratch / f"{path.name}.npy"
    _unpack(path, iter(volumes), unpacked, shape=(len(volumes), len(volumes[0])))
    return unpacked, tr


def _unpack(path: Path, volumes: Iterator[NDArray[Any]], unpacked: Path, *, shape: tuple[int, int]) -> None:
    """Write volumes one after another; the file gets its name only when it is complete."""
    partial = unpacked.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            write_npy_header(file, shape, "<f4")
            for volume in volumes:
                file.write(np.ascontiguousarray(volume, "<f4").tobytes())
    except (OSError, EOFError, ValueError, zlib.error) as error:
        partial.unlink(missing_ok=True)
        raise InputError(path, f"cannot be read to its end: {error}", "download or copy it again") from error
    partial.replace(unpacked)


def _image(path: Path, *, dimensions: int) -> Any:
    import nibabel as nib

    require_content(path)
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel may raise any exception on damaged input
        raise InputError(path, f"cannot be read as NIfTI: {error}", "a .nii or .nii.gz is needed") from error
    if len(image.shape) != dimensions:
        what = f"has the shape {list(image.shape)}"
        raise InputError(path, what, f"a file with {dimensions} dimensions is needed")
    return image


def _require_same_grid(path: Path, image: Any, mask: Path, inside: Any) -> None:
    if image.shape[:3] != inside.shape:
        what = f"has {list(inside.shape)} voxels, but {path.name} has {list(image.shape[:3])}"
        raise InputError(mask, what, "take the mask of the same space and resolution")
    shift = np.abs(image.affine - inside.affine).max()
    if shift > _LARGEST_SHIFT:
        what = f"its affine differs from that of {path.name} by {shift:.3g} mm"
        raise InputError(mask, what, "take the mask of the same space and resolution")


def _volumes(path: Path, image: Any) -> Iterator[NDArray[Any]]:
    """Yield each volume, scaled; a compressed file is read once, from front to back."""
    size = int(np.prod(image.shape[:3])) * image.dataobj.dtype.itemsize
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    with _opened(path) as file:
        file.seek(image.dataobj.offset)
        for index in range(image.shape[3]):
            data = file.read(size)
            if len(data) != size:
                raise EOFError(f"it ends in volume {index} of {image.shape[3]}")
            volume = np.frombuffer(data, image.dataobj.dtype).reshape(image.shape[:3], order="F")
            yield volume * np.float32(slope) + np.float32(intercept) if (slope, intercept) != (1, 0) else volume


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _nifti_tr(image: Any) -> float | None:
    step, unit = float(image.header.get_zooms()[3]), image.header.get_xyzt_units()[1]
    factor = _UNITS.get(unit)
    return step * factor if factor is not None and step > 0 else None


def _gifti(path: Path) -> tuple[list[NDArray[Any]], float | None]:
    """Return the volumes, and seconds per volume where the file has them."""
    import nibabel as nib

    require_content(path)
    try:
        image = nib.load(path)
        arrays = [array.data for array in image.darrays]
        step = dict(image.darrays[0].meta).get("TimeStep") if arrays else None
    except Exception as error:  # nibabel may raise any exception on damaged input
        raise InputError(path, f"cannot be read as GIFTI: {error}", "a .func.gii is needed") from error
    if not arrays or any(array.shape != arrays[0].shape or array.ndim != 1 for array in arrays):
        what = f"holds {len(arrays)} arrays of {sorted({array.shape for array in arrays})}"
        raise InputError(path, what, "one array of all vertices per volume is needed")
    return arrays, None if step is None else float(step) / 1000
