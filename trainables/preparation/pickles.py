"""Reads NumPy arrays out of pickles without ever creating a class of the file, and without reading large arrays.

A pickle is a program. This reader runs it on a machine that knows only how to build containers, texts, numbers and a
description of NumPy arrays: a file that asks for anything else is refused with the name of what it asked for. Payloads
of arrays are skipped, and mapped from the file afterwards.
"""

import pickle
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from trainables.datasets.npy_files import map_npy
from trainables.preparation.files import InputError, require_content

_LARGE = 1 << 16
"""Bytes from which a payload is skipped instead of read."""
_KINDS = "biufcSUO"
"""Kinds of dtype that are built."""
_RIGHT = "only containers, texts, numbers and NumPy arrays are read; ask its authors for .npy or .h5"


NIBABEL_IMAGE = (
    "nibabel.fileholders.FileHolder",
    "nibabel.nifti1.Nifti1Extensions",
    "nibabel.nifti1.Nifti1Header",
    "nibabel.nifti1.Nifti1Image",
)
"""Classes in the pickle of a NIfTI image."""


class _RefusedError(Exception):
    """The pickle asks for something that is always refused."""


@dataclass(frozen=True)
class Opaque:
    """An object of a class that was expected and is passed over, such as a nibabel image."""

    name: str
    """Dotted name of its class."""


@dataclass(frozen=True)
class _Skipped:
    """A payload that stays in the file."""

    offset: int
    size: int


class _Array:
    """An array as the pickle describes it."""

    __slots__ = ("buffer", "dtype", "fortran", "shape")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.dtype: _DType | None = None
        self.fortran = False
        self.buffer: Any = None

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, self.buffer = state


class _DType:
    """A dtype as the pickle describes it."""

    __slots__ = ("code", "order", "records")

    def __init__(self, code: Any) -> None:
        self.code = code
        self.order = "="
        self.records = False

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])
        self.records = any(field is not None for field in state[2:5])

    def resolved(self) -> np.dtype[Any]:
        """Return the dtype, if it is of a kind that is built."""
        if self.records:
            raise _RefusedError("an array of records")
        if not isinstance(self.code, str) or not self.code or self.code[0] not in _KINDS:
            raise _RefusedError(f"an array of dtype {self.code!r}")
        dtype = np.dtype(self.code)
        return dtype.newbyteorder(">") if self.order == ">" else dtype


class _Global:
    """Our own function for a name that a pickle may use; nothing can be set on it."""

    __slots__ = ("_call", "name")

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError(f"a change of {self.name}")


class _OpaqueObject:
    """An object that is passed over, with its state."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.buffer, array.dtype, array.shape, array.fortran = buffer, dtype, shape, order == "F"
    return array


def _dtype(code: Any, *_: Any) -> _DType:
    return _DType(code)


def _scalar(dtype: Any, value: Any = b"") -> _Array:
    array = _Array()
    array.dtype, array.buffer = dtype, value
    return array


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise _RefusedError(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise _RefusedError("bytes from something")
    return b""


def _no_call(*_: Any) -> Any:
    raise _RefusedError("a call of numpy.ndarray")


_MULTIARRAY, _NUMERIC = (
    ("numpy.core.multiarray", "numpy._core.multiarray"),
    ("numpy.core.numeric", "numpy._core.numeric"),
)
_ALLOWED: Mapping[tuple[str, str], _Global] = {
    **{(module, "_reconstruct"): _Global("_reconstruct", _reconstruct) for module in _MULTIARRAY},
    **{(module, "scalar"): _Global("scalar", _scalar) for module in _MULTIARRAY},
    **{(module, "_frombuffer"): _Global("_frombuffer", _frombuffer) for module in _NUMERIC},
    **{(module, "bytes"): _Global("bytes", _no_bytes) for module in ("__builtin__", "builtins")},  # of protocol 2: b""
    ("numpy", "ndarray"): _Global("numpy.ndarray", _no_call),
    ("numpy", "dtype"): _Global("numpy.dtype", _dtype),
    ("_codecs", "encode"): _Global("_codecs.encode", _encode),
}
_OPCODES = """
    MARK STOP POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE
    SHORT_BINUNICODE EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT
    SETITEM SETITEMS DICT GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE PROTO FRAME
    GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD
