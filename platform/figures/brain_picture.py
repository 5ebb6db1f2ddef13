"""Draws maps of a subject's voxels on flat and inflated surfaces; maps of one measure have one scale."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platform.figures.meshes import SIDES, CorticalMesh
from platform.figures.region_bars import limits, unit_of
from platform.figures.surface_views import SurfaceView, surface_views
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.brain_maps import BrainMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "viridis"
_DPI = 110
Scales = Mapping[str, tuple[float, float]]


def scales_of(maps: Sequence[BrainMap]) -> Scales:
    """Return the limits of each map: those of all maps of its measure, which is what its name begins with."""
    values = {each.name: each.values[np.isfinite(each.values)].tolist() for each in maps}
    return {each.name: limits(each.name, values) for each in maps}


def draw_brain(
    maps: Sequence[BrainMap],
    voxels: VoxelTable,
    mesh: CorticalMesh,
    path: Path,
    *,
    title: str,
    scales: Scales | None = None,
) -> None:
    """Write a row of views for each map.

    Args:
        maps: of one subject.
        voxels: its voxel table, with structures and vertices.
        mesh: the surfaces of its space.
        path: of the PNG.
        title: above all rows.
        scales: limits by the name of the map, such as those of all subjects; by default those of `maps`.

    Raises:
        ValueError: No vertex of the table is on a surface.
    """
    from matplotlib.figure import Figure  # takes a second

    of_vertices = [_on_vertices(each, voxels, mesh) for each in maps]
    views, limits_of = [*surface_views(mesh)], scales_of(maps) if scales is None else scales
    widths = [view.triangle.shape[1] for view in views]
    figure = Figure(figsize=(sum(widths) / 100 + 1.2, 0.5 + 1.75 * len(maps)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    rows = figure.subplots(len(maps), len(views), squeeze=False, width_ratios=widths)
    for row, each, values in zip(rows, maps, of_vertices, strict=True):
        low, high = limits_of[each.name]
        for panel, view in zip(row, views, strict=True):
            panel.imshow(_coloured(view, values[view.structure], low, high), interpolation="nearest")
            panel.set_axis_off()
            panel.set_title(view.title, fontsize=7)
        row[0].text(0.0, 1.25, each.name, transform=row[0].transAxes, fontsize=9, va="bottom")
        add_colour_bar(figure, row, low, high, unit_of(each.name))
    figure.savefig(path, dpi=_DPI)


def _on_vertices(each: BrainMap, voxels: VoxelTable, mesh: CorticalMesh) -> dict[str, NDArray[np.float32]]:
    """Return structure to the value of each vertex of the mesh; NaN where there is none."""
    if voxels.vertex is None or voxels.structure is None:
        raise ValueError("the voxel table has no vertices")
    values, found = {}, 0
    for name in SIDES:
        members = (voxels.structure == name) & (voxels.vertex >= 0) & (voxels.vertex < mesh.vertices)
        whole = np.full(mesh.vertices, np.nan, np.float32)
        whole[voxels.vertex[members]] = each.values[members]
        values[name] = whole
        found += int(members.sum())
    if not found:
        raise ValueError("no voxel is a vertex of the cortex")
    return values


def _coloured(view: SurfaceView, values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float64]:
    """Return the picture of a view, RGB [height, width, 3]: colours where values are known, else the grey ground."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    pixels = view.values(values)
    colours = colormaps[_COLOURS](Normalize(low, high, clip=True)(np.nan_to_num(pixels, nan=low)))[..., :3]
    ground = np.repeat(view.ground()[..., None], 3, axis=2)
    return np.where(np.isfinite(pixels)[..., None], colours, ground)


def add_colour_bar(figure: "Figure", row: "Sequence[Axes]", low: float, high: float, unit: str) -> None:
    """Add the colours of the limits to the right of a row of panels."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(low, high), _COLOURS), ax=[*row], fraction=0.02, pad=0.01)
    bar.set_label(unit, fontsize=7)
    bar.ax.tick_params(labelsize=6)
