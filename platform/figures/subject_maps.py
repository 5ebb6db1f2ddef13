"""Writes the maps of subjects: files for brain viewers, pictures where surfaces are installed, bars by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platform.errors import UserError
from platform.figures.brain_picture import draw_brain, scales_of
from platform.figures.meshes import CorticalMesh, find_mesh, package_of
from platform.figures.region_bars import draw_region_bars
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


def write_subject_maps(
    subjects: Sequence[SubjectMaps], space: str, folder: Path, like: Path | None = None
) -> tuple[list[Path], str]:
    """Write all maps into `folder`; maps of one measure have one scale in all pictures, also of several subjects.

    Args:
        subjects: with one map or more each.
        space: of the data set, such as fsLR-32k.
        folder: where to; files there are replaced.
        like: a volume with the grid of the voxels, for NIfTI.

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
        written = write_maps(subject.maps, subject.voxels, space, folder / subject.subject, like)
        if mesh is not None and on_surface(subject.voxels):
            written += _pictures(subject, mesh, limits, folder)
        written += _bars(subject, bars, folder)
        if not written:
            raise UserError(f"{subject.subject}: the data set says neither where its voxels lie nor in which regions")
        files += written
    return files, _why_no_surface(space, mesh, subjects)


def on_surface(voxels: VoxelTable) -> bool:
    """Return whether the table has vertices of the cortex."""
    return voxels.vertex is not None and voxels.structure is not None and bool((voxels.vertex >= 0).any())


def _pictures(
    subject: SubjectMaps, mesh: CorticalMesh, limits: Mapping[str, tuple[float, float]], folder: Path
) -> list[Path]:
    files = []
    for first in range(0, len(subject.maps), _MOST):
        number = "" if len(subject.maps) <= _MOST else f"_{first // _MOST + 1}"
        files.append(folder / f"{subject.subject}_surfaces{number}.png")
        chosen = subject.maps[first : first + _MOST]
        draw_brain(chosen, subject.voxels, mesh, files[-1], title=subject.subject, scales=limits)
    return files


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
    path = folder / f"{subject.subject}_regions.png"
    draw_region_bars(means, path, title=f"{subject.subject}: mean by region", values=everyone)
    return [path]


def _why_no_surface(space: str, mesh: CorticalMesh | None, subjects: Sequence[SubjectMaps]) -> str:
    if not any(on_surface(subject.voxels) for subject in subjects) or mesh is not None:
        return ""
    package = package_of(space)
    if package is None:
        return f"surfaces are not drawn: no package is known that has those of {space or 'this data set'}"
    return f"surfaces are not drawn: pip install {package} brings those of {space}"
