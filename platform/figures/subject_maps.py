"""Writes the maps of subjects: files for brain viewers, pictures of surfaces or slices, bars by region."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from platform.errors import UserError
from platform.figures.brain_picture import Scales, draw_brain, scales_of
from platform.figures.meshes import CorticalMesh, find_mesh, package_of
from platform.figures.region_bars import draw_region_bars
from platform.figures.volume_slices import VoxelGrid, draw_slices, oriented_grid
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.brain_maps import BrainMap, region_means, write_maps

_MOST = 4
"""Maps in a picture."""


@dataclass(frozen=True)
class SubjectMaps:
    """Maps of one subject, with different names."""

    subject: str
    maps: Sequence[BrainMap]
    voxels: VoxelTable

    @property
    def stem(self) -> str:
        """Beginning of the files' names. Markdown shows no picture whose name has a space or a bracket."""
        return re.sub(r"[^\w.-]+", "_", self.subject)


def write_subject_maps(
    subjects: Sequence[SubjectMaps], space: str, folder: Path, like: Path | None = None, *, volumes: bool = True
) -> tuple[list[Path], str]:
    """Write all maps into `folder`; maps of one measure have one scale in all pictures, also of several subjects.

    Args:
        subjects: with one map or more each.
        space: of the data set, such as fsLR-32k.
        folder: where to; files there are replaced.
        like: a volume with the grid of the voxels, for NIfTI and the sides of slices.
        volumes: whether voxels of a grid become NIfTI, for which `like` is needed. Slices are drawn in any case.

    Returns:
        The files, and why there are no pictures of surfaces; empty if there are.

    Raises:
        UserError: A table says neither where voxels lie nor in which regions.
        DatasetError: `like` is missing or has another grid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mesh = find_mesh(space)
    limits = scales_of([each for subject in subjects for each in subject.maps])
    bars = _means_of_all(subjects)
    files: list[Path] = []
    for subject in subjects:
        placed = subject.voxels if volumes else replace(subject.voxels, ijk=None)
        written = write_maps(subject.maps, placed, space, folder / subject.stem, like)
        if on_surface(subject.voxels):
            written += _surfaces(subject, mesh, limits, folder) if mesh is not None else []
        elif in_grid(subject.voxels):
            written += _slices(subject, limits, folder, like)
        written += _bars(subject, bars, folder)
        if not written:
            raise UserError(f"{subject.subject}: the data set says neither where its voxels lie nor in which regions")
        files += written
    return files, _why_no_surface(space, mesh, subjects)


def on_surface(voxels: VoxelTable) -> bool:
    """Return whether the table has vertices of the cortex."""
    return voxels.vertex is not None and voxels.structure is not None and bool((voxels.vertex >= 0).any())


def in_grid(voxels: VoxelTable) -> bool:
    """Return whether the table has voxels of a grid."""
    return voxels.ijk is not None and bool((voxels.ijk >= 0).all(axis=1).any())


def _surfaces(subject: SubjectMaps, mesh: CorticalMesh, limits: Scales, folder: Path) -> list[Path]:
    files = []
    for path, maps in _pictures(subject, "surfaces", folder):
        draw_brain(maps, subject.voxels, mesh, path, title=subject.subject, scales=limits)
        files.append(path)
    return files


def _slices(subject: SubjectMaps, limits: Scales, folder: Path, like: Path | None) -> list[Path]:
    assert subject.voxels.ijk is not None
    grid = VoxelGrid(subject.voxels.ijk) if like is None else oriented_grid(subject.voxels.ijk, like)
    files = []
    for path, maps in _pictures(subject, "slices", folder):
        draw_slices(maps, grid, path, title=subject.subject, scales=limits)
        files.append(path)
    return files


def _pictures(subject: SubjectMaps, kind: str, folder: Path) -> Iterator[tuple[Path, Sequence[BrainMap]]]:
    """Yield the file and the maps of each picture."""
    for first in range(0, len(subject.maps), _MOST):
        number = "" if len(subject.maps) <= _MOST else f"_{first // _MOST + 1}"
        yield folder / f"{subject.stem}_{kind}{number}.png", subject.maps[first : first + _MOST]


def _means_of_all(subjects: Sequence[SubjectMaps]) -> dict[str, list[float]]:
    """Return the means by region of all subjects, by map."""
    found: dict[str, list[float]] = {}
    for subject in subjects:
        for name, regions in region_means(subject.maps, subject.voxels).items():
            found.setdefault(name, []).extend(regions.values())
    return found


def _bars(subject: SubjectMaps, everyone: Mapping[str, Sequence[float]], folder: Path) -> list[Path]:
    means = region_means(subject.maps, subject.voxels)
    if not means:
        return []
    path = folder / f"{subject.stem}_regions.png"
    draw_region_bars(means, path, title=f"{subject.subject}: mean by region", values=everyone)
    return [path]


def _why_no_surface(space: str, mesh: CorticalMesh | None, subjects: Sequence[SubjectMaps]) -> str:
    if not any(on_surface(subject.voxels) for subject in subjects) or mesh is not None:
        return ""
    package = package_of(space)
    if package is None:
        return f"surfaces are not drawn: no package is known that has those of {space or 'this data set'}"
    return f"surfaces are not drawn: pip install {package} brings those of {space}"
