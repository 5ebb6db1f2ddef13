"""Vertices of betas that lie on the 32k surface: a column per grayordinate, in the order of CIFTI's standard axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.datasets.errors import DataProblem
from trainables.datasets.prepared.description import MESH_VERTICES
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.atlas import Atlas, in_areas, read_atlas
from trainables.preparation.beta_subject import VoxelChoice, rows_of
from trainables.preparation.betas import BetaFile, open_betas
from trainables.preparation.cifti import read_axis
from trainables.preparation.files import InputError
from trainables.preparation.series import CORTEX, BrainAxis

GRAYORDINATES = 91282
"""Columns of the standard axis: the cortex, left and right, then voxels."""
_CORTEX = (29696, 29716)
_SPACE = "fsLR-32k"


@dataclass(frozen=True)
class SurfaceAtlas:
    """An atlas with the vertices that it describes."""

    atlas: Atlas
    axis: BrainAxis
    """Of the cortex, left and right."""
    grayordinates: int
    """Columns of its file, voxels included."""


def open_surface_atlas(path: Path) -> SurfaceAtlas:
    """Open an atlas of the cortex. Raises `InputError`, also if it is of another mesh: betas do not name theirs."""
    whole = read_axis(path)
    cortex = [part for name in CORTEX for part in whole.structures if part.name == name]
    for part in cortex:
        if part.mesh != MESH_VERTICES[_SPACE]:
            what = f"{part.name} has {part.mesh} vertices, the betas are on {MESH_VERTICES[_SPACE]}"
            raise InputError(path, what, "an atlas of the 32k surface is needed")
    return SurfaceAtlas(read_atlas(path), BrainAxis(tuple(cortex)), len(whole))


def choose_vertices(atlas: SurfaceAtlas | None, rois: Sequence[str], files: Sequence[BetaFile]) -> VoxelChoice:
    """Return the vertices of the cortex, or those of the areas `rois`.

    Raises:
        InputError: The file cannot be used, the atlas is of another surface, or no vertex lies in an area.
    """
    (file,) = files
    betas = open_betas(file)
    table, notes = _described(betas.path, betas.shape[2], atlas)
    chosen = in_areas(table.roi, rois, betas.path)
    return VoxelChoice((np.flatnonzero(chosen),), rows_of(table, chosen), notes)


def _described(path: Path, columns: int, atlas: SurfaceAtlas | None) -> tuple[VoxelTable, tuple[DataProblem, ...]]:
    """Return the table of the columns that are of the cortex; of all columns if it is not known which are."""
    if atlas is not None:
        if columns not in (atlas.grayordinates, len(atlas.axis)) and not _is_standard(columns, atlas.axis):
            what = f"has {columns} columns, but the atlas {len(atlas.axis)} vertices of the cortex"
            raise InputError(path, what, f"an atlas for the {GRAYORDINATES} grayordinates of the 32k surface is needed")
        table = VoxelTable(atlas.atlas.areas_of(atlas.axis, path), atlas.axis.names, atlas.axis.vertex)
        return table, _unusual(path, columns, "they are assumed to be those of the atlas")
    if columns == GRAYORDINATES:
        count = sum(_CORTEX)
        return VoxelTable(np.full(count, "", "U1"), np.repeat(CORTEX, _CORTEX)), ()
    right = "all are used, without coordinates"
    return VoxelTable(np.full(columns, "", "U1")), _unusual(path, columns, right)


def _is_standard(columns: int, cortex: BrainAxis) -> bool:
    return columns == GRAYORDINATES and tuple(map(len, cortex.structures)) == _CORTEX


def _unusual(path: Path, columns: int, right: str) -> tuple[DataProblem, ...]:
    if columns == GRAYORDINATES:
        return ()
    what = f"has {columns:,} columns, but {GRAYORDINATES:,} are published"
    return (DataProblem(str(path), what, right, fatal=False),)
