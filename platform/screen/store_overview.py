"""The studies of a store: one line per study, from its records."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from platform.errors import UserError
from platform.record.study_from_store import recorded_study
from platform.screen.status import StudyStatus, study_status
from platform.screen.units import duration
from platform.study.study import Study
from storage.base import Store
from storage.errors import StoreError
from storage.studies import list_studies


@dataclass(frozen=True)
class StudyEntry:
    """A study of a store."""

    study: str
    kind: str = ""
    """`sweep` or `ablation`."""
    state: str = ""
    """`complete`, `running` or `stopped`."""
    ended: int = 0
    trials: int = 0
    metric: str = ""
    """The first target, or the first primary metric."""
    value: float | None = None
    """The value of a sweep's best point, or the mean of an ablation's baseline; None if there is none yet."""
    last_active: float | None = None
    """Seconds since 1970."""
    driver: str | None = None
    """Process and host of the driver."""
    problem: str | None = None
    """Why the records cannot be read."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def overview(store: Store) -> tuple[StudyEntry, ...]:
    """Return the studies of `store`, the last active first. Raises `StoreError` if it cannot be listed."""
    entries = [_entry(store, study) for study in list_studies(store)]
    return tuple(sorted(entries, key=lambda entry: -(entry.last_active if entry.last_active is not None else 0.0)))


def _entry(store: Store, study_id: str) -> StudyEntry:
    try:
        study = recorded_study(store, study_id)
        with study.plugins.active():
            return _described(study, study_status(store, study))
    except (UserError, StoreError) as error:  # a damaged study must not hide the others
        return StudyEntry(study_id, problem=str(error))


def _described(study: Study, status: StudyStatus) -> StudyEntry:
    metric, holder = study.targets[0].name, status.holder
    return StudyEntry(
        study=study.id,
        kind="sweep" if study.has_best else "ablation",
        state=status.state,
        ended=sum(status.counts.values()),
        trials=status.trials,
        metric=metric,
        value=status.baseline if status.best is None else status.best["metrics"][metric],
        last_active=status.last_active,
        driver=None if holder is None else f"{holder['pid']} on {holder['host']}",
    )


def render_overview(entries: Sequence[StudyEntry], console: Console) -> None:
    """Print the studies as a table."""
    table = Table("study", "kind", "state", "ended", "best, or baseline", "last active", "driver", box=box.SIMPLE)
    for entry in entries:
        table.add_row(*_cells(entry))
    console.print(table)
    for entry in entries:
        if entry.problem is not None:
            console.print(f"{entry.study}: {entry.problem}", soft_wrap=True)


def _cells(entry: StudyEntry) -> Iterator[str]:
    if entry.problem is not None:
        yield from (entry.study, "", "not readable")
        return
    yield from (entry.study, entry.kind, entry.state, f"{entry.ended} of {entry.trials}")
    yield "" if entry.value is None else f"{entry.metric} {entry.value:.4g}"
    yield "" if entry.last_active is None else f"{duration(max(0.0, time.time() - entry.last_active))} ago"
    yield "none" if entry.driver is None else entry.driver
