"""Opens NumPy files: mapped, without Python objects, and with messages that never advise to unpickle anything."""

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_MAGIC, _ZIP = b"\x93NUMPY", b"PK\x03\x04"


class ArrayFileError(ValueError):
    """A file is no array that can be used; the message says why."""


def map_npy(path: Path) -> NDArray[Any]:
    """Memory-map the array in a .npy file.

    Mapped, so that a header that promises more than the file holds is refused, not allocated.

    Raises:
        FileNotFoundError: There is no such file.
        ArrayFileError: It holds no array, or one of Python objects, or is damaged.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise
    except Exception as error:  # NumPy raises whatever it likes on damaged input
        raise ArrayFileError(_reason(path, error)) from error
    return array


def _reason(path: Path, error: Exception) -> str:
    text = str(error)
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except (OSError, ValueError):
        return text
    if start.startswith(_ZIP):
        return "it is an archive of arrays (.npz)"
    if start != _MAGIC:
        return "it is no NumPy file" if start else "it is empty"
    if "Python objects" in text:
        return "it holds Python objects (pickled data), which are never loaded"
    # NumPy's advice for a long header is to trust the file.
    return "it has a header that is not read" if "allow_pickle" in text else text


def write_npy_header(file: IO[bytes], shape: tuple[int, ...], descr: str) -> None:
    """Write the header of a .npy file in C order, before its values; `descr` is NumPy's, such as "<f4"."""
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
