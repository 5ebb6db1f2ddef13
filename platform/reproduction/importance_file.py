"""Finds the importance of voxels that a recorded trial has computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from platform.errors import UserError
from platform.reproduction.selection import recorded_trial
from storage.base import Store
from storage.errors import StoreError
from storage.runs import RunStore
from trainables.config.trial import config_from_json

_STAGE, _FILE = "importance", "voxels.parquet"


@dataclass(frozen=True)
class TrialImportance:
    """What the stage `importance` of a trial wrote."""

    file: Path
    """Its `voxels.parquet`; there until the block of `importance_of` ends."""
    subject: int
    """Number of the trial's subject in the data set, from 0."""


@contextmanager
def importance_of(store: Store, name: str) -> Iterator[TrialImportance]:
    """Yield the importance of the trial `name`, as in `recorded_trial`.

    Raises:
        UserError: There is no such trial, its data set is not a prepared one, or its importance is not stored.
    """
    trial = recorded_trial(store, name)
    config = config_from_json(trial.proposed.config)
    kind = config.dataset.kind
    if kind != "prepared":
        raise UserError(f"{trial.name}: its data set is of kind {kind}; maps are of a prepared data set")
    if _STAGE not in trial.proposed.identities:
        raise UserError(f"{trial.name}: has no stage {_STAGE}; run it with a design such as ablations/figs8_9_22.yaml")
    with TemporaryDirectory(prefix="mindsweep-") as cache:
        try:
            file = RunStore(store, cache=Path(cache)).open(trial.proposed.identities[_STAGE]).path(_FILE)
        except StoreError as error:
            raise UserError(f"{trial.name}: its importance is not in the store: {error}") from error
        yield TrialImportance(file, config.voxels.subject)
