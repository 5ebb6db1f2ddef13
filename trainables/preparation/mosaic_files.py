"""Opens HDF5 files of MOSAIC, which hold one data set per presentation, and reads some columns of some of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.clip_names import natural
from trainables.preparation.files import InputError, require_content

ENDINGS = (".hdf5", ".h5")
_BETAS = "betas"
_RIGHT = "a file of MOSAIC such as sub-01_BMD.hdf5 is needed; download it again"
_NEEDED = ("presented_stimulus_filename", "phase", "repetition")


@dataclass(frozen=True)
class Presentation:
    """One presentation. What it is stands in attributes: names of data sets cannot be taken apart safely."""

    name: str
    """Of its data set within `betas`."""
    stimulus: str
    """File name of the stimulus, without its ending."""
    ending: str
    phase: str
    """train or test."""
    repetition: int


@dataclass(frozen=True)
class MosaicGroup:
    """The presentations of one subject: a file, or a group of a merged file."""

    path: Path
    group: str
    """"" for the whole file."""
    attributes: Mapping[str, str]
    """Of the file and of the group."""
    presentations: tuple[Presentation, ...]
    """By phase, stimulus and repetition."""
    columns: int

    @property
    def subject(self) -> str:
        """Such as `sub-01`; from attributes, or else from the name of file or group."""
        text = self.attributes.get("subjectID", "")
        name = text if text else (self.group if self.group else self.path.stem).partition("_")[0]
        return name if name.startswith("sub-") else f"sub-{name.removeprefix('sub').lstrip('-_')}"

    @property
    def dataset(self) -> str:
        """Such as `BMD`."""
        text = self.attributes.get("dataset_name", "")
        return text if text else (self.group if self.group else self.path.stem).partition("_")[2]


@dataclass(frozen=True)
class PresentationRows:
    """The betas of some presentations, [presentations, 1, columns], as an array that stays in the file."""

    path: Path
    group: str
    names: tuple[str, ...]
    columns: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Presentations, 1, columns."""
        return len(self.names), 1, self.columns

    def take(self, rows: slice, columns: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return some columns of some presentations; one presentation is in memory at a time."""
        import h5py

        try:
            with h5py.File(self.path) as file:
                betas = file[f"{self.group}/{_BETAS}"]
                return np.stack([_float32(betas[name][:][columns]) for name in self.names[rows]])[:, None]
        except Exception as error:  # h5py may raise any exception on damaged input
            raise InputError(self.path, f"cannot be read: {error}", _RIGHT) from error


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, np.float32)


def open_groups(path: Path) -> tuple[MosaicGroup, ...]:
    """Return the subjects of a file, from its attributes alone.

    Raises:
        InputError: It is missing or damaged, or a presentation lacks an attribute or has another number of columns.
    """
    require_content(path)
    facts = path.stat()
    return _groups(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _groups(path: Path, changed: int, size: int) -> tuple[MosaicGroup, ...]:
    import h5py  # here, so that readers of other files start without it

    try:
        with h5py.File(path) as file:
            names = [""] if _BETAS in file else [name for name in file if _has_betas(file[name])]
            groups = tuple(_group(path, name, file) for name in sorted(names, key=natural))
    except InputError:
        raise
    except Exception as error:  # h5py may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {error}", _RIGHT) from error
    if not groups:
        raise InputError(path, f"has no group {_BETAS}, also not one for each subject", _RIGHT)
    return groups


def _has_betas(item: Any) -> bool:
    return hasattr(item, "keys") and _BETAS in item


def _group(path: Path, name: str, file: Any) -> MosaicGroup:
    group = file[name] if name else file
    attributes = {key: _text(value) for source in (file, group) for key, value in source.attrs.items()}
    betas = group[_BETAS]
    presentations = sorted((_presentation(path, key, betas[key]) for key in betas), key=_order)
    columns = {int(betas[each.name].size) for each in presentations}
    if len(columns) != 1:
        what = f"{name} has presentations of {' and '.join(map(str, sorted(columns)))} columns".strip()
        raise InputError(path, what if columns else f"{name} has no presentation".strip(), _RIGHT)
    return MosaicGroup(path, name, attributes, tuple(presentations), columns.pop())


def _presentation(path: Path, name: str, item: Any) -> Presentation:
    missing = [key for key in _NEEDED if key not in item.attrs]
    if missing:
        raise InputError(path, f"{name} has no attribute {', '.join(missing)}", _RIGHT)
    if item.ndim != 1:
        raise InputError(path, f"{name} has the shape {list(item.shape)}", "one number per column is needed")
    stimulus = PurePosixPath(_text(item.attrs[_NEEDED[0]]))
    phase, repetition = _text(item.attrs["phase"]), int(item.attrs["repetition"])
    if phase not in ("train", "test"):
        raise InputError(path, f"{name} has the phase {phase!r}", "train or test is needed")
    return Presentation(name, stimulus.stem, stimulus.suffix.lower(), phase, repetition)


def _order(each: Presentation) -> tuple[bool, Sequence[Any], int]:
    return each.phase == "test", natural(each.stimulus), each.repetition


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
