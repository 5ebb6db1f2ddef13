"""Reads and checks fMRI that a user brings as an array."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem
from trainables.datasets.npy_files import ArrayFileError, map_npy

SHAPE = "it must be a NumPy file (.npy) of real numbers, [clips, voxels] or [subjects, clips, voxels]"

_BLOCK = 1 << 26
"""Bytes that are checked at a time."""


def read_fmri(path: Path, *, clips: int) -> tuple[NDArray[Any] | None, list[DataProblem]]:
    """Return the fMRI [subjects, clips, voxels], memory-mapped, or None, and what is wrong. Checked in blocks of rows.

    Values are as in the file; they count as float32.
    """
    try:
        array = map_npy(path)
    except FileNotFoundError:
        return None, [DataProblem(str(path), "there is no such file", f"{SHAPE}, or set dataset.simulate: true")]
    except ArrayFileError as error:
        return None, [DataProblem(str(path), f"cannot be read: {error}", SHAPE)]
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiu" or array.size == 0:
        return None, [DataProblem(str(path), f"is {array.dtype} of shape {list(array.shape)}", SHAPE)]
    if array.ndim == 2:
        array = array[None]
    if array.shape[1] != clips:
        what = f"{array.shape[1]} rows for {clips} clips"
        return None, [DataProblem(str(path), what, "row i must be the response to clip i")]
    checked = [_check(rows, f"{path}, subject {subject}") for subject, rows in enumerate(array)]
    problems = [problem for of_subject, _ in checked for problem in of_subject]
    return array, problems + _twins([digest for _, digest in checked], path)


def _check(rows: NDArray[Any], where: str) -> tuple[list[DataProblem], str]:
    """Check for values that are not finite and for constant voxels. Also return a digest of the values."""
    total = hashlib.sha256()
    cells: list[str] = []
    bad = 0
    lowest, highest = np.full(rows.shape[1], np.inf, np.float32), np.full(rows.shape[1], -np.inf, np.float32)
    for first, block in _blocks(rows):
        total.update(block.data)
        invalid = np.argwhere(~np.isfinite(block))
        bad += len(invalid)
        cells += [f"row {first + row}, column {column}" for row, column in invalid[: 5 - len(cells)].tolist()]
        lowest, highest = np.minimum(lowest, block.min(axis=0)), np.maximum(highest, block.max(axis=0))
    if bad:
        more = f" and {bad - 5} more" if bad > 5 else ""
        what = f"{bad} value(s) are NaN or infinite in float32: {', '.join(cells)}{more}"
        right = "every value must be finite; remove the voxel or fill the value"
        return [DataProblem(where, what, right)], total.hexdigest()
    return _constant(np.nonzero(lowest == highest)[0], rows.shape[1], where), total.hexdigest()


def _blocks(rows: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    step = max(1, _BLOCK // (4 * rows.shape[1]))
    for first in range(0, len(rows), step):
        with np.errstate(over="ignore"):
            yield first, np.ascontiguousarray(rows[first : first + step], np.float32)


def _constant(voxels: NDArray[np.int64], count: int, where: str) -> list[DataProblem]:
    if len(voxels) == count:
        return [DataProblem(where, "every voxel is constant", "a voxel must differ from clip to clip")]
    if len(voxels):
        what = f"{len(voxels)} constant voxel(s): {voxels[:10].tolist()}{' ...' if len(voxels) > 10 else ''}"
        return [DataProblem(where, what, "they carry no information and are left out", fatal=False)]
    return []


def _twins(digests: Sequence[str], path: Path) -> list[DataProblem]:
    """Return an error for each subject with the values of an earlier one: probably a file that was copied."""
    seen: dict[str, int] = {}
    problems = []
    for subject, digest in enumerate(digests):
        twin = seen.setdefault(digest, subject)
        if twin != subject:
            what = f"subjects {twin} and {subject} hold the same values"
            problems.append(DataProblem(str(path), what, "every subject needs data of its own"))
    return problems
