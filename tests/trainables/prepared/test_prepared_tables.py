"""Tables of the generic format: what is written is read back, and what does not fit is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.description import Description, read_description, write_description
from trainables.datasets.prepared.tables import (
    TABLES,
    ClipRow,
    EventRow,
    PresentationRow,
    RunRow,
    VoxelTable,
    columns_of,
    read_typed_table,
    read_voxels,
    write_rows,
    write_voxels,
)

CLIP = ClipRow("a", "clips/shard_00000.npy", 0, 0.0, 2.0, 4.0, 8, "00", "a dog", ("a dog", "a pet"), "film", 0, "train")
ROWS: dict[type[Any], tuple[Any, ...]] = {
    ClipRow: (CLIP, ClipRow("b", "b.npy", None, None, None, None, 8, "00", "x", ("x",), "film", 1, "test", "a", "n")),
    RunRow: (RunRow("r1", "s", "t", "f", 3, 0, 2.0, 0.0, "00"), RunRow("r2", "s", "t", "f", 0, 3, 2.0, 0.0, "", "bad")),
    EventRow: (EventRow("r1", 0.5, 2.0, "a", 0),),
    PresentationRow: (PresentationRow(0, "a", 0, "s", "r"), PresentationRow(1, "a", 1, "s", "r")),
}


@pytest.mark.parametrize("table", ROWS, ids=lambda table: table.__name__)
def test_rows_are_read_back_as_they_were_written(tmp_path: Path, table: type[Any]) -> None:
    write_rows(ROWS[table], table, tmp_path / "t.parquet")
    assert read_typed_table(tmp_path / "t.parquet", table) == ROWS[table]


def test_voxels_are_read_back_with_unknown_places_and_overlapping_regions(tmp_path: Path) -> None:
    voxels = VoxelTable(
        roi=np.array(["V1", "", "MT"]),
        structure=np.array(["LEFT", "LEFT", "RIGHT"]),
        vertex=np.array([4, -1, 7], np.int32),
        regions={"visual": np.array([True, False, True])},
        noise_ceiling_1=np.array([10.0, np.nan, 30.0], np.float32),
    )
    write_voxels(voxels, tmp_path / "voxels.parquet")
    again = read_voxels(tmp_path / "voxels.parquet")
    for name in ("roi", "structure", "vertex", "noise_ceiling_1"):
        np.testing.assert_array_equal(getattr(again, name), getattr(voxels, name))
    assert again.ijk is None
    assert again.repeat_r is None
    np.testing.assert_array_equal(again.regions["visual"], [True, False, True])


def test_tables_of_other_tools_are_read_where_types_can_be_cast(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    columns = {"run_id": ["r"], "onset_s": [1], "duration_s": [2.0], "clip_id": ["a"], "repeat": pa.array([0], "int64")}
    pq.write_table(pa.table({**columns, "mine": [1]}), path)
    assert read_typed_table(path, EventRow) == (EventRow("r", 1.0, 2.0, "a", 0),)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("onset_s", None, "events.parquet: has no column onset_s; double: when the clip begins"),
        ("onset_s", ["soon"], "events.parquet, column onset_s: holds string: Failed to parse"),
        ("clip_id", [None], "column clip_id: 1 empty value(s), the first in row 0; every row needs one"),
    ],
)
def test_a_column_that_does_not_fit_is_named(tmp_path: Path, column: str, values: Any, message: str) -> None:
    columns = {"run_id": ["r"], "onset_s": [1.0], "duration_s": [2.0], "clip_id": ["a"], "repeat": [0]}
    columns = {name: entries for name, entries in {**columns, column: values}.items() if entries is not None}
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    with pytest.raises(DatasetError) as error:
        read_typed_table(tmp_path / "events.parquet", EventRow)
    assert message in str(error.value)


def test_a_pointer_of_git_annex_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "clips.parquet").write_text("/annex/objects/MD5E-s900--d41d8cd98f.parquet\n")
    with pytest.raises(DatasetError, match=r"clips\.parquet: cannot be read.*git-annex or LFS"):
        read_typed_table(tmp_path / "clips.parquet", ClipRow)
    with pytest.raises(DatasetError, match="there is no such file"):
        read_typed_table(tmp_path / "absent.parquet", ClipRow)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"voxel": [1, 0], "roi": ["", ""]}, "row v of the table must describe column v"),
        ({"voxel": [0, 1], "roi": ["", ""], "V1": [1, 0]}, "column V1 holds int64"),
    ],
)
def test_voxel_tables_that_do_not_fit(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "voxels.parquet")
    with pytest.raises(DatasetError, match=message):
        read_voxels(tmp_path / "voxels.parquet")


def test_every_column_says_what_it_means() -> None:
    for table in TABLES.values():
        assert all(column.meaning for column in columns_of(table))
    assert [column.name for column in columns_of(ClipRow) if not column.required] == [
        "index", "start_s", "end_s", "fps", "same_as"
    ]  # fmt: skip


DESCRIPTION = {
    "name": "mine",
    "kind": "rows",
    "licence": "CC0-1.0",
    "reader": {"name": "rows"},
    "subjects": ["sub-01"],
    "clips": {"count": 4, "frames": 8, "height": 64, "width": 64},
}


def test_the_description_is_read_back(tmp_path: Path) -> None:
    description = Description.model_validate(DESCRIPTION)
    write_description(description, tmp_path)
    assert read_description(tmp_path) == description


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"dataset\.json: Invalid JSON"),
        ('{"format": "other"}', r"dataset\.json, format: .*mindsweep-data.*but is \"other\""),
        ('{"format": "mindsweep-data", "version": 2}', r"dataset\.json, version: .*but is 2"),
        ('{"kind": "rows"}', r"dataset\.json, name: Field required"),
    ],
)
def test_a_description_that_does_not_fit(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_description(tmp_path)


def test_a_folder_without_a_description(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json: there is no such file; .*platform\.prepare"):
        read_description(tmp_path)
    with pytest.raises(DatasetError, match="there is no such folder"):
        read_description(tmp_path / "absent")
