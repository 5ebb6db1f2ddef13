"""Where a worker keeps temporary files and copies: the driver's folder, or one on a disk of the worker's node."""

import os
import shutil
from pathlib import Path

from storage.environment import variable

SCRATCH_VARIABLE = "MINDSWEEP_SCRATCH"
"""Environment variable of a node: the folder for scratch and cache, on a local disk. By default they are in the
driver's home folder."""


def on_this_node(folder: str | Path) -> Path:
    """Return this node's path of the driver's `folder`: the same path, or below the folder in SCRATCH_VARIABLE."""
    disk = variable(SCRATCH_VARIABLE)
    return Path(folder) if disk is None else Path(disk) / Path(folder).name


def scratch_problem() -> str | None:
    """Return why the folder in SCRATCH_VARIABLE cannot be used on this node; None if it can, or is not set."""
    disk = variable(SCRATCH_VARIABLE)
    if disk is None:
        return None
    folder = Path(disk)
    if not folder.is_absolute():
        return f"{SCRATCH_VARIABLE} is {disk}; it must be an absolute path, since workers run in other folders"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return f"{SCRATCH_VARIABLE} is {disk}, but {existing} is not a writable folder"
    return None


def remove_scratch(folder: str | Path) -> None:
    """Remove the driver's scratch `folder` and this node's: a killed process leaves its files there."""
    for path in {Path(folder), on_this_node(folder)}:
        shutil.rmtree(path, ignore_errors=True)
