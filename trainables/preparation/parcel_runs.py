"""Runs of Algonauts 2025: HDF5 files with one data set [samples, parcels] per run, and the names of parcels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.prepared.source import DataBlock
from trainables.preparation.bids_files import BidsName, parse_name
from trainables.preparation.files import InputError, require_content
from trainables.preparation.filtering import make_projection

TR_S = 1.49
"""Seconds per sample."""


@dataclass(frozen=True)
class Recorded:
    """One data set of an HDF5 file: the samples of one run, [samples, parcels]."""

    path: Path
    key: str
    samples: int
    parcels: int

    @property
    def name(self) -> BidsName:
        """Its entities: session, task and perhaps run."""
        return parse_name(Path(self.key))

    @property
    def part(self) -> str:
        """The part of a film, such as s01e01a."""
        return self.name.entities.get("task", "")

    def blocks(self) -> Iterator[DataBlock]:
        """Yield the run without mean and drift, standardised. Raises `InputError`."""
        values = np.asarray(_read(self.path, self.key), np.float32)
        yield DataBlock(make_projection(self.samples, TR_S).clean(values).values)


def open_runs(path: Path) -> list[Recorded]:
    """Return the runs of a file, from their headers. Raises `InputError`."""
    require_content(path)
    import h5py  # here, so that readers of other files start without it

    try:
        with h5py.File(path) as file:
            shapes = {key: (item.shape, item.dtype.kind) for key, item in file.items() if hasattr(item, "shape")}
    except Exception as error:  # h5py may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {error}", "download it again") from error
    for key, (shape, kind) in shapes.items():
        if len(shape) != 2 or kind != "f" or "task" not in parse_name(Path(key)).entities:
            what = f"{key} has the shape {list(shape)}"
            raise InputError(path, what, "[samples, parcels] of a key such as ses-003_task-s01e02a is needed")
    return [Recorded(path, key, *shape) for key, (shape, _) in shapes.items()]


def _read(path: Path, key: str) -> NDArray[Any]:
    import h5py

    try:
        with h5py.File(path) as file:
            return np.asarray(file[key][:])
    except Exception as error:  # as above
        raise InputError(path, f"{key} cannot be read: {error}", "download it again") from error


def network_names(path: Path | None, parcels: int) -> NDArray[np.str_]:
    """Return the network of each parcel, such as Vis, or else names such as parcel_0001. Raises `InputError`."""
    if path is None:
        return np.array([f"parcel_{number:04}" for number in range(1, parcels + 1)])
    require_content(path)
    lines = [re.split(r"[\s,]+", line.strip()) for line in path.read_text(encoding="utf-8").splitlines()]
    names = {int(line[0]): line[1].split("_") for line in lines if len(line) > 1 and line[0].isdecimal()}
    wrong = [number for number in range(1, parcels + 1) if len(names.get(number, ())) < 3]
    if wrong:
        what = f"has no name for {len(wrong)} parcel(s), the first {wrong[0]}"
        raise InputError(path, what, "lines such as `1 7Networks_LH_Vis_1 120 18 131 0` are needed")
    return np.array([names[number][2] for number in range(1, parcels + 1)])
