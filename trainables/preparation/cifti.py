"""Opens CIFTI-2 dense series (`.dtseries.nii`) by their header, and reads blocks of grayordinates.

On disk the time series of one grayordinate is contiguous, so a block of grayordinates is one read. Structures are
found by name: a file may hold the right hemisphere first, and is then returned with the left one first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from trainables.preparation.files import InputError, require_content, require_size
from trainables.preparation.series import CORTEX, BrainAxis, Floats, Structure

_HEADER = 540
"""Bytes of a NIfTI-2 header."""
_CIFTI_EXTENSION = 32
_MESH_59K = 59292
_SECONDS = {"SECOND": 1.0, "MSEC": 1e-3, "USEC": 1e-6}
RIGHT = "a CIFTI-2 dense series (.dtseries.nii) is needed"


@dataclass(frozen=True)
class FileAxes:
    """Both axes of a file as its header has them."""

    structures: tuple[Structure, ...]
    offsets: tuple[int, ...]
    """First grayordinate of each structure."""
    points: int
    step_s: float | None
    """Seconds per volume, where the unit is one of time."""


@dataclass(frozen=True)
class CiftiSeries:
    """A dense series; columns are the grayordinates of the requested structures."""

    path: Path
    axis: BrainAxis
    volumes: int
    tr_hint: float | None
    notes: tuple[str, ...]
    offsets: tuple[int, ...]
    """First grayordinate in the file of each structure of `axis`."""
    start: int
    """Bytes before the values."""
    dtype: np.dtype[np.generic]
    scale: tuple[float, float] | None
    """Slope and intercept of the stored values, if there are any."""

    def read_block(self, columns: slice) -> Floats:
        """Return neighbouring columns, float32 [volumes, columns]."""
        values = np.empty((columns.stop - columns.start, self.volumes), np.float32)
        for rows, first in self._pieces(columns):
            values[rows] = self._read(first, rows.stop - rows.start)
        if self.scale is not None:
            values *= np.float32(self.scale[0])
            values += np.float32(self.scale[1])
        return values.T

    def _pieces(self, columns: slice) -> list[tuple[slice, int]]:
        """Return the rows of a block that lie together in the file, and the first grayordinate of each piece."""
        pieces, begin = [], 0
        for structure, offset in zip(self.axis.structures, self.offsets, strict=True):
            first, last = max(columns.start, begin), min(columns.stop, begin + len(structure))
            if first < last:
                pieces.append((slice(first - columns.start, last - columns.start), offset + first - begin))
            begin += len(structure)
        return pieces

    def _read(self, first: int, count: int) -> NDArray[np.generic]:
        # One read into memory that is freed at once: pages of a memory map would count as ours until it is closed.
        offset = self.start + first * self.volumes * self.dtype.itemsize
        values = np.fromfile(self.path, self.dtype, count=count * self.volumes, offset=offset)
        if len(values) != count * self.volumes:
            raise InputError(
                self.path, "became shorter while it was read", "do not change input files during the preparation"
            )
        return values.reshape(count, self.volumes)


def open_cifti(path: Path, *, structures: Sequence[str] | None = CORTEX) -> CiftiSeries:
    """Open a dense series; only its header is read.

    Args:
        path: of the `.dtseries.nii`.
        structures: names of the structures to return, in this order; None returns all, the cortex first.

    Raises:
        InputError: It is missing, not a dense series, truncated, or lacks a structure.
    """
    require_content(path)
    header, xml = _header(path)
    axes = _parsed_for(path, xml)
    volumes, grayordinates = _shape(path, header, axes)
    dtype = np.dtype(header.get_data_dtype())
    start = int(header["vox_offset"])
    require_size(path, start + volumes * grayordinates * dtype.itemsize)
    order = _order(path, axes, structures)
    chosen = tuple(axes.structures[index] for index in order)
    return CiftiSeries(
        path,
        BrainAxis(chosen),
        volumes,
        axes.step_s,
        _notes(path, axes, chosen),
        tuple(axes.offsets[index] for index in order),
        start,
        dtype,
        _scale(header),
    )


def read_axis(path: Path) -> BrainAxis:
    """Return all grayordinates of any CIFTI-2 file, in the order of the file.

    Raises:
        InputError: It is missing or not CIFTI-2.
    """
    require_content(path)
    return BrainAxis(_parsed_for(path, _header(path)[1]).structures)


def _header(path: Path) -> tuple[Nifti2Header, bytes]:
    """Return the NIfTI-2 header and the XML of the CIFTI extension."""
    with path.open("rb") as file:
        fixed = file.read(_HEADER)
        if fixed[:2] == b"\x1f\x8b":
            raise InputError(path, "is compressed", "unpack it with gunzip: blocks of it cannot be read otherwise")
        try:
            header = Nifti2Header(fixed, check=False)
        except Exception as error:  # nibabel may raise any exception on damaged input
            raise InputError(path, f"has no NIfTI-2 header ({error})", RIGHT) from error
        if bytes(fixed[4:7]) != b"n+2" or int(header["vox_offset"]) <= _HEADER:
            raise InputError(path, "is not a NIfTI-2 file", RIGHT)
        extensions = file.read(int(header["vox_offset"]) - _HEADER)
    return header, _cifti_xml(path, extensions, header.endianness)


def _cifti_xml(path: Path, extensions: bytes, endianness: str) -> bytes:
    position = 4
    while position + 8 <= len(extensions):
        size, code = np.frombuffer(extensions, f"{endianness}i4", count=2, offset=position).tolist()
        if code == _CIFTI_EXTENSION and size > 8:
            return extensions[position + 8 : position + size].rstrip(b"\0 \n")
        if size < 8:
            break
        position += size
    raise InputError(path, "has no CIFTI-2 header (extension 32)", RIGHT)


def _parsed_for(path: Path, xml: bytes) -> FileAxes:
    try:
        return _parse(xml)
    except (ElementTree.ParseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, f"its CIFTI-2 header cannot be read: {type(error).__name__}: {error}", RIGHT) from error


# Runs of one study share their header: parsed once per content, and one copy of the indices is kept.
@lru_cache(maxsize=4)
def _parse(xml: bytes) -> FileAxes:
    if b"<!ENTITY" in xml or b"<!DOCTYPE" in xml:
        raise ValueError("it defines XML entities, which no CIFTI-2 file needs")
    maps = {
        element.attrib["IndicesMapToDataType"]: element
        for element in ElementTree.fromstring(xml).iter("MatrixIndicesMap")
    }
    models = sorted(maps["CIFTI_INDEX_TYPE_BRAIN_MODELS"].iter("BrainModel"), key=_offset)
    series = maps.get("CIFTI_INDEX_TYPE_SERIES")
    points = 0 if series is None else int(series.attrib["NumberOfSeriesPoints"])
    step = None if series is None else _step(series)
    return FileAxes(tuple(map(_structure, models)), tuple(map(_offset, models)), points, step)


def _offset(model: ElementTree.Element) -> int:
    return int(model.attrib["IndexOffset"])


def _step(series: ElementTree.Element) -> float | None:
    unit = _SECONDS.get(series.attrib.get("SeriesUnit", ""))
    if unit is None:
        return None
    return float(series.attrib["SeriesStep"]) * 10.0 ** int(series.attrib.get("SeriesExponent", "0")) * unit


def _structure(model: ElementTree.Element) -> Structure:
    name, count = model.attrib["BrainStructure"], int(model.attrib["IndexCount"])
    if model.attrib["ModelType"] == "CIFTI_MODEL_TYPE_SURFACE":
        structure = Structure(
            name, _numbers(model, "VertexIndices"), None, int(model.attrib["SurfaceNumberOfVertices"])
        )
    else:
        structure = Structure(name, None, _numbers(model, "VoxelIndicesIJK").reshape(-1, 3), None)
    if len(structure) != count:
        raise ValueError(f"{name} lists {len(structure)} indices, but should have {count}")
    return structure


def _numbers(model: ElementTree.Element, tag: str) -> NDArray[np.int32]:
    text = model.findtext(tag)
    if text is None:
        raise ValueError(f"{model.attrib['BrainStructure']} has no {tag}")
    return np.array(text.split(), np.int32)


def _shape(path: Path, header: Nifti2Header, axes: FileAxes) -> tuple[int, int]:
    """Return volumes and grayordinates, on which both headers must agree."""
    shape = tuple(int(size) for size in header.get_data_shape())
    columns = sum(map(len, axes.structures))
    if axes.points == 0:
        raise InputError(path, "has no axis of volumes", RIGHT)
    if len(shape) != 6 or shape[4:] != (axes.points, columns):
        what = f"its NIfTI header says {list(shape)}, its CIFTI header {axes.points} volumes of {columns} grayordinates"
        raise InputError(path, what, RIGHT)
    return axes.points, columns


def _order(path: Path, axes: FileAxes, structures: Sequence[str] | None) -> list[int]:
    """Return the indices of the requested structures, in the order of the request."""
    names = [structure.name for structure in axes.structures]
    if structures is None:
        cortex = [names.index(name) for name in CORTEX if name in names]
        return cortex + [index for index in range(len(names)) if index not in cortex]
    missing = [name for name in structures if name not in names]
    if missing:
        raise InputError(path, f"has no structure {', '.join(missing)}", f"it has {', '.join(names)}")
    return [names.index(name) for name in structures]


def _notes(path: Path, axes: FileAxes, chosen: tuple[Structure, ...]) -> tuple[str, ...]:
    names = [structure.name for structure in axes.structures if structure.name in CORTEX]
    notes = []
    if names == list(reversed(CORTEX)):
        notes.append(f"{path.name}: the right hemisphere comes first in the file; columns are returned left first")
    notes += [mesh_note(path, structure.mesh) for structure in chosen[:1] if structure.mesh == _MESH_59K]
    return tuple(notes)


def mesh_note(path: Path, mesh: int | None) -> str:
    """Return the message about a file on another mesh than that of the 32k atlas."""
    if mesh == _MESH_59K:
        return (
            f"{path.name}: 59k grayordinates, but the atlas is for 32k; use the `_Atlas...` file without `1.6mm` "
            "(fMRIPrep: --cifti-output 91k)"
        )
    return f"{path.name}: a surface of {mesh} vertices, but the atlas has another number"


def _scale(header: Nifti2Header) -> tuple[float, float] | None:
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope == 1.0 and intercept in (None, 0.0)):
        return None
    return float(slope), 0.0 if intercept is None else float(intercept)


def open_cifti_image(path: Path) -> Any:
    """Return nibabel's image of a small CIFTI-2 file, such as an atlas.

    Raises:
        InputError: nibabel cannot open it as CIFTI-2.
    """
    import nibabel as nib

    require_content(path)
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {error}", "a CIFTI-2 file is needed") from error
    if not isinstance(image, nib.Cifti2Image):
        raise InputError(path, f"is {type(image).__name__}", "a CIFTI-2 file is needed")
    return image
