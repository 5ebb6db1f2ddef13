"""Betas of NSD: a session in HDF5 or NIfTI, whose values are percent of signal change times 300."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.preparation.files import InputError, require_content

SCALE = 300.0
"""Values are whole numbers: percent times this."""
_TRIALS = 25
"""Trials in memory at a time, of the whole volume."""
_KEY = "betas"
_RIGHT = "a file such as betas_session01.hdf5 of NSD is needed; download it again"
_Grid = tuple[int, int, int]


@dataclass(frozen=True)
class SessionBetas:
    """The betas of one session, opened: nothing but the header is read."""

    path: Path
    trials: int
    reversed_axes: bool
    """Whether the file has axes k, j, i (Matlab's order, read by h5py) instead of i, j, k."""

    def read(self, ijk: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the responses of voxels [V, 3] in percent, [trials, V]. Raises `InputError`."""
        i, j, k = ijk.T
        index = (k, j, i) if self.reversed_axes else (i, j, k)
        flat = np.empty((self.trials, len(ijk)), np.float32)
        for first, block in self._blocks():
            flat[first : first + len(block)] = block[:, *index]
        return flat / np.float32(SCALE)

    def first_trial(self) -> bytes:
        """Return the SHA-256 of the volume of the first trial. Raises `InputError`."""
        _, block = next(self._blocks(most=1))
        return hashlib.sha256(np.ascontiguousarray(block).data).digest()

    def _blocks(self, most: int = _TRIALS) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the number of the first trial, and values [n, axis, axis, axis] of at most so many trials."""
        try:
            if self.path.suffix == ".hdf5":
                import h5py

                with h5py.File(self.path) as file:
                    for first in range(0, self.trials, most):
                        yield first, file[_KEY][first : first + most]
            else:
                import nibabel as nib

                image: Any = nib.load(self.path)
                for first in range(0, self.trials, most):
                    block = np.asarray(image.dataobj[..., first : first + most])
                    yield first, np.moveaxis(block, -1, 0)
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise InputError(self.path, f"cannot be read: {str(error).splitlines()[0]}", _RIGHT) from error


def open_session(path: Path, grid: _Grid) -> SessionBetas:
    """Open a session whose volumes have the grid of the ROI volume. Raises `InputError` for another one."""
    require_content(path)
    try:
        if path.suffix == ".hdf5":
            import h5py

            with h5py.File(path) as file:
                trials, *axes = file[_KEY].shape
        else:
            import nibabel as nib

            loaded: Any = nib.load(path)
            *axes, trials = loaded.shape
    except Exception as error:  # h5py and nibabel may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {str(error).splitlines()[0]}", _RIGHT) from error
    if tuple(axes) == grid[::-1] and path.suffix == ".hdf5":
        return SessionBetas(path, int(trials), reversed_axes=True)
    if tuple(axes) == grid:
        return SessionBetas(path, int(trials), reversed_axes=False)
    what = f"has volumes of {' x '.join(map(str, axes))} voxels, but the ROI volume {' x '.join(map(str, grid))}"
    raise InputError(path, what, "betas and ROIs must be of one space (func1pt8mm)")


def refuse_copies(sessions: Iterable[SessionBetas]) -> None:
    """Raise `InputError` if two sessions begin with the same trial.

    Values are standardised per session, by trials that differ: a copied session could not be told afterwards.
    """
    first: dict[bytes, Path] = {}
    for session in sessions:
        twin = first.setdefault(session.first_trial(), session.path)
        if twin != session.path:
            what = f"and {twin.name} hold the same values"
            raise InputError(session.path, what, "one session was copied: download both again")
