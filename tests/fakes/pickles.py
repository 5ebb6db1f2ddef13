"""Writes pickles as published data sets have them: betas of BOLD Moments and Algonauts 2021."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_pickle(path: Path, content: Any, *, protocol: int = 4) -> Path:
    """Write any content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def write_bmd_betas(
    path: Path, betas: NDArray[np.float64], first: int, *, protocol: int = 4, extra: Any = None
) -> Path:
    """Write a tuple of betas [videos, repeats, voxels] and names `vid0001`, and perhaps a third thing."""
    names = [f"vid{first + index:04}" for index in range(len(betas))]
    content = (betas, names) if extra is None else (betas, names, extra)
    return write_pickle(path, content, protocol=protocol)


def write_holed_betas(path: Path, shape: tuple[int, int, int]) -> Path:
    """Write a tuple of betas of zeros and names, of any size: the values are a hole in the file."""
    small = (2, 2, 5000)
    whole = pickle.dumps((np.zeros(small), [f"vid{number + 1:04}" for number in range(shape[0])]), protocol=3)
    payload = 8 * small[0] * small[1] * small[2]
    start = whole.index(b"B" + payload.to_bytes(4, "little"))
    sizes = b"".join(b"J" + size.to_bytes(4, "little") for size in shape)
    head = whole[:start].replace(b"K\x02K\x02M\x88\x13\x87", sizes + b"\x87")
    size = 8 * shape[0] * shape[1] * shape[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head + b"B" + size.to_bytes(4, "little"))
        file.seek(size, 1)
        file.write(whole[start + 5 + payload :])
    return path


def write_algonauts(path: Path, train: NDArray[Any], mask: NDArray[Any] | None = None) -> Path:
    """Write a dict of `train` [videos, repeats, voxels], and `voxel_mask` for the whole brain; protocol 2."""
    content = {"train": train} if mask is None else {"train": train, "voxel_mask": mask}
    return write_pickle(path, content, protocol=2)
