"""A study's records as two Parquet tables beside its events: a row for each trial, and one for each value of an epoch.

    trials.parquet  study, trial, point, repeat, seed, condition, subject, block, outcome, cause, error, attempts,
                    proposed, started, finished, seconds, then param.* (the resolved config), metric.* (final values),
                    stage.* (identities of stage runs), seconds.* (what each of them took) and time.* (seconds by what
                    they were spent on: queue, data, compute, ...)
    epochs.parquet  study, trial, stage, epoch, metric, value, time

The events remain the truth: the tables are written whole, when a study ends or `platform.rebuild` is run. What a trial
does not have is null; a field whose values are of several types, or lists, is JSON text.
"""

import io
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from platform.events import TrialEvent
from platform.tracking_uri import without_secrets
from storage import layout
from storage.base import Store
from storage.errors import NotFoundError, StoreError
from storage.events import EventLog
from trainables.config.trial import flatten

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)
TRIALS, EPOCHS = "trials.parquet", "epochs.parquet"
_SEEN = b"mindsweep.events"
"""In a table's metadata: how many events it was made from."""
_TIMES = ("proposed", "started", "finished", "time")
_TRIAL: Mapping[str, Any] = dict.fromkeys(
    (
        *("study", "trial", "point", "repeat", "seed", "condition", "subject", "block"),
        *("outcome", "cause", "error", "attempts", "proposed", "started", "finished", "seconds"),
    )
)
_EPOCH = ("study", "trial", "stage", "epoch", "metric", "value", "time")


class RecordTables:
    """The view that keeps the tables of one study; it writes them when it is closed."""

    def __init__(self, store: Store, study: str) -> None:
        self._store, self._study = store, study
        self._trials: dict[str, dict[str, Any]] = {}
        self._epochs: dict[tuple[str, str, int, str], tuple[float, float]] = {}
        self._next: dict[str, int] = defaultdict(int)

    def see(self, event: TrialEvent) -> None:
        """Take in one event, in order within its trial; one that was seen before changes nothing."""
        if event.sequence < self._next[event.trial]:
            return
        self._next[event.trial] = event.sequence + 1
        row = self._trials.setdefault(event.trial, {**_TRIAL, "study": self._study, "trial": event.trial})
        if event.kind == "epochs":
            self._absorb_rows(event)
        elif event.kind == "proposed":
            row.update(_proposed(event))
        elif event.kind == "started":
            first = event.time if row["started"] is None else row["started"]
            row.update(started=first, attempts=event.body["attempt"])
        elif event.kind == "finished":
            row.update(_finished(event))

    def close(self) -> None:
        """Write the tables if they lack events; what prevents it is only told, since they can be made again."""
        try:
            if self._trials and self._stored() != sum(self._next.values()):
                self.write()
        except StoreError as error:
            again = f"python -m platform.rebuild {self._study}"
            _log.warning("the tables of the records are not written (%s): %s", again, without_secrets(str(error)))

    def write(self) -> None:
        """Write both tables. Raises `StoreError`."""
        rows = [self._trials[trial] for trial in sorted(self._trials)]
        names = [*_TRIAL, *sorted({name for row in rows for name in row} - _TRIAL.keys(), key=_place)]
        self._put(TRIALS, {name: [row.get(name) for row in rows] for name in names})
        keys = sorted(self._epochs)
        cells = [(self._study, *key, *self._epochs[key]) for key in keys]
        columns: Iterable[Sequence[Any]] = zip(*cells, strict=True) if cells else [()] * len(_EPOCH)
        self._put(EPOCHS, dict(zip(_EPOCH, columns, strict=True)))

    def _absorb_rows(self, event: TrialEvent) -> None:
        for row in event.body["rows"]:
            for metric, value in row["metrics"].items():
                self._epochs.setdefault((event.trial, row["stage"], row["epoch"], metric), (value, row["time"]))

    def _stored(self) -> int:
        """Return how many events the stored tables were made from; 0 without them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            data = self._store.get(layout.record(self._study, EPOCHS))  # written last
            return int((pq.read_metadata(io.BytesIO(data)).metadata or {}).get(_SEEN, 0))
        except (NotFoundError, pa.ArrowException, ValueError, OSError):  # whatever lies there is made again
            return 0

    def _put(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        seen = {_SEEN: str(sum(self._next.values())).encode()}
        table = pa.table({column: _array(column, values) for column, values in columns.items()}, metadata=seen)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self._store.put(layout.record(self._study, name), buffer.getvalue(), replace=True)


def write_tables(store: Store, study: str, events: Iterable[TrialEvent]) -> None:
    """Write both tables of `study`, whose events these are, in order within each trial. Raises `StoreError`."""
    tables = RecordTables(store, study)
    for event in events:
        tables.see(event)
    tables.write()


def _proposed(event: TrialEvent) -> dict[str, Any]:
    body = event.body
    labels = body.get("labels", {})
    subject = {"subject": int(labels["subject"])} if "subject" in labels else {}
    return {
        **{name: body[name] for name in ("point", "repeat", "seed")},
        **{name: labels[name] for name in ("condition", "block") if name in labels},
        **subject,
        "proposed": event.time,
        **{f"param.{name}": value for name, value in flatten(body["config"]).items()},
        **{f"stage.{run['stage']}": run["identity"] for run in body["runs"]},
    }


def _finished(event: TrialEvent) -> dict[str, Any]:
    body = event.body
    return {
        **{name: body.get(name) for name in ("outcome", "cause", "error", "seconds")},
        "finished": event.time,
        **{f"metric.{name}": value for name, value in body["metrics"].items()},
        **{f"seconds.{stage}": run["seconds"] for stage, run in body["runs"].items()},
        **{f"time.{what}": seconds for what, seconds in body.get("time", {}).items()},
    }


def _place(column: str) -> tuple[int, str]:
    return ("param", "metric", "stage", "seconds", "time").index(column.partition(".")[0]), column


def _array(column: str, values: Sequence[Any]) -> "pa.Array":
    """Return `values` in the one type that all of them have: times, whole numbers, numbers, truths, else text."""
    import pyarrow as pa

    if column in _TIMES:
        times = [None if value is None else datetime.fromtimestamp(value, UTC) for value in values]
        return pa.array(times, pa.timestamp("us", tz="UTC"))
    kinds = {type(value) for value in values if value is not None}
    for allowed, kind in (
        ({bool}, pa.bool_()),
        ({int}, pa.int64()),
        ({int, float}, pa.float64()),
        ({str}, pa.string()),
    ):
        if kinds and kinds <= allowed:
            return pa.array([float(v) if v is not None and kind == pa.float64() else v for v in values], kind)
    return pa.array([None if value is None else json.dumps(value, sort_keys=True) for value in values], pa.string())


def rewrite_tables(store: Store, study: str) -> tuple[str, ...]:
    """Write the tables of `study` from its events and return their URIs. Raises `StoreError`."""
    write_tables(store, study, map(TrialEvent.from_json, EventLog(store, study).read()))
    return tuple(f"{store.uri}/{layout.record(study, name)}" for name in (TRIALS, EPOCHS))
