"""What readers of published CIFTI runs share: a subject's runs have the same columns, and the TR is known."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from trainables.datasets.errors import DataProblem
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.atlas import Atlas, areas_in
from trainables.preparation.cifti import CiftiSeries, open_cifti
from trainables.preparation.files import InputError
from trainables.preparation.series import BrainAxis

_TR_TOLERANCE_S = 1e-3


def first_readable(paths: Iterable[Path]) -> CiftiSeries:
    """Return the first run that can be opened. Raises `InputError` for the first that cannot, if none can."""
    problem: InputError | None = None
    for path in paths:
        try:
            return open_cifti(path)
        except InputError as error:
            problem = problem if problem is not None else error
    assert problem is not None
    raise problem


def require_columns(axis: BrainAxis, expected: BrainAxis, path: Path) -> None:
    """Check that the columns of a run are those of the subject's first run. Raises `InputError`."""
    difference = axis.differs_from(expected)
    if difference is not None:
        raise InputError(path, f"has {difference}", "all runs of a subject must have the same columns")


def header_warnings(series: CiftiSeries, *, tr: float) -> Iterator[DataProblem]:
    """Yield warnings about unexpected values in the header of a run, whose published TR is `tr` seconds."""
    for note in series.notes:
        yield DataProblem(str(series.path), note, "nothing needs to be done", fatal=False)
    if series.tr_hint is not None and abs(series.tr_hint - tr) > _TR_TOLERANCE_S:
        what = f"its header says {series.tr_hint:g} s per volume"
        right = f"{tr:g} s are used, as published: headers are known to be wrong in some data sets"
        yield DataProblem(str(series.path), what, right, fatal=False)


def surface_voxels(series: CiftiSeries, atlas: Atlas | None) -> VoxelTable:
    """Return the voxel table of a run's columns. Raises `InputError` if the atlas is of another surface."""
    return VoxelTable(areas_in(atlas, series.axis, series.path), series.axis.names, series.axis.vertex)
