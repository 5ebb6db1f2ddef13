"""Draws maps of voxels in a volume as slices through their largest values; maps of one measure have one scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform.figures.brain_picture import Scales, add_colour_bar, scales_of
from platform.figures.region_bars import unit_of
from trainables.preparation.brain_maps import BrainMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = "viridis"
_DPI = 110
_SLICES = 6
_GREY = "0.85"
"""Voxels of the subject without a value in this map."""
UNKNOWN_SIDES = "slices of one third index of the grid; which side is left is not on record"


@dataclass(frozen=True)
class VoxelGrid:
    """Where the voxels of a subject lie in a grid."""

    ijk: NDArray[np.int32]
    """[V,3]; negative for a voxel that is nowhere."""
    affine: NDArray[np.float64] | None = None
    """From `ijk` to mm, with axes to the right, to the front and up; None if the axes are not known."""

    def label(self, index: int) -> str:
        """Return the title of the slice with this third index: its height in mm if the grid is known."""
        if self.affine is None:
            return f"k = {index}"
        return f"z = {self.affine[2, 2] * index + self.affine[2, 3]:.0f} mm"


def oriented_grid(ijk: NDArray[np.int32], like: Path) -> VoxelGrid:
    """Return the voxels in the grid of the volume `like`, with its axes turned to the right, to the front and up."""
    import nibabel as nib

    image: Any = nib.load(like)
    turns = nib.orientations.io_orientation(image.affine)
    inside = (ijk >= 0).all(axis=1)
    turned = np.full_like(ijk, -1)
    for axis, (target, direction) in enumerate(turns.astype(int).tolist()):
        along = ijk[inside, axis]
        turned[inside, target] = along if direction > 0 else image.shape[axis] - 1 - along
    return VoxelGrid(turned, image.affine @ nib.orientations.inv_ornt_aff(turns, image.shape[:3]))


def draw_slices(
    maps: Sequence[BrainMap], grid: VoxelGrid, path: Path, *, title: str, scales: Scales | None = None
) -> None:
    """Write a row of slices for each map.

    Args:
        maps: of one subject.
        grid: where its voxels lie, at least one of them inside.
        path: of the PNG.
        title: above all rows.
        scales: limits by the name of the map, such as those of all subjects; by default those of `maps`.

    Raises:
        ValueError: No voxel is in the grid.
    """
    from matplotlib.figure import Figure  # takes a second

    limits_of = scales_of(maps) if scales is None else scales
    figure = Figure(figsize=(1.5 * _SLICES + 1.2, 0.6 + 1.9 * len(maps)), layout="constrained")
    figure.suptitle(_full_title(title, grid), x=0.01, ha="left", fontweight="bold", fontsize=10)
    rows = figure.subplots(len(maps), _SLICES, squeeze=False)
    for row, each in zip(rows, maps, strict=True):
        low, high = limits_of[each.name]
        volume, mask, corner = _volume(each, grid.ijk)
        for panel in row:
            panel.set_axis_off()
        for panel, index in zip(row, chosen_slices(volume), strict=False):
            _draw(panel, volume[:, :, index], mask[:, :, index], limits=(low, high))
            panel.set_title(grid.label(index + corner), fontsize=7)
        row[0].text(0.0, 1.2, each.name, transform=row[0].transAxes, fontsize=9, va="bottom")
        add_colour_bar(figure, row, low, high, unit_of(each.name))
    figure.savefig(path, dpi=_DPI)


def _full_title(title: str, grid: VoxelGrid) -> str:
    return f"{title}: {UNKNOWN_SIDES if grid.affine is None else 'axial slices; left is on the left'}"


def _volume(each: BrainMap, ijk: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Return the smallest box with all voxels: values, where voxels are, and the third index of its first slice."""
    inside = (ijk >= 0).all(axis=1)
    if not inside.any():
        raise ValueError("no voxel is in the grid")
    corner = ijk[inside].min(axis=0)
    cells = tuple((ijk[inside] - corner).T)
    size = tuple((ijk[inside].max(axis=0) - corner + 1).tolist())
    volume, mask = np.full(size, np.nan, np.float32), np.zeros(size, np.bool_)
    volume[cells], mask[cells] = each.values[inside], True
    return volume, mask, int(corner[2])


def chosen_slices(volume: NDArray[np.float32]) -> list[int]:
    """Return the third indices of the slices with the largest values, in order, not all beside each other.

    Examples:
        >>> volume = np.zeros((2, 2, 40), np.float32)
        >>> volume[0, 0, [9, 10, 30]] = 5, 7, 6
        >>> {10, 30} <= {*chosen_slices(volume)}, 9 in chosen_slices(volume)
        (True, False)
    """
    depth = volume.shape[2]
    peaks = np.where(np.isfinite(volume), volume, -np.inf).max(axis=(0, 1))
    distance = max(1, depth // (2 * _SLICES))
    return sorted(_apart(np.argsort(-peaks, kind="stable")[: int(np.isfinite(peaks).sum())].tolist(), distance))


def _apart(ordered: Sequence[int], distance: int) -> Iterator[int]:
    chosen: list[int] = []
    for index in ordered:
        if len(chosen) < _SLICES and all(abs(index - other) >= distance for other in chosen):
            chosen.append(index)
            yield index


def _draw(panel: "Axes", values: NDArray[np.float32], mask: NDArray[np.bool_], *, limits: tuple[float, float]) -> None:
    from matplotlib.colors import ListedColormap

    ground = np.where(mask, 0.0, np.nan)
    panel.imshow(ground.T, origin="lower", cmap=ListedColormap([_GREY]), interpolation="nearest")
    panel.imshow(values.T, origin="lower", vmin=limits[0], vmax=limits[1], cmap=_COLOURS, interpolation="nearest")
