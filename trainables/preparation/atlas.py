"""Gives cortical vertices the names of an atlas's areas.

Areas are joined by vertex and by name, never by number: two copies of one parcellation count their labels differently
(in one, 1 to 180 are the areas of the right hemisphere, in the other those of the left).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.preparation.cifti import mesh_note, open_cifti_image, read_axis
from trainables.preparation.files import InputError
from trainables.preparation.series import CORTEX, BrainAxis, Structure

_HEMISPHERES = dict(zip("LR", CORTEX, strict=True))
_RIGHT = "a CIFTI-2 atlas (.dlabel.nii) is needed"


@dataclass(frozen=True)
class Atlas:
    """Areas of the cortex."""

    path: Path
    mesh: Mapping[str, int]
    """Vertices of the whole surface, by structure."""
    area: Mapping[str, Mapping[int, str]]
    """For each structure, the area of each vertex that has one, such as V1."""

    def areas_of(self, axis: BrainAxis, file: Path) -> NDArray[np.str_]:
        """Return the area of each column; empty where it has none.

        Raises:
            InputError: `file`, whose columns these are, lies on another mesh, or none of its vertices is in the atlas.
        """
        names = np.concatenate([self._areas(part, file) for part in axis.structures])
        if not (names != "").any():
            what = f"none of its {len(axis)} columns has an area of {self.path.name}"
            raise InputError(file, what, "take an atlas of the same surface, or none")
        return names

    def _areas(self, structure: Structure, file: Path) -> NDArray[np.str_]:
        if structure.vertex is None or structure.name not in self.mesh:
            return np.zeros(len(structure), "U1")
        if structure.mesh != self.mesh[structure.name]:
            what = f"{structure.name} has {structure.mesh} vertices, the atlas {self.mesh[structure.name]}"
            raise InputError(file, what, mesh_note(file, structure.mesh))
        areas = self.area[structure.name]
        return np.array([areas.get(vertex, "") for vertex in structure.vertex.tolist()], dtype=np.str_)


def areas_in(atlas: Atlas | None, axis: BrainAxis, file: Path) -> NDArray[np.str_]:
    """Return the area of each column of `file`; all are empty without an atlas. Raises `InputError`."""
    return np.full(len(axis), "", "U1") if atlas is None else atlas.areas_of(axis, file)


def in_areas(roi: NDArray[np.str_], rois: Sequence[str], file: Path) -> NDArray[np.bool_]:
    """Return which columns of `file` lie in the areas `rois`, or all. Raises `InputError` if an area has none."""
    empty = [name for name in rois if name not in roi]
    if empty:
        known = ", ".join(sorted({*roi.tolist()} - {""})[:8])
        raise InputError(file, f"has no vertex in {', '.join(empty)}", f"areas of the atlas are {known}, ...")
    return np.isin(roi, rois) if rois else np.ones(len(roi), np.bool_)


def read_atlas(path: Path) -> Atlas:
    """Read an atlas with one label per vertex; its names may contain the hemisphere, as in `R_V1_ROI` or `L_V1`.

    Raises:
        InputError: It is no atlas, or a name's hemisphere is not the one that its vertices lie in.
    """
    axis = read_axis(path)
    names = _names(path)
    if len(names) != len(axis):
        raise InputError(path, f"has {len(names)} labels for {len(axis)} grayordinates", _RIGHT)
    area: dict[str, dict[int, str]] = {}
    mesh: dict[str, int] = {}
    first = 0
    for part in axis.structures:
        labels = names[first : first + len(part)]
        first += len(part)
        if part.vertex is not None and part.mesh is not None:
            mesh[part.name] = part.mesh
            area[part.name] = _areas(path, part, labels)
    return Atlas(path, mesh, area)


def _names(path: Path) -> list[str]:
    """Return the name of each grayordinate's label, by the file's own table."""
    image = open_cifti_image(path)
    try:
        table = image.header.get_axis(0).label[0]
        numbers = np.asarray(image.dataobj)[0].astype(int)
    except (AttributeError, IndexError, OSError, ValueError) as error:
        raise InputError(path, f"has no table of labels ({error})", _RIGHT) from error
    unknown = sorted(set(numbers.tolist()) - table.keys())
    if unknown:
        raise InputError(path, f"uses label {unknown[0]}, which its table does not have", _RIGHT)
    return [str(table[number][0]) for number in numbers.tolist()]


def _areas(path: Path, structure: Structure, labels: list[str]) -> dict[int, str]:
    assert structure.vertex is not None
    areas = {}
    for vertex, label in zip(structure.vertex.tolist(), labels, strict=True):
        hemisphere, name = split_label(label)
        if hemisphere is not None and _HEMISPHERES[hemisphere] != structure.name:
            what = f"label {label!r} lies in {structure.name}"
            raise InputError(path, what, "its table of labels does not fit its values; take another copy of the atlas")
        if name:
            areas[vertex] = name
    return areas


def split_label(label: str) -> tuple[str | None, str]:
    """Return the hemisphere that a label names, if it does, and the area; `???` is no area.

    Examples:
        >>> split_label("R_V1_ROI"), split_label("L_MT"), split_label("???")
        (('R', 'V1'), ('L', 'MT'), (None, ''))
    """
    match = re.fullmatch(r"(?:([LR])_)?(.*?)(?:_ROI)?", label)
    assert match is not None
    return match[1], "" if match[2] == "???" else match[2]
