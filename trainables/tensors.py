"""Files of tensors that are larger than the memory: written and read piece by piece, in the format of safetensors."""

import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

_CODES = ("BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "F64", "I64", "U64")
"""In the order of safetensors, which puts the last of them first into a file."""
_TYPES = {
    "BOOL": np.dtype(bool),
    **{code: np.dtype(f"<{code[0].lower()}{int(code[1:]) // 8}") for code in _CODES if code != "BOOL"},
}
_CODE_OF = {dtype: code for code, dtype in _TYPES.items()}
_ALIGNMENT = 8


@dataclass(frozen=True)
class TensorShape:
    """Type and shape of a tensor that is still to be written."""

    dtype: DTypeLike
    shape: Sequence[int]

    @property
    def code(self) -> str:
        """The type's name in the format. Raises `ValueError` for a type without one."""
        dtype = np.dtype(self.dtype).newbyteorder("<")
        if dtype not in _CODE_OF:
            raise ValueError(f"tensors of {np.dtype(self.dtype)} cannot be written; there are: {', '.join(_CODES)}")
        return _CODE_OF[dtype]

    @property
    def row(self) -> int:
        """Bytes of one row."""
        return int(np.dtype(self.dtype).itemsize * prod(self.shape[1:]))

    @property
    def bytes(self) -> int:
        """Bytes of all rows."""
        return int(np.dtype(self.dtype).itemsize * prod(self.shape))


class TensorWriter:
    """Writes tensors into one file, some rows at a time and in any order. What lies in memory is never more.

    The file has the bytes that `safetensors.save_file` would write. It is removed if the block raises.

    Example:
        >>> import numpy as np
        >>> with TensorWriter(folder / "a.safetensors", {"a": TensorShape("float32", (4, 2))}) as file:  # folder: Path
        ...     for first in (0, 2):
        ...         file.write("a", first, np.ones((2, 2), np.float32))
        >>> map_tensors(folder / "a.safetensors")["a"].shape
        (4, 2)
    """

    def __init__(self, path: Path, shapes: Mapping[str, TensorShape]) -> None:
        self._path = path
        self._shapes = dict(shapes)
        header, self._offsets = _layout(self._shapes)
        self._left = {name: shape.bytes for name, shape in self._shapes.items()}
        self._file = path.open("wb")
        self._file.write(header)
        self._file.flush()

    def write(self, name: str, first: int, values: NDArray[Any]) -> None:
        """Write rows `first` and following of tensor `name`.

        Raises:
            ValueError: The values have another type or shape, or end beyond the tensor.
        """
        shape = self._shapes[name]
        if values.dtype != np.dtype(shape.dtype) or values.shape[1:] != tuple(shape.shape[1:]):
            raise ValueError(
                f"{name} holds {np.dtype(shape.dtype)} {list(shape.shape)}, not {values.dtype} {list(values.shape)}"
            )
        if not 0 <= first <= first + len(values) <= shape.shape[0]:
            raise ValueError(f"{name} has {shape.shape[0]} rows, not rows {first} to {first + len(values)}")
        self._put(name, first * shape.row, values)

    def write_whole(self, name: str, values: NDArray[Any]) -> None:
        """Write the whole tensor `name`, which may have no rows at all (a number)."""
        if values.shape != tuple(self._shapes[name].shape):
            raise ValueError(f"{name} has shape {list(self._shapes[name].shape)}, not {list(values.shape)}")
        self._put(name, 0, values.astype(self._shapes[name].dtype, copy=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        missing = [name for name, left in self._left.items() if left != 0]
        if error is not None or missing:
            self._path.unlink(missing_ok=True)
        if error is None and missing:
            raise ValueError(f"{self._path.name}: not every row was written exactly once of {', '.join(missing)}")

    def _put(self, name: str, offset: int, values: NDArray[Any]) -> None:
        # Written, not mapped: pages of a mapping stay in memory until the system needs them.
        data = np.ascontiguousarray(values).data.cast("B") if values.size else memoryview(b"")
        place = self._offsets[name] + offset
        while data:
            written = os.pwrite(self._file.fileno(), data, place)
            data, place = data[written:], place + written
        self._left[name] -= values.nbytes


def _layout(shapes: Mapping[str, TensorShape]) -> tuple[bytes, dict[str, int]]:
    """Return the head of the file, and where in the file each tensor begins."""
    order = sorted(shapes, key=lambda name: (-_CODES.index(shapes[name].code), name))
    entries: dict[str, Any] = {}
    end = 0
    for name in order:
        begin, end = end, end + shapes[name].bytes
        entries[name] = {"dtype": shapes[name].code, "shape": list(shapes[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    head = struct.pack("<Q", len(text)) + text
    return head, {name: len(head) + entry["data_offsets"][0] for name, entry in entries.items()}


def map_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file, mapped: only what is looked at is read.

    Raises:
        ValueError: It is no such file, it was cut off, or it has a tensor of an unknown type.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if length > size - 8:
            raise ValueError(f"{path.name} is no file of tensors: its head of {length} bytes is longer than the file")
        entries = json.loads(file.read(length))
    return {name: _mapped(path, entry, 8 + length) for name, entry in entries.items() if name != "__metadata__"}


def _mapped(path: Path, entry: Mapping[str, Any], start: int) -> NDArray[Any]:
    dtype, shape = _TYPES.get(entry["dtype"]), tuple(entry["shape"])
    if dtype is None:
        raise ValueError(f"{path.name} holds {entry['dtype']}, which cannot be mapped; there are: {', '.join(_CODES)}")
    if prod(shape) == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset=start + entry["data_offsets"][0], shape=shape)
