"""Where a worker keeps temporary files and copies: the driver's folder, or one on a disk of the worker's node."""

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


def remove_scratch(folder: str | Path) -> None:
    """Remove the driver's scratch `folder` and this node's: a killed process leaves its files there."""
    for path in {Path(folder), on_this_node(folder)}:
        shutil.rmtree(path, ignore_errors=True)
