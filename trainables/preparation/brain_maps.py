"""Maps of a subject's voxels as files for brain viewers: CIFTI `.dscalar.nii` for vertices, NIfTI for voxels.

Values go to vertices and voxels by what the voxel table says of each column, never by its number alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem, DatasetError, some
from trainables.datasets.prepared.description import MESH_VERTICES
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.files import InputError, require_content
from trainables.preparation.series import CORTEX

_MEASURES = ("noise_ceiling_1", "noise_ceiling_n", "repeat_r")


@dataclass(frozen=True)
class BrainMap:
    """A value for each voxel."""

    name: str
    values: NDArray[np.float32]
    """[V]; NaN where it is unknown."""


def reliability_maps(voxels: VoxelTable) -> tuple[BrainMap, ...]:
    """Return the noise ceilings, in percent of variance, and the correlation between repeats, where they are known."""
    found = {name: getattr(voxels, name) for name in _MEASURES}
    return tuple(BrainMap(name, values) for name, values in found.items() if values is not None)


def importance_maps(path: Path, voxels: int) -> tuple[BrainMap, ...]:
    """Return a map for each decoder and method of the stage `importance`; voxels that it left out are unknown.

    Args:
        path: of its `voxels.parquet`.
        voxels: of the subject.

    Raises:
        InputError: It cannot be read, or names voxels that the subject does not have.
    """
    table = _read(path, ("voxel", "decoder", "method", "importance"), voxels, stage="importance")
    labels = [f"importance {one} {other}" for one, other in zip(table["decoder"], table["method"], strict=True)]
    return _maps_of(labels, table["voxel"], table["importance"], voxels)


def encoding_maps(path: Path, voxels: int) -> tuple[BrainMap, ...]:
    """Return the correlation on test clips for each of the features of the stage `encoding_accuracy`.

    Arguments and errors are those of `importance_maps`.
    """
    table = _read(path, ("voxel", "features", "split", "r"), voxels, stage="encoding_accuracy")
    labels = [
        f"encoding {one}" if split == "test" else ""
        for one, split in zip(table["features"], table["split"], strict=True)
    ]
    return _maps_of(labels, table["voxel"], table["r"], voxels)


def _read(path: Path, columns: Sequence[str], voxels: int, *, stage: str) -> Mapping[str, Sequence[Any]]:
    require_content(path)
    try:
        table: Mapping[str, Sequence[Any]] = pq.read_table(path, columns=list(columns)).to_pydict()
    except Exception as error:  # Arrow may raise any exception on damaged input
        right = f"voxels.parquet of the stage {stage} is needed"
        raise InputError(path, f"cannot be read: {str(error).splitlines()[0]}", right) from error
    voxel = table["voxel"]
    if len(voxel) and not 0 <= min(voxel) <= max(voxel) < voxels:
        what = f"names voxel {max(voxel)}, but the subject has {voxels}"
        raise InputError(path, what, "name the subject of the trial with --subject")
    return table


def _maps_of(labels: Sequence[str], voxel: Sequence[int], values: Sequence[float], voxels: int) -> tuple[BrainMap, ...]:
    """Return a map for each label but the empty one."""
    label, number, value = np.array(labels), np.array(voxel, np.int64), np.array(values, np.float32)
    names = [name for name in dict.fromkeys(labels) if name]
    return tuple(_scattered(name, number, value, label == name, voxels) for name in names)


def _scattered(
    name: str, voxel: NDArray[np.int64], values: NDArray[np.float32], chosen: NDArray[np.bool_], voxels: int
) -> BrainMap:
    whole = np.full(voxels, np.nan, np.float32)
    whole[voxel[chosen]] = values[chosen]
    return BrainMap(name, whole)


def write_maps(
    maps: Sequence[BrainMap], voxels: VoxelTable, space: str, stem: Path, like: Path | None = None
) -> list[Path]:
    """Write maps as one `.dscalar.nii` if vertices of a known surface are known, or else as NIfTI, one for each.

    Args:
        maps: of one subject, with different names.
        voxels: its voxel table.
        space: of the data set.
        stem: beginning of the files' names.
        like: a volume with the grid of `ijk`, which the table does not have; needed for NIfTI.

    Returns:
        The files; none if the table does not say where voxels lie.

    Raises:
        DatasetError: `like` is missing or has another grid.
    """
    if voxels.vertex is not None and voxels.structure is not None and space in MESH_VERTICES:
        return [_write_dscalar(maps, voxels, MESH_VERTICES[space], stem.with_name(f"{stem.name}.dscalar.nii"))]
    if voxels.ijk is None:
        return []
    if like is None:
        what = f"is needed: voxels of {stem.name} have indices, but the data set does not say of which grid"
        raise DatasetError.of(DataProblem("--like", what, "name a volume of this grid, such as the mask of the bold"))
    return [*_write_volumes(maps, voxels.ijk, like, stem)]


def _write_dscalar(maps: Sequence[BrainMap], voxels: VoxelTable, mesh: int, path: Path) -> Path:
    """Write the vertices of the cortex, the left hemisphere first; a voxel of no vertex is not in the file."""
    import nibabel as nib
    from nibabel.cifti2 import cifti2_axes as axes

    assert voxels.vertex is not None
    columns, models = [], []
    for name in CORTEX:
        members = np.flatnonzero((voxels.structure == name) & (voxels.vertex >= 0))
        members = members[np.argsort(voxels.vertex[members], kind="stable")]
        if len(members):
            columns.append(members)
            models.append(axes.BrainModelAxis.from_surface(voxels.vertex[members], mesh, name))
    axis = models[0] if len(models) == 1 else models[0] + models[1]
    values = np.stack([each.values for each in maps])[:, np.concatenate(columns)]
    image: Any = nib.Cifti2Image(values, (axes.ScalarAxis([each.name for each in maps]), axis))
    image.update_headers()
    image.nifti_header.set_data_dtype("f4")
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS")
    image.nifti_header["pixdim"][1:4] = 1  # else nibabel warns
    nib.save(image, path)
    return path


def _write_volumes(maps: Sequence[BrainMap], ijk: NDArray[np.int32], like: Path, stem: Path) -> Iterator[Path]:
    import nibabel as nib

    require_content(like)
    try:
        grid: Any = nib.load(like)
        shape, affine = tuple(grid.shape[:3]), grid.affine
    except Exception as error:  # nibabel may raise any exception on damaged input
        raise InputError(like, f"cannot be read: {error}", "a NIfTI volume is needed") from error
    inside = (ijk >= 0).all(axis=1)
    if not (ijk[inside] < np.array(shape)).all():
        what = f"has {' x '.join(map(str, shape))} voxels, but indices go to {ijk[inside].max(axis=0).tolist()}"
        raise InputError(like, what, "name a volume of the grid of the bold")
    for each in maps:
        volume = np.full(shape, np.nan, np.float32)
        volume[tuple(ijk[inside].T)] = each.values[inside]
        path = stem.with_name(f"{stem.name}_{each.name.replace(' ', '_')}.nii.gz")
        nib.save(nib.Nifti1Image(volume, affine), path)
        yield path


def region_means(maps: Sequence[BrainMap], voxels: VoxelTable) -> Mapping[str, Mapping[str, float]]:
    """Return the mean of each map by main region, hemispheres apart where they are known; unknown values do not count.

    A region without a known value is left out.
    """
    regions = region_names(voxels)
    means: dict[str, dict[str, float]] = {}
    for each in maps:
        for region in sorted({*regions.tolist()} - {""}):
            values = each.values[(regions == region) & np.isfinite(each.values)]
            if len(values):
                means.setdefault(each.name, {})[region] = float(values.mean(dtype=np.float64))
    return means


def region_names(voxels: VoxelTable) -> NDArray[np.str_]:
    """Return the main region of each voxel with its hemisphere, such as `V1 L`; "" for none."""
    if voxels.structure is None:
        return voxels.roi
    sides = np.array([{CORTEX[0]: " L", CORTEX[1]: " R"}.get(name, "") for name in voxels.structure.tolist()])
    return np.where(voxels.roi == "", "", np.char.add(voxels.roi, sides))


def chosen_subjects(asked: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the subjects that are asked for, or all. Raises `DatasetError` for one that there is not."""
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise DatasetError.of(DataProblem("--subject", f"there is no {some(unknown)}", f"there are {some(names)}"))
    return [name for name in names if not asked or name in asked]
