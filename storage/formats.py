"""Checks that a file has the format of its name, from headers only, so that a foreign file can be refused unread.

A digest shows that a file arrived as it was sent, not that it is harmless: a few bytes can declare billions of numbers.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from storage.errors import IntegrityError

_LARGEST_HEADER = 16 << 20
_LARGEST_JSON = 256 << 20
_MOST_CELLS = 1 << 30
"""Rows times columns of a table: 8 GB of numbers."""
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16}
_BITS |= {"U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64}


def check_format(path: Path, name: str) -> None:
    """Check that `path` has the format that the extension of `name` declares.

    Tensor files (`.safetensors`), tables (`.parquet`) and JSON (`.json`) are checked, other files are not.

    Raises:
        IntegrityError: The file has another format or declares too much data. The message shows `name`.
    """
    check = _CHECKS.get(Path(name).suffix)
    if check is None:
        return
    try:
        check(path)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        raise IntegrityError(f"{name} is not a {Path(name).suffix[1:]} file: {error}") from error


def _check_safetensors(path: Path) -> None:
    """Check length and syntax of the header. Check that the tensors fill the rest of the file without overlap."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(_LARGEST_HEADER, size - 8):
            raise ValueError(f"its header has {length} bytes, the whole file {size}")
        header = json.loads(file.read(length))
    tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        begin, after = tensor["data_offsets"]
        if begin != end or after - begin != _bytes(tensor):
            raise ValueError(
                f"tensor {name!r} of {_bytes(tensor)} bytes is at bytes {begin} to {after}; it must start at {end}"
            )
        end = after
    if end != size - 8 - length:
        raise ValueError(f"its tensors have {end} bytes, its header {length}, the whole file {size}")


def _bytes(tensor: Mapping[str, Any]) -> int:
    shape = tensor["shape"]
    if not all(type(extent) is int and 0 <= extent < 1 << 48 for extent in shape) or len(shape) > 16:
        raise ValueError(f"a tensor has the invalid shape {shape!r:.80}")
    return math.prod(map(int, shape)) * _BITS[tensor["dtype"]] // 8


def _check_parquet(path: Path) -> None:
    """Check the footer, and that the table fits into memory when it is read."""
    from pyarrow import ArrowException, parquet

    try:
        metadata = parquet.read_metadata(path)
    except ArrowException as error:  # not all of them are ValueErrors: "Integers with less than 8 bits not implemented"
        raise ValueError(str(error)) from error
    if metadata.num_rows * metadata.num_columns > _MOST_CELLS:
        raise ValueError(f"it has {metadata.num_rows} rows of {metadata.num_columns} columns, which is too large")


def _check_json(path: Path) -> None:
    """Check size and syntax. NaN and infinity are allowed, since Python writes them by default."""
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"it has {path.stat().st_size} bytes, which is too large")
    json.loads(path.read_bytes())


_CHECKS: Mapping[str, Callable[[Path], None]] = {
    ".safetensors": _check_safetensors,
    ".parquet": _check_parquet,
    ".json": _check_json,
}
