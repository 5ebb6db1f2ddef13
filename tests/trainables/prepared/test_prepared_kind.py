"""`dataset.kind: prepared`: identity follows content, planning reads no pixels, and stages get what was prepared."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.prepared.labs import (
    CLIPS,
    TR,
    edit_clips,
    edit_description,
    names,
    prepare_rows,
    prepare_series,
    rows_lab,
    series_lab,
    values,
    write_csv,
)
from trainables import datasets
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared import dataset
from trainables.datasets.prepared.read import ClipArray
from trainables.graph import stage_runs


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    prepare_rows(rows_lab(folder / "rows-lab"), folder / "rows")
    prepare_series(series_lab(folder / "series-lab"), folder / "series")
    return {"rows": folder / "rows", "series": folder / "series"}


def prepared(folder: Path, **overrides: Any) -> TrialConfig:
    return resolve({"dataset.kind": "prepared", "dataset.path": str(folder), **overrides})


def identity(folder: Path) -> str:
    return stage_runs(prepared(folder), seed=0, targets=["data"])[-1].identity


def test_rows_are_paired_with_clips_in_each_subjects_own_order(sound: dict[str, Path]) -> None:
    data = datasets.load(prepared(sound["rows"]).dataset)
    assert (data.brains.kind, data.brains.lag_tr) == ("rows", 0)
    assert data.stimuli.clips.shape == (CLIPS, 4, 32, 32, 3)
    assert data.stimuli.captions[5] == ("scene 5", "view 5")
    for number, subject in enumerate(data.brains.subjects):
        order = np.random.default_rng([13, number]).permutation(np.repeat(np.arange(CLIPS), 2))
        assert subject.runs is None
        assert subject.onsets.shape == (CLIPS, 2)
        assert all(order[row] == clip for clip, rows in enumerate(subject.onsets.tolist()) for row in rows)
        np.testing.assert_array_equal(subject.bold[0:24], values(24, number))
    assert list(data.brains.roi_names) == ["V1", "V2", "MT", "no region"]


def test_series_have_runs_and_volumes_at_onsets(sound: dict[str, Path]) -> None:
    brains = datasets.load(prepared(sound["series"]).dataset).brains
    assert (brains.kind, brains.lag_tr, brains.tr) == ("series", 2, TR)
    subject = brains.subjects[0]
    assert subject.runs is not None
    assert subject.runs.tolist() == [0, 6, 12, 18]
    assert subject.onsets[:, 0].tolist() == [0, 1, 2, 6, 7, 8, 12, 13, 14, 18, 19, 20]
    assert subject.onsets.dtype == np.int64


def test_onsets_between_volumes_stay_fractions_and_an_excluded_run_is_not_used(tmp_path: Path) -> None:
    lab = series_lab(tmp_path / "lab", subjects=1)
    events: dict[str, list[Any]] = {
        "run_id": ["run-1", "run-2", "run-3"],
        "onset_s": [1.0, 0.0, 0.5],
        "duration_s": [2.0] * 3,
    }
    write_csv(lab / "sub-01" / "events.csv", {**events, "clip_id": names()[:3]})
    write_csv(lab / "sub-01" / "runs.csv", {"run_id": ["run-2"], "excluded": ["noise"]})
    prepare_series(lab, tmp_path / "out", start_time=0.5, lag=5.0)
    brains = datasets.load(prepared(tmp_path / "out").dataset).brains
    assert brains.subjects[0].onsets[:3, 0].tolist() == [0.25, -1.0, 6.0]
    assert brains.lag_tr == 2
    assert any("is 5 s, not a whole number of volumes of 2 s; it is taken as 2 volume(s)" in w for w in brains.warnings)


def test_identity_follows_content_and_not_the_place(sound: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(sound["rows"], folder)
    assert identity(folder) == identity(sound["rows"])
    edit_description(folder, name="other", licence="other", files={})
    assert identity(folder) == identity(sound["rows"]), "digests that are not written down are computed"
    before = dataset.clips_fingerprint(prepared(folder).dataset)  # type: ignore[arg-type]
    array = np.load(folder / "sub-01" / "rows.npy")
    np.save(folder / "sub-01" / "rows.npy", array + 1)
    assert identity(folder) != identity(sound["rows"])
    assert dataset.clips_fingerprint(prepared(folder).dataset) == before  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"caption": "scene 0"}, {"split": "excluded"}, {"sha256": "00"}, {"block": 9}])
def test_another_table_is_another_identity(sound: dict[str, Path], tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sound["rows"], folder)
    edit_clips(folder, lambda row: replace(row, **change) if row.clip_id == "clip007" else row)
    assert identity(folder) != identity(sound["rows"])


def test_planning_opens_no_clip_and_no_array(sound: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("an array is opened")

    for name in ("read.map_array", "read.array_file", "check_clips.array_file", "check_subject.array_file"):
        monkeypatch.setattr(f"trainables.datasets.prepared.{name}", never)
    config = prepared(sound["series"])
    assert datasets.check(config).problems == ()
    assert identity(sound["series"]).startswith("data-")


def test_a_changed_file_is_checked_again_before_anything_runs(sound: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sound["rows"], folder)
    array = np.load(folder / "sub-01" / "rows.npy")
    array[3, 2] = np.nan
    np.save(folder / "sub-01" / "rows.npy", array)
    assert "rows.npy: has the SHA-256" in str(datasets.check(prepared(folder)))


def test_what_is_missing_is_told(tmp_path: Path, sound: dict[str, Path]) -> None:
    report = datasets.check(prepared(tmp_path / "absent"))
    assert "absent: there is no such folder; name the folder of a data set" in str(report)
    assert identity(tmp_path / "absent").startswith("data-")
    with pytest.raises(DatasetError, match="there is no such folder"):
        datasets.load(prepared(tmp_path / "absent").dataset)
    report = datasets.check(prepared(sound["rows"], **{"voxels.subject": 2}))
    assert "voxels.subject: is 2; the data set has 2 subject(s), numbered from 0" in str(report)


def test_a_folder_that_is_no_data_set_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(folder: Path, pattern: str) -> None:
        raise AssertionError(f"{folder} may be the root of a disk")

    monkeypatch.setattr(Path, "rglob", search)
    assert identity(tmp_path).startswith("data-")
    assert "dataset.json: there is no such file" in str(datasets.check(prepared(tmp_path)))


def test_clips_are_read_by_ranges_from_shards_and_single_files(tmp_path: Path, sound: dict[str, Path]) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sound["rows"], folder)
    whole = np.load(folder / "clips" / "shard_00000.npy")
    np.save(folder / "clips" / "one.npy", whole[3])
    edit_clips(folder, lambda row: replace(row, file="clips/one.npy", index=None) if row.index == 3 else row)
    assert datasets.check(prepared(folder)).errors == ()
    clips = datasets.load(prepared(folder).dataset).stimuli.clips
    assert isinstance(clips, ClipArray)
    np.testing.assert_array_equal(clips[2:5], whole[2:5])
    np.testing.assert_array_equal(clips[np.array([5, 3])], whole[[5, 3]])
    np.testing.assert_array_equal(np.asarray(clips), whole)
