"""Opens betas [clips, repeats, voxels] in pickles or tensors, and reads some clips and voxels without the rest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.preparation.files import InputError
from trainables.preparation.mosaic_files import ENDINGS, PresentationRows, open_groups
from trainables.preparation.pickles import NIBABEL_IMAGE, read_pickle
from trainables.preparation.series import Floats
from trainables.preparation.torch_files import open_tensor

TENSOR = ".pt"
"""The ending of files of `torch.save`."""
FileColumns = NDArray[np.int64]
"""Voxels of a file, ascending."""
_RIGHT = "betas [clips, repeats, voxels] of real numbers are needed; download it again, or take another version"
_NAME = re.compile(r"(?:vid)?(\d{4})")


@dataclass(frozen=True)
class BetaFile:
    """The location of betas: in a pickled dict under `key`, or if that is empty, in a tuple (betas, clip names).

    A `.pt` holds a tensor. Of an HDF5 file of MOSAIC, `key` is the phase, and `group` the subject's group.
    """

    path: Path
    key: str = ""
    group: str = ""


@dataclass(frozen=True)
class Betas:
    """An opened file. Tensors, HDF5 and betas of protocols 3 to 5 stay on disk."""

    path: Path
    array: NDArray[Any] | PresentationRows
    """[clips, repeats, voxels]; of HDF5 each presentation is a clip with one repeat."""
    names: tuple[str, ...] | None
    """Of each clip, for example four digits; None if the file does not have them."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of the dict."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Clips, repeats, voxels."""
        clips, repeats, voxels = self.array.shape
        return clips, repeats, voxels

    def read(self, clips: slice, columns: FileColumns) -> Floats:
        """Return some voxels of some clips, a row per repeat: float32 [clips * repeats, columns]."""
        if isinstance(self.array, PresentationRows):
            return self.array.take(clips, _as_slice(columns)).reshape(-1, len(columns))
        values = self._mapped_anew(self.array)[clips][:, :, _as_slice(columns)]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(values, np.float32, order="C").reshape(-1, len(columns))

    def _mapped_anew(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array; a mapped one is mapped for each block, since pages of a mapped file count as memory."""
        if self.path.suffix == TENSOR:
            return open_tensor(self.path)
        if not isinstance(array, np.memmap):
            return array
        order = "C" if array.flags.c_contiguous else "F"
        return np.memmap(self.path, array.dtype, "r", array.offset, array.shape, order)  # type: ignore[call-overload, no-any-return]


def _as_slice(columns: FileColumns) -> slice | FileColumns:
    """Return neighbouring columns as a slice, which is read faster."""
    if len(columns) and columns[-1] - columns[0] + 1 == len(columns):
        return slice(int(columns[0]), int(columns[-1]) + 1)
    return columns


def open_betas(file: BetaFile) -> Betas:
    """Open betas; of tensors and those in protocols 3 to 5 only the names are read.

    Raises:
        InputError: The file is missing or damaged, asks for anything but arrays, or holds something else.
    """
    if file.path.suffix in ENDINGS:
        return _of_mosaic(file)
    array, names, others = _content(file)
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind not in "fiu" or 0 in array.shape:
        what = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(file.path, f"holds {what}", _RIGHT)
    return Betas(file.path, array, _clip_ids(file.path, names, len(array)), others)


def _of_mosaic(file: BetaFile) -> Betas:
    """Return the presentations of one phase."""
    group = next(each for each in open_groups(file.path) if each.group == file.group)
    shown = [each for each in group.presentations if each.phase == file.key]
    rows = PresentationRows(file.path, file.group, tuple(each.name for each in shown), group.columns)
    return Betas(file.path, rows, tuple(each.stimulus for each in shown))


def _content(file: BetaFile) -> tuple[Any, Any, Mapping[str, Any]]:
    """Return the betas, the names of clips if the file has them, and its other entries."""
    if file.path.suffix == TENSOR:
        return open_tensor(file.path), None, {}
    content = read_pickle(file.path, opaque=NIBABEL_IMAGE)
    if file.key:
        return (*_entry(file, content), None, content)
    return (*_pair(file, content), {})


def _entry(file: BetaFile, content: Any) -> tuple[Any]:
    if not isinstance(content, dict):
        raise InputError(file.path, f"holds {_kind(content)}, but a dict with {file.key!r} is needed", _RIGHT)
    if file.key not in content:
        raise InputError(file.path, f"has no entry {file.key!r}, but {', '.join(map(str, content))}", _RIGHT)
    return (content[file.key],)


def _kind(content: object) -> str:
    return "an array" if isinstance(content, np.ndarray) else type(content).__name__


def _pair(file: BetaFile, content: Any) -> tuple[Any, Any]:
    if not isinstance(content, tuple | list) or len(content) < 2:
        raise InputError(file.path, f"holds {_kind(content)}", "a tuple of betas and clip names is needed")
    return content[0], content[1]


def _clip_ids(path: Path, names: Any, count: int) -> tuple[str, ...] | None:
    """Return the four digits of each name, such as vid0001."""
    if names is None:
        return None
    if not isinstance(names, Sequence | np.ndarray) or isinstance(names, str) or len(names) != count:
        size = f"{len(names)} names" if hasattr(names, "__len__") else type(names).__name__
        raise InputError(path, f"has {size} for {count} clips", "each clip needs one name; download it again")
    matches = [_NAME.fullmatch(str(name)) for name in names]
    if None in matches:
        wrong = str(names[matches.index(None)])
        raise InputError(path, f"names a clip {wrong!r}", "names are vid and four digits, such as vid0001")
    ids = tuple(match[1] for match in matches if match is not None)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(path, f"names clip {twice} twice", "download it again")
    return ids
