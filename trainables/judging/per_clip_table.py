"""`per_clip.parquet` of a trial: a row per split, clip, system and metric. Undefined values are null, with a reason."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from sys import intern
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.datasets.clusters import each_its_own
from trainables.judging.values import Value

_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("clip", pa.int64()),
        ("name", pa.string()),
        ("cluster", pa.string()),
        ("system", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("reason", pa.string()),
    ]
)


def write_values(
    splits: Iterable[tuple[str, Mapping[int, str], Iterable[Value]]], path: Path, *, clusters: Sequence[str] = ()
) -> None:
    """Write the values of each split: its name, the names of its clips, and the values in the order of rows.

    `clusters` has the cluster of each clip of the data set; if it is empty, every clip is on its own.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
    for split, names, values in splits:
        for value in values:
            clip = int(value.clip)
            cluster = clusters[clip] if clusters else each_its_own([clip])[0]
            row: tuple[Any, ...] = (split, clip, names[clip], cluster)
            cells = (*row, value.system, value.metric, value.value, value.reason)
            for column, cell in zip(columns.values(), cells, strict=True):
                column.append(cell)
    pq.write_table(pa.table(columns, schema=_SCHEMA), path)


def read_values(path: Path, split: str) -> tuple[Value, ...]:
    """Return the values of one split in the order of rows."""
    table = pq.read_table(path, filters=[("split", "=", split)])
    names = [[*map(intern, map(str, table[name].to_pylist()))] for name in ("system", "clip", "metric", "reason")]
    rows = zip(*names, table["value"].to_pylist(), strict=True)
    return tuple(Value(system, "", clip, metric, value, reason) for system, clip, metric, reason, value in rows)
