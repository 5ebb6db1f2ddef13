"""Which triangle of a surface is seen at each pixel of a view: computed once, then coloured for any number of maps."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from platform.figures.meshes import LEFT, RIGHT, SIDES, CorticalMesh, Surface

_HEIGHT = 150
_PALE, _DARK = 0.82, 0.66
"""Grey of gyri and sulci where nothing is known."""


@dataclass(frozen=True)
class SurfaceView:
    """A hemisphere, seen from one side."""

    title: str
    structure: str
    triangle: NDArray[np.int32]
    """[height, width]: the triangle that is seen, -1 for none."""
    faces: NDArray[np.int32]
    """[triangles, 3], vertices."""
    grey: NDArray[np.float32]
    """[triangles]: the ground."""

    def values(self, of_vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the value of each pixel, [height, width]: the mean of its triangle's known vertices, NaN for none."""
        corners = of_vertices[self.faces]
        known = np.isfinite(corners)
        sums = np.where(known, corners, 0.0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            of_faces = np.where(known.any(axis=1), sums / np.maximum(known.sum(axis=1), 1), np.nan)
        return np.where(self.triangle >= 0, of_faces[self.triangle], np.nan).astype(np.float32)

    def ground(self) -> NDArray[np.float32]:
        """Return the grey of each pixel, [height, width]; 1 outside of the brain."""
        return np.where(self.triangle >= 0, self.grey[self.triangle], 1.0).astype(np.float32)


def surface_views(mesh: CorticalMesh) -> Iterator[SurfaceView]:
    """Yield both sides of both inflated hemispheres, and both flat ones; the left hemisphere is on the left."""
    for structure, outer in ((LEFT, True), (LEFT, False), (RIGHT, False), (RIGHT, True)):
        surface, side = mesh.inflated[structure], SIDES[structure]
        from_left = (structure == LEFT) == outer
        yield _view(f"{side}, {'lateral' if outer else 'medial'}", structure, _turned(surface, from_left), mesh)
    for structure, side in SIDES.items():
        yield _view(f"{side}, flat", structure, mesh.flat[structure], mesh)


def _turned(surface: Surface, from_left: bool) -> Surface:
    """Return the surface with axes to the right of the picture, up, and towards the eye."""
    sign = -1.0 if from_left else 1.0
    x, y, z = surface.points.T
    return Surface(np.stack([sign * y, z, sign * x], axis=1), surface.faces)


def _view(title: str, structure: str, surface: Surface, mesh: CorticalMesh) -> SurfaceView:
    folded = mesh.folds[structure][surface.faces].mean(axis=1) > 0.5
    grey = np.where(folded, _DARK, _PALE).astype(np.float32)
    return SurfaceView(title, structure, _seen(surface), surface.faces, grey)


def _seen(surface: Surface) -> NDArray[np.int32]:
    """Draw triangles from the farthest to the nearest; those that are turned away are not drawn."""
    used = np.unique(surface.faces)
    low, high = surface.points[used, :2].min(axis=0), surface.points[used, :2].max(axis=0)
    scale = (_HEIGHT - 1) / (high[1] - low[1])
    width = int(np.ceil((high[0] - low[0]) * scale)) + 1
    flat = (surface.points[:, :2] - low) * scale
    flat[:, 1] = _HEIGHT - 1 - flat[:, 1]
    depth = surface.points[:, 2][surface.faces].mean(axis=1)
    image = Image.new("I", (width, _HEIGHT), -1)
    draw = ImageDraw.Draw(image)
    for face in np.argsort(depth, kind="stable").tolist():
        draw.polygon([tuple(point) for point in flat[surface.faces[face]].tolist()], fill=face)
    return np.array(image, np.int32)
