"""Whatever stands in a prepared data set that a lab wrote: it is used, or refused in words. No other error, no hang.

The digests of files are left out, as a lab's own set may have none: otherwise every change would be found by them.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import tried
from tests.mutations import ODD_TEXTS, VALUES, mutations
from tests.trainables.prepared.labs import edit_description, prepare_rows, prepare_series, rows_lab, series_lab
from trainables.config.data import PreparedConfig
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared import dataset
from trainables.datasets.prepared.description import DESCRIPTION_FILE
from trainables.datasets.prepared.validate import check_tables, validate

TRIED = tried(25)
KINDS = ("rows", "series")
TABLES = (
    ("rows", "clips.parquet"),
    ("rows", "sub-01/voxels.parquet"),
    ("rows", "sub-01/rows.parquet"),
    ("series", "clips.parquet"),
    ("series", "sub-01/voxels.parquet"),
    ("series", "sub-01/runs.parquet"),
    ("series", "sub-01/events.parquet"),
)
WHOLE = st.sampled_from([0, 1, 2, -1, 2**31 - 1, -(2**31)]) | st.integers(-3, 20)
REAL = st.sampled_from([0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf]) | st.floats(-5, 50)
TEXT = st.text(max_size=6) | st.sampled_from([*ODD_TEXTS, "clip001", "sub-01", "train", "test", "../x", "/x"])


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One sound data set of each kind, without digests of files."""
    folder = tmp_path_factory.mktemp("sets")
    prepare_rows(rows_lab(folder / "rows_lab", subjects=1), folder / "rows")
    prepare_series(series_lab(folder / "series_lab", subjects=1), folder / "series")
    for kind in KINDS:
        edit_description(folder / kind, files={}, digest="")
    return {kind: folder / kind for kind in KINDS}


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Restore the file `path` afterwards."""
    before = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(before)


def use(folder: Path) -> None:
    """Check the set; use it as a study does if it was found sound."""
    check_tables(folder)
    report = validate(folder).report
    config = PreparedConfig(kind="prepared", path=str(folder))
    dataset.clips_fingerprint(config)
    dataset.brains_fingerprint(config)
    dataset.check(config)
    if report.errors:
        with suppress(DatasetError):
            dataset.load_brains(config, dataset.load_clips(config))
        return
    clips = dataset.load_clips(config)
    assert clips.clips[:1].size > 0
    brains = dataset.load_brains(config, clips)
    for subject in brains.subjects:
        assert np.isfinite(subject.onsets).all()
        assert subject.onsets.max() < len(subject.bold)


def test_the_unchanged_sets_are_sound(sets: dict[str, Path]) -> None:
    for folder in sets.values():
        assert validate(folder).report.errors == ()
        use(folder)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    if pa.types.is_list(kind):
        return st.lists(TEXT | st.none(), max_size=3)
    usual = WHOLE if pa.types.is_integer(kind) else REAL if pa.types.is_floating(kind) else TEXT
    return st.none() | (st.booleans() if pa.types.is_boolean(kind) else usual)


@st.composite
def tables(draw: st.DrawFn, table: Any) -> Any:
    """Return `table` with one or two changes."""
    for _ in range(draw(st.integers(1, 2))):
        change = draw(st.sampled_from([_cell, _cell, _cell, _drop, _rename, _text, _add, _rows, _order]))
        if table.num_columns > 0 and len(table) > 0:
            table = change(draw, table, draw(st.integers(0, table.num_columns - 1)))
    return table


def _cell(draw: st.DrawFn, table: Any, place: int) -> Any:
    field = table.schema.field(place).with_nullable(True)
    cells = table.column(place).to_pylist()
    cells[draw(st.integers(0, len(cells) - 1))] = draw(values_of(field.type))
    return _with(table, place, field, cells)


def _drop(draw: st.DrawFn, table: Any, place: int) -> Any:
    return table.remove_column(place)


def _rename(draw: st.DrawFn, table: Any, place: int) -> Any:
    return _with(table, place, table.schema.field(place).with_name(draw(TEXT)), table.column(place).to_pylist())


def _text(draw: st.DrawFn, table: Any, place: int) -> Any:
    texts = [str(value) for value in table.column(place).to_pylist()]
    return _with(table, place, pa.field(table.schema.names[place], pa.string()), texts)


def _add(draw: st.DrawFn, table: Any, place: int) -> Any:
    return table.append_column(draw(TEXT), table.column(place))


def _rows(draw: st.DrawFn, table: Any, place: int) -> Any:
    return table.slice(draw(st.integers(0, len(table))), draw(st.integers(0, len(table))))


def _order(draw: st.DrawFn, table: Any, place: int) -> Any:
    return table.take(pa.array(draw(st.permutations(range(len(table)))), pa.int64()))


def _with(table: Any, place: int, field: Any, cells: list[Any]) -> Any:
    with suppress(pa.ArrowInvalid, OverflowError):
        return table.set_column(place, field, pa.array(cells, field.type))
    return table


def _any_table(folder: Path, name: str, data: st.DataObject) -> None:
    path = folder / name
    with kept(path):
        pq.write_table(data.draw(tables(pq.read_table(path))), path)
        use(folder)


@pytest.mark.parametrize(("kind", "name"), TABLES)
@TRIED
@given(st.data())
def test_any_table(sets: dict[str, Path], kind: str, name: str, data: st.DataObject) -> None:
    _any_table(sets[kind], name, data)


def _any_description(folder: Path, data: st.DataObject) -> None:
    path = folder / DESCRIPTION_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    with kept(path):
        path.write_text(json.dumps(data.draw(mutations(document) | VALUES)), encoding="utf-8")
        use(folder)


@pytest.mark.parametrize("kind", KINDS)
@TRIED
@given(st.data())
def test_any_description(sets: dict[str, Path], kind: str, data: st.DataObject) -> None:
    _any_description(sets[kind], data)
