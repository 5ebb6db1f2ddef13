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


def write_algonauts(path: Path, train: NDArray[Any], mask: NDArray[Any] | None = None) -> Path:
    """Write a dict of `train` [videos, repeats, voxels], and `voxel_mask` for the whole brain; protocol 2."""
    content = {"train": train} if mask is None else {"train": train, "voxel_mask": mask}
    return write_pickle(path, content, protocol=2)
