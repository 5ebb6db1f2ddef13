"""Opens tensors and texts that `torch.save` wrote, without executing anything in the file; tensors stay on disk."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.preparation.files import InputError, require_content

_OLD = "numpy.core.multiarray"
"""Where NumPy before 2 has its functions."""


def open_tensor(path: Path) -> NDArray[Any]:
    """Return the tensor in a file, mapped: its values are read where they are used.

    Raises:
        InputError: The file is missing or damaged, asks for anything but tensors and arrays, or holds something else.
    """
    content = _content(path)
    if isinstance(content, np.ndarray):
        return content
    if not hasattr(content, "untyped_storage"):
        raise InputError(path, f"holds {type(content).__name__}", "a tensor is needed; download it again")
    try:
        return np.asarray(content.detach().numpy())
    except (RuntimeError, TypeError) as error:  # bfloat16, sparse, quantised
        raise InputError(path, f"holds a tensor that NumPy has no type for: {error}", "save it as float32") from error


def read_texts(path: Path) -> list[str]:
    """Return the texts in a file: an array or list of them. Raises `InputError` as `open_tensor` does."""
    content = _content(path)
    texts = np.ravel(content).tolist() if isinstance(content, np.ndarray | list | tuple) else [content]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InputError(path, f"holds {type(content).__name__} without texts", "an array of texts is needed")
    return list(map(str, texts))


def _content(path: Path) -> Any:
    require_content(path)
    import torch  # here, so that readers of other files start without it

    numpy_types: list[Any] = [
        np.ndarray,
        np.dtype,
        np.str_,
        np.dtypes.StrDType,
        np.dtypes.ObjectDType,
        *(
            (function, f"{module}.{name}")
            for module in (_OLD, "numpy._core.multiarray")
            for name, function in _FUNCTIONS
        ),
    ]
    try:
        with torch.serialization.safe_globals(numpy_types), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles in another protocol
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises whatever it likes on damaged and on unsafe files
        raise InputError(path, *_why_unreadable(path, numpy_types)) from error


def _why_unreadable(path: Path, allowed: list[Any]) -> tuple[str, str]:
    import torch

    try:
        with torch.serialization.safe_globals(allowed):
            code = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # as above: it reads the same file
        code = []
    if code:
        return f"wants to call {', '.join(code[:5])}", "it could run code and is not read; get it from its authors"
    return "cannot be read: it is damaged, or was not written by torch.save", "download it again"


_MULTIARRAY: Any = np._core.multiarray  # type: ignore[attr-defined]
_FUNCTIONS = tuple((name, getattr(_MULTIARRAY, name)) for name in ("_reconstruct", "scalar"))
