"""Reads and checks fMRI that a user brings as an array."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem

SHAPE = "it must be a NumPy file (.npy) of real numbers, [clips, voxels] or [subjects, clips, voxels]"


def read_fmri(path: Path, *, clips: int) -> tuple[NDArray[np.float32] | None, list[DataProblem]]:
    """Return the fMRI as float32 [subjects, clips, voxels], or None, and what is wrong."""
    try:
        # Mapped, so that a header that promises more than the file holds is refused, not allocated.
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except FileNotFoundError:
        return None, [DataProblem(str(path), "there is no such file", f"{SHAPE}, or set dataset.simulate: true")]
    except Exception as error:  # readers raise whatever they like on damaged input
        return None, [DataProblem(str(path), f"cannot be read: {error}", SHAPE)]
    if (
        not isinstance(array, np.ndarray)
        or array.ndim not in (2, 3)
        or array.dtype.kind not in "fiu"
        or array.size == 0
    ):
        what = (
            f"{array.dtype} of shape {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive of arrays"
        )
        return None, [DataProblem(str(path), f"is {what}", SHAPE)]
    if array.ndim == 2:
        array = array[None]
    if array.shape[1] != clips:
        return None, [DataProblem(str(path), f"{array.shape[1]} rows for {clips} clips", "row i must answer clip i")]
    with np.errstate(over="ignore"):
        fmri = np.asarray(array).astype(np.float32)
    problems = [
        problem for subject in range(len(fmri)) for problem in _check(fmri[subject], f"{path}, subject {subject}")
    ]
    return fmri, problems + _twins(fmri, path)


def _check(rows: NDArray[np.float32], where: str) -> list[DataProblem]:
    """Look for values that are no numbers, and for voxels that tell nothing."""
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        places = ", ".join(f"row {row}, column {column}" for row, column in bad[:5].tolist())
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        what = f"{len(bad)} value(s) are NaN or infinite in float32: {places}{more}"
        return [DataProblem(where, what, "every value must be finite; remove the voxel or fill the value")]
    (constant,) = np.nonzero(np.ptp(rows, axis=0) == 0)
    if len(constant) == rows.shape[1]:
        return [DataProblem(where, "every voxel is constant", "a voxel must differ from clip to clip")]
    if len(constant):
        what = f"{len(constant)} constant voxel(s): {constant[:10].tolist()}{' ...' if len(constant) > 10 else ''}"
        return [DataProblem(where, what, "they tell nothing and are left out", fatal=False)]
    return []


def _twins(fmri: NDArray[np.float32], path: Path) -> list[DataProblem]:
    """Look for subjects whose data are the same, as happens when files are copied."""
    seen: dict[str, int] = {}
    problems = []
    for subject, rows in enumerate(fmri):
        twin = seen.setdefault(hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest(), subject)
        if twin != subject:
            what = f"subjects {twin} and {subject} hold the same values"
            problems.append(DataProblem(str(path), what, "every subject needs data of its own"))
    return problems
