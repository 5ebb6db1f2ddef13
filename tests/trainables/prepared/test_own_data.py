"""From a lab's folder to a prepared data set: what is written, what is resumed, and what is refused."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainables.prepared.bad_sources import BAD_ROWS, BAD_SERIES, truncate
from tests.trainables.prepared.labs import (
    CLIPS,
    SIZE,
    TR,
    VOXELS,
    names,
    prepare_rows,
    prepare_series,
    rows_lab,
    series_lab,
    values,
    write_csv,
)
from trainables.datasets.clips import Frames
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.source import DataBlock, DataSource
from trainables.datasets.prepared.validate import checked_before, validate
from trainables.preparation import own_rows, own_series
from trainables.preparation.prepare import prepare
from trainables.preparation.readers import READERS, preparation_reader


def test_rows_are_written_in_order_with_repeats_counted(tmp_path: Path) -> None:
    result = prepare_rows(rows_lab(tmp_path / "lab"), tmp_path / "out")
    assert result.report.problems == ()
    data = open_prepared(tmp_path / "out")
    assert data.description.name == "out"
    assert data.frames.shape == (CLIPS, 4, 32, 32, 3)
    np.testing.assert_array_equal(data.frames[2:4], np.stack([data.frames[2], data.frames[3]]))
    for number, subject in enumerate(data.subjects):
        np.testing.assert_array_equal(subject.values, values(2 * CLIPS, number))
        assert [row.row for row in subject.rows] == list(range(2 * CLIPS))
        assert sorted((row.clip_id, row.repeat) for row in subject.rows) == [(n, r) for n in names() for r in (0, 1)]
        assert subject.voxels.roi.tolist() == ["V1", "V1", "V2", "MT", "MT", ""]
        assert subject.voxels.regions["visual"].tolist() == [True, True, True, False, False, False]
    assert data.clips[3].captions == ("scene 3", "view 3")


def test_series_are_written_run_by_run(tmp_path: Path) -> None:
    result = prepare_series(series_lab(tmp_path / "lab"), tmp_path / "out", lag=4.0)
    assert result.report.problems == ()
    data = open_prepared(tmp_path / "out")
    assert (data.description.tr, data.description.lag_s) == (TR, 4.0)
    second = data.subjects[1]
    assert [(run.run_id, run.first_row, run.volumes) for run in second.runs] == [
        ("run-1", 0, 6), ("run-2", 6, 6), ("run-3", 12, 6), ("run-4", 18, 6)
    ]  # fmt: skip
    np.testing.assert_array_equal(second.values[6:12], values(6, 101))
    assert [event.clip_id for event in second.events] == names()


def test_films_are_split_whole_and_the_same_seed_gives_the_same_split(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    prepare_rows(lab, tmp_path / "one")
    prepare_rows(lab, tmp_path / "two")
    clips = open_prepared(tmp_path / "one").clips
    assert len({(clip.source, clip.split) for clip in clips}) == len({clip.source for clip in clips}) == 4
    assert {clip.split for clip in clips} == {"train", "validation", "test"}
    assert open_prepared(tmp_path / "two").description.digest == open_prepared(tmp_path / "one").description.digest


def test_the_content_does_not_depend_on_where_the_source_lies(tmp_path: Path) -> None:
    for name in ("here", "there"):
        prepare_series(series_lab(tmp_path / name), tmp_path / f"{name}-out")
    first, second = (open_prepared(tmp_path / f"{name}-out").description.digest for name in ("here", "there"))
    assert first == second != ""


def test_the_own_split_is_kept_and_validation_taken_from_training(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    split = ["train"] * 9 + ["test"] * 3
    write_csv(lab / "clips.csv", {"clip_id": names(), "source": [f"f{i // 3}" for i in range(CLIPS)], "split": split})
    result = prepare_rows(lab, tmp_path / "out", split_by="auto")
    parts = [clip.split for clip in open_prepared(tmp_path / "out").clips]
    assert parts[9:] == ["test"] * 3
    assert parts[:9].count("validation") == 3
    assert "no clip is 'validation'" in str(result.report)


def test_a_copy_of_a_test_clip_leaves_training_and_is_linked(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    (lab / "clips" / "clip000.gif").write_bytes((lab / "clips" / "clip011.gif").read_bytes())
    split = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    write_csv(lab / "clips.csv", {"clip_id": names(), "source": [f"f{i // 3}" for i in range(CLIPS)], "split": split})
    result = prepare_rows(lab, tmp_path / "out")
    clips = open_prepared(tmp_path / "out").clips
    assert (clips[0].split, clips[11].split, clips[11].same_as) == ("excluded", "test", "clip000")
    assert "same pixels" in clips[0].note
    assert "1 clip(s) have the pixels of a test or validation clip: clip000" in str(result.report)
    with pytest.raises(DatasetError, match="--duplicates exclude"):
        prepare_rows(lab, tmp_path / "refused", duplicates="refuse")
    assert not (tmp_path / "refused").exists()


def test_copies_share_a_split_that_is_made(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    (lab / "clips" / "clip000.gif").write_bytes((lab / "clips" / "clip011.gif").read_bytes())
    for seed in range(4):
        prepare_rows(lab, tmp_path / f"out{seed}", split_by="clip", seed=seed, test_fraction=0.3)
        clips = open_prepared(tmp_path / f"out{seed}").clips
        assert (clips[0].split, clips[0].block) == (clips[11].split, clips[11].block)


def test_arrays_of_clips_by_repeats_and_other_files(tmp_path: Path) -> None:
    """NumPy, HDF5 and Parquet give the same rows; a repeat of NaN was not measured."""
    cube = np.stack([values(2, 50 + index) for index in range(CLIPS)])
    cube[4, 1] = np.nan
    expected = cube.reshape(-1, VOXELS)[~np.isnan(cube.reshape(-1, VOXELS)).any(axis=1)]
    for suffix in ("npy", "h5", "parquet"):
        lab = rows_lab(tmp_path / suffix, subjects=1)
        place = lab / "sub-01"
        (place / "rows.npy").unlink()
        if suffix == "npy":
            np.save(place / "rows.npy", cube.astype(np.float64))
        elif suffix == "h5":
            with h5py.File(place / "rows.h5", "w") as file:
                file["group/betas"] = cube
                file["other"] = np.arange(3)
        else:
            table = pa.table({f"v{voxel}": expected[:, voxel] for voxel in range(VOXELS)})
            pq.write_table(table, place / "rows.parquet", row_group_size=5)
            shown = [name for name in names() for _ in range(1 if name == "clip004" else 2)]
            write_csv(place / "rows.csv", {"clip_id": [f"{name}.gif" for name in shown]})
        prepare_rows(lab, tmp_path / f"out-{suffix}")
        subject = open_prepared(tmp_path / f"out-{suffix}").subjects[0]
        np.testing.assert_array_equal(subject.values, expected)
        assert [row.repeat for row in subject.rows if row.clip_id == "clip004"] == [0]


def reader_with(source: DataSource, blocks: Callable[[int, Any], Iterator[DataBlock]]) -> DataSource:
    """Return `source` whose recordings are read by `blocks`."""

    def changed(subject: Any) -> Any:
        def recordings() -> Any:
            return [
                replace(recording, blocks=lambda n=number, r=recording: blocks(n, r))
                for number, recording in enumerate(subject.recordings())
            ]

        return replace(subject, recordings=recordings)

    return replace(source, subjects=[changed(subject) for subject in source.subjects])


def never() -> Frames:
    raise AssertionError("a finished clip is read again")


def test_a_killed_preparation_continues_at_the_last_finished_part(tmp_path: Path) -> None:
    lab = series_lab(tmp_path / "lab", subjects=1)
    options = own_series.Settings(folder=lab, **SIZE, tr=TR)
    read: list[int] = []

    def killed(number: int, recording: Any) -> Iterator[DataBlock]:
        read.append(number)
        yield from recording.blocks()
        if number == 2:
            raise KeyboardInterrupt

    def counted(number: int, recording: Any) -> Iterator[DataBlock]:
        read.append(number)
        yield from recording.blocks()

    source = own_series.open_source(options)
    with pytest.raises(KeyboardInterrupt):
        prepare(reader_with(source, killed), options, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    clips = replace(source, clips=lambda: (replace(clip, read=never) for clip in source.clips()))
    prepare(reader_with(clips, counted), options, tmp_path / "out")
    assert read == [0, 1, 2, 2, 3]
    prepare_series(lab, tmp_path / "whole", licence="", citation=())
    first, second = (open_prepared(tmp_path / name).description.digest for name in ("out", "whole"))
    assert first == second
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_other_options_begin_anew(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    options = own_rows.Settings(folder=lab, **SIZE)
    with pytest.raises(KeyboardInterrupt):
        prepare(reader_with(own_rows.open_source(options), interrupted), options, tmp_path / "out")
    prepare_rows(lab, tmp_path / "out", resolution=48)
    assert open_prepared(tmp_path / "out").frames[0].shape == (4, 48, 48, 3)


def interrupted(number: int, recording: Any) -> Iterator[DataBlock]:
    raise KeyboardInterrupt


def test_blocks_of_voxels_may_come_in_any_order(tmp_path: Path) -> None:
    lab = series_lab(tmp_path / "lab")

    def by_voxels(number: int, recording: Any) -> Iterator[DataBlock]:
        whole = next(recording.blocks()).values
        yield DataBlock(whole[:, 4:], first_voxel=4)
        yield DataBlock(whole[:2, :4])
        yield DataBlock(whole[2:, :4], first_row=2)

    options = own_series.Settings(folder=lab, **SIZE, tr=TR)
    prepare(reader_with(own_series.open_source(options), by_voxels), options, tmp_path / "out")
    np.testing.assert_array_equal(open_prepared(tmp_path / "out").subjects[0].values[:6], values(6, 0))


def test_a_bad_file_of_one_subject_does_not_lose_the_other(tmp_path: Path) -> None:
    lab = series_lab(tmp_path / "lab")
    broken = values(6, 102)
    broken[3, 4] = np.nan
    np.save(lab / "sub-02" / "run-3.npy", broken)
    result = prepare_series(lab, tmp_path / "out")
    assert result.description.subjects == ("sub-01",)
    (error,) = result.report.errors
    text = str(error)
    assert "sub-02: is left out" in text
    assert "run-3.npy: 1 voxel(s) hold NaN or infinite values, the first in row 3, voxel 4 (region 'MT')" in text
    assert "remove the voxels from all runs" in text
    assert any("sub-02" in defect for defect in result.description.defects)
    assert not (tmp_path / "out" / "sub-02").exists()


def test_a_run_that_the_lab_excludes_is_left_out_and_named(tmp_path: Path) -> None:
    lab = series_lab(tmp_path / "lab", subjects=1)
    write_csv(lab / "sub-01" / "runs.csv", {"run_id": ["run-2"], "session": ["a"], "excluded": ["the scanner stopped"]})
    result = prepare_series(lab, tmp_path / "out")
    runs = open_prepared(tmp_path / "out").subjects[0].runs
    assert [(run.volumes, run.first_row) for run in runs] == [(6, 0), (0, 6), (6, 6), (6, 12)]
    assert "the scanner stopped" in str(result.report)
    assert result.description.defects == ("sub-01, run run-2: the scanner stopped",)


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused_and_nothing_is_left(tmp_path: Path, case: str) -> None:
    damage, message = BAD_ROWS[case]
    lab = rows_lab(tmp_path / "lab")
    damage(lab)
    with pytest.raises(DatasetError, match=message):
        prepare_rows(lab, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", BAD_SERIES)
def test_bad_series_are_refused_and_nothing_is_left(tmp_path: Path, case: str) -> None:
    damage, message = BAD_SERIES[case]
    lab = series_lab(tmp_path / "lab", subjects=1)
    damage(lab / "sub-01")
    with pytest.raises(DatasetError, match=message):
        prepare_series(lab, tmp_path / "out", split_by="source")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(DatasetError, match=r"out: is not empty; name a new or empty folder"):
        prepare_rows(lab, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_verdict_is_kept_until_a_file_changes(tmp_path: Path) -> None:
    prepare_rows(rows_lab(tmp_path / "lab"), tmp_path / "out")
    verdict = checked_before(tmp_path / "out")
    assert verdict is not None
    assert verdict.subjects == 2
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    assert checked_before(moved) == verdict
    truncate(moved / "sub-01" / "rows.npy")
    assert checked_before(moved) is None
    assert "rows.npy" in str(validate(moved).report)
    again = checked_before(moved)
    assert again is not None
    assert str(moved / "sub-01" / "rows.npy") in str(again.report)


def test_every_reader_of_the_table_has_options_with_help() -> None:
    for name in READERS:
        reader = preparation_reader(name)
        assert callable(reader.open_source)
        assert all(field.description for field in reader.Settings.model_fields.values()), name
    with pytest.raises(
        ValueError,
        match=r"reader: there is no 'nifti'; there are: algonauts2021, algonauts2025, bids, .*, rows, series",
    ):
        preparation_reader("nifti")
