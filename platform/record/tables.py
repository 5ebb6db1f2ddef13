"""A study's records as two Parquet tables next to its events: one row per trial, and one row per value of an epoch.

    trials.parquet  study, trial, point, repeat, seed, condition, subject, block, outcome, cause, error, attempts,
                    proposed, started, finished, seconds, then param.* (the resolved config), metric.* (final values),
                    stage.* (identities of stage runs), seconds.* (duration of each stage run) and time.* (seconds per
                    activity: queue, data, compute, ...)
    epochs.parquet  study, trial, stage, epoch, metric, value, time

The events are the source of truth. The tables are written whole when a study ends or `platform.rebuild` is run. A
missing value is null. A field with values of several types, or with lists, is stored as JSON text.
"""

import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from platform.events import Finished, Proposed, TrialEvent
from platform.record.trial_record import TrialRecord
from storage import layout
from storage.base import Store
from storage.environment import without_secrets
from storage.errors import NotFoundError, StoreError
from storage.events import EventLog
from trainables.config.trial import flatten

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)
TRIALS, EPOCHS = "trials.parquet", "epochs.parquet"
_EVENTS_KEY = b"mindsweep.events"
"""Key in a table's metadata: the number of events that it was made from."""
_LARGEST = 2**63 - 1
_TIMES = ("proposed", "started", "finished", "time")
_TRIAL: Mapping[str, Any] = dict.fromkeys(
    (
        *("study", "trial", "point", "repeat", "seed", "condition", "dataset", "subject", "block"),
        *("outcome", "cause", "error", "attempts", "proposed", "started", "finished", "seconds"),
    )
)
_EPOCH = ("study", "trial", "stage", "epoch", "metric", "value", "time")


class RecordTables:
    """The view that writes the tables of a study when it is closed."""

    def __init__(self, store: Store, study: str) -> None:
        self._store, self._study = store, study
        self._records: dict[str, TrialRecord] = {}

    def see(self, event: TrialEvent) -> None:
        """Add one event. The events of a trial must be in order; an event that was added before is ignored."""
        self._records.setdefault(event.trial, TrialRecord(event.trial)).absorb(event)

    def close(self) -> None:
        """Write the tables if events are missing from them. An error is only logged: `rebuild` can write them later."""
        try:
            if self._records and self._stored() != self._events_seen:
                self.write()
        except StoreError as error:
            command = f"python -m platform.rebuild {self._study}"
            _log.warning("the tables are not written; write them with %s: %s", command, without_secrets(str(error)))

    def write(self) -> None:
        """Write both tables. Raises `StoreError`."""
        records = [self._records[trial] for trial in sorted(self._records)]
        rows = [{**_TRIAL, "study": self._study, **_trial_row(record)} for record in records]
        names = [*_TRIAL, *sorted({name for row in rows for name in row} - _TRIAL.keys(), key=_column_order)]
        self._write_table(TRIALS, {name: [row.get(name) for row in rows] for name in names})
        cells = [(self._study, *cell) for record in records for cell in _epoch_cells(record)]
        columns: Iterable[Sequence[Any]] = zip(*cells, strict=True) if cells else [()] * len(_EPOCH)
        self._write_table(EPOCHS, dict(zip(_EPOCH, columns, strict=True)))

    @property
    def _events_seen(self) -> int:
        """The number of events in the records."""
        return sum(record.events for record in self._records.values())

    def _stored(self) -> int:
        """Return the number of events that the stored tables were made from; 0 if there are none."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            data = self._store.get(layout.record(self._study, EPOCHS))  # written last
            return int((pq.read_metadata(io.BytesIO(data)).metadata or {}).get(_EVENTS_KEY, 0))
        except (NotFoundError, pa.ArrowException, ValueError, OSError):  # missing or unreadable: written again
            return 0

    def _write_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        metadata = {_EVENTS_KEY: str(self._events_seen).encode()}
        table = pa.table({column: _array(column, values) for column, values in columns.items()}, metadata=metadata)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self._store.put(layout.record(self._study, name), buffer.getvalue(), replace=True)


def write_tables(store: Store, study: str, events: Iterable[TrialEvent]) -> None:
    """Write both tables of `study` from its `events`, which must be in order within each trial. Raises `StoreError`."""
    tables = RecordTables(store, study)
    for event in events:
        tables.see(event)
    tables.write()


def _trial_row(record: TrialRecord) -> dict[str, Any]:
    """Return the row of one trial: column to value."""
    row: dict[str, Any] = {"trial": record.trial, "started": record.began}
    row |= {"attempts": record.attempts} if record.attempts else {}
    row |= _proposed(record.proposed) if record.proposed is not None else {}
    return row | (_finished(record.finished) if record.finished is not None else {})


def _epoch_cells(record: TrialRecord) -> Iterator[tuple[str, str, int, str, float, float]]:
    """Yield (trial, stage, epoch, metric, value, time), in that order."""
    for (stage, epoch), row in sorted(record.rows.items()):
        for metric, value in sorted(row["metrics"].items()):
            yield record.trial, stage, epoch, metric, value, row["time"]


def _proposed(proposed: Proposed) -> dict[str, Any]:
    labels = proposed.labels
    subject = {"subject": int(labels["subject"])} if "subject" in labels else {}
    return {
        **{name: getattr(proposed, name) for name in ("point", "repeat", "seed")},
        **{name: labels[name] for name in ("condition", "dataset", "block") if name in labels},
        **subject,
        "proposed": proposed.time,
        **{f"param.{name}": value for name, value in flatten(proposed.config).items()},
        **{f"stage.{stage}": identity for stage, identity in proposed.identities.items()},
    }


def _finished(end: Finished) -> dict[str, Any]:
    return {
        **{name: getattr(end, name) for name in ("outcome", "cause", "error", "seconds")},
        "finished": end.time,
        **{f"metric.{name}": value for name, value in end.metrics.items()},
        **{f"seconds.{stage}": run["seconds"] for stage, run in end.runs.items()},
        **{f"time.{part}": seconds for part, seconds in end.spent.items()},
    }


def _column_order(column: str) -> tuple[int, str]:
    return ("param", "metric", "stage", "seconds", "time").index(column.partition(".")[0]), column


def _array(column: str, values: Sequence[Any]) -> "pa.Array":
    """Return `values` as an array of their common type: timestamp, boolean, integer, float, string, else JSON text.

    Integers that a column of 64 bits cannot hold are text, too.
    """
    import pyarrow as pa

    if column in _TIMES:
        times = [None if value is None else datetime.fromtimestamp(value, UTC) for value in values]
        return pa.array(times, pa.timestamp("us", tz="UTC"))
    too_large = any(isinstance(value, int) and abs(value) > _LARGEST for value in values)
    types = set() if too_large else {type(value) for value in values if value is not None}
    for allowed, kind in (
        ({bool}, pa.bool_()),
        ({int}, pa.int64()),
        ({int, float}, pa.float64()),
        ({str}, pa.string()),
    ):
        if types and types <= allowed:
            return pa.array([float(v) if v is not None and kind == pa.float64() else v for v in values], kind)
    return pa.array([None if value is None else json.dumps(value, sort_keys=True) for value in values], pa.string())


def rewrite_tables(store: Store, study: str) -> tuple[str, ...]:
    """Write the tables of `study` from its events and return their URIs. Raises `StoreError`."""
    write_tables(store, study, map(TrialEvent.from_json, EventLog(store, study).read()))
    return tuple(f"{store.uri}/{layout.record(study, name)}" for name in (TRIALS, EPOCHS))
