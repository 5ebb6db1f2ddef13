"""Finds the maps of voxels that a recorded trial has computed: importance, or encoding accuracy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from platform.errors import UserError
from platform.reproduction.selection import recorded_trial
from storage.base import Store
from storage.errors import StoreError
from storage.runs import RunStore
from trainables.config.trial import config_from_json

MapStage = Literal["importance", "encoding_accuracy"]
_FILE = "voxels.parquet"
_DESIGN = {"importance": "ablations/figs8_9_22.yaml", "encoding_accuracy": "ablations/encoding.yaml"}


@dataclass(frozen=True)
class VoxelFile:
    """What such a stage of a trial wrote."""

    file: Path
    """Its `voxels.parquet`; there until the block of `voxel_file` ends."""
    subject: int
    """Number of the trial's subject in the data set, from 0."""


@contextmanager
def voxel_file(store: Store, name: str, stage: MapStage) -> Iterator[VoxelFile]:
    """Yield the voxels of `stage` of the trial `name`, as in `recorded_trial`.

    Raises:
        UserError: There is no such trial, its data set is not a prepared one, or the stage run is not stored.
    """
    trial = recorded_trial(store, name)
    config = config_from_json(trial.proposed.config)
    kind = config.dataset.kind
    if kind != "prepared":
        raise UserError(f"{trial.name}: its data set is of kind {kind}; maps are of a prepared data set")
    if stage not in trial.proposed.identities:
        raise UserError(f"{trial.name}: has no stage {stage}; run it with a design such as {_DESIGN[stage]}")
    with TemporaryDirectory(prefix="mindsweep-") as cache:
        try:
            file = RunStore(store, cache=Path(cache)).open(trial.proposed.identities[stage]).path(_FILE)
        except StoreError as error:
            raise UserError(f"{trial.name}: the voxels of {stage} are not in the store: {error}") from error
        yield VoxelFile(file, config.voxels.subject)