"""
"""Opcodes that are run. Persistent ids, extensions, classic instances and sets are not among them."""


_Machine: Any = pickle._Unpickler


class _Reader(_Machine):  # type: ignore[misc]
    """The machine of pickles in pure Python, with a table of operations of its own."""

    dispatch: Mapping[int, Callable[["_Reader"], None]] = {}

    def __init__(self, file: IO[bytes], opaque: frozenset[str]) -> None:
        super().__init__(file, encoding="latin1")
        self._file = file
        self._opaque = opaque

    def find_class(self, module: str, name: str) -> _Global:
        """Return our own function or class for a name."""
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        dotted = f"{module}.{name}"
        if dotted in self._opaque:
            return _Global(dotted, lambda *_: _OpaqueObject(dotted))
        raise _RefusedError(dotted)

    def load_frame(self) -> None:
        """Skip the frame opcode: reading a frame ahead would read large arrays."""
        self.read(8)

    def load_reduce(self) -> None:
        """Call one of our own functions."""
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise _RefusedError(f"a call of {type(function).__name__}")
        self.stack[-1] = function(*arguments)

    def load_newobj(self) -> None:
        """Create an object that is passed over."""
        self.stack.pop()
        function = self.stack.pop()
        if not isinstance(function, _Global) or function.name not in self._opaque:
            raise _RefusedError(f"a new {getattr(function, 'name', type(function).__name__)}")
        self.append(_OpaqueObject(function.name))

    def load_build(self) -> None:
        """Give one of our own objects its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Array | _DType | _OpaqueObject | _Global):
            raise _RefusedError(f"a state for {type(target).__name__}")
        target.__setstate__(state)

    def load_payload(self) -> None:
        """Read or skip a payload whose size has four bytes."""
        (size,) = struct.unpack("<I", self.read(4))
        self._skip(size)

    def load_large_payload(self) -> None:
        """Read or skip a payload whose size has eight bytes."""
        (size,) = struct.unpack("<Q", self.read(8))
        self._skip(size)

    def _skip(self, size: int) -> None:
        if size <= _LARGE:
            self.append(self.read(size))
            return
        self.append(_Skipped(self._file.tell(), size))
        self._file.seek(size, 1)


def _operations() -> dict[int, Callable[[_Reader], None]]:
    theirs = _Machine.dispatch
    table = {getattr(pickle, name)[0]: theirs[getattr(pickle, name)[0]] for name in _OPCODES.split()}
    ours = {
        "FRAME": _Reader.load_frame,
        "REDUCE": _Reader.load_reduce,
        "NEWOBJ": _Reader.load_newobj,
        "BUILD": _Reader.load_build,
        "BINBYTES": _Reader.load_payload,
        "BINBYTES8": _Reader.load_large_payload,
        "BYTEARRAY8": _Reader.load_large_payload,
    }
    return table | {getattr(pickle, name)[0]: operation for name, operation in ours.items()}


_Reader.dispatch = _operations()


def read_pickle(path: Path, *, opaque: Sequence[str] = ()) -> Any:
    """Return the content of a pickle of containers, texts, numbers and arrays, of protocols 0 to 5.

    Large arrays of protocols 3 to 5 are memory maps; those of protocol 2 are texts in the file, and are read.

    Args:
        path: of the pickle.
        opaque: dotted names of classes whose objects are passed over; see `Opaque`.

    Raises:
        InputError: It is missing, damaged, or asks for anything else.
    """
    require_content(path)
    with path.open("rb") as file:
        return _read(path, file, frozenset(opaque))


def read_object_npy(path: Path) -> Any:
    """Return the array in a `.npy` of Python objects, by the same rules as `read_pickle`. Other arrays are mapped.

    Raises:
        InputError: As `read_pickle`.
    """
    require_content(path)
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = readers[version](file)
        except (ValueError, KeyError) as error:
            what = "is not a .npy file, or has a header that cannot be read"
            raise InputError(path, what, "a file written by numpy.save is needed") from error
        if not dtype.hasobject:
            return map_npy(path)
        if dtype.kind != "O":
            raise InputError(path, f"holds records with objects ({dtype})", _RIGHT)
        content = _read(path, file, frozenset())
    if not isinstance(content, np.ndarray) or content.shape != shape:
        raise InputError(path, f"its header says {list(shape)}, but it holds something else", "copy it again")
    return content


def _read(path: Path, file: IO[bytes], opaque: frozenset[str]) -> Any:
    try:
        return _Resolver(path).resolve(_Reader(file, opaque).load())
    except _RefusedError as error:
        raise InputError(path, f"the pickle asks for {error}, which is refused", _RIGHT) from error
    except KeyError as error:
        raise InputError(path, f"the pickle uses an operation that is not run (code {error})", _RIGHT) from error
    except Exception as error:  # a damaged program fails in any way
        what = f"cannot be read as a pickle: {type(error).__name__}: {error}"
        raise InputError(path, what, "it may be cut off; download it again") from error


class _Resolver:
    """Replaces descriptions of arrays by arrays; each container once, so that shared ones stay shared."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._done: dict[int, Any] = {}

    def resolve(self, value: Any) -> Any:
        """Return the value with arrays in it."""
        if id(value) in self._done:
            return self._done[id(value)]
        if isinstance(value, _Array):
            result: Any = self._array(value)
        elif isinstance(value, dict):
            result = {self.resolve(key): self.resolve(item) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            result = type(value)(self.resolve(item) for item in value)
        elif isinstance(value, _OpaqueObject):
            result = Opaque(value.name)
        elif isinstance(value, _Skipped):
            result = np.memmap(self._path, np.uint8, "r", value.offset, (value.size,))
        elif isinstance(value, _DType | _Global):
            raise _RefusedError(f"{type(value).__name__} outside an array")
        else:
            return value
        self._done[id(value)] = result
        return result

    def _array(self, array: _Array) -> Any:
        if array.dtype is None:
            raise _RefusedError("an array without a dtype")
        dtype, order = array.dtype.resolved(), "F" if array.fortran else "C"
        shape = tuple(int(size) for size in array.shape)
        if dtype.kind == "O":
            return self._objects(array.buffer, shape, order)
        wanted = dtype.itemsize * int(np.prod(shape, dtype=object))
        if isinstance(array.buffer, _Skipped):
            if array.buffer.size != wanted or array.buffer.offset + wanted > self._size:
                raise ValueError(f"an array of {shape} needs {wanted} bytes, but has {array.buffer.size}")
            return np.memmap(self._path, dtype, "r", array.buffer.offset, shape, order)  # type: ignore[call-overload]
        content = array.buffer.encode("latin1") if isinstance(array.buffer, str) else bytes(array.buffer)
        if len(content) != wanted:
            raise ValueError(f"an array of {shape} needs {wanted} bytes, but has {len(content)}")
        values = np.frombuffer(content, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
        return values[()] if shape == () else values

    def _objects(self, items: Any, shape: tuple[int, ...], order: str) -> Any:
        if not isinstance(items, list) or len(items) != int(np.prod(shape, dtype=object)):
            raise ValueError(f"an array of objects of {shape} does not have that many")
        values = np.empty(len(items), object)
        for index, item in enumerate(items):
            values[index] = self.resolve(item)
        return values.reshape(shape, order=order)  # type: ignore[call-overload]
