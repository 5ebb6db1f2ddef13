"""Every rule of the format: what breaks it is named with the file, the value found and what to do."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainables.prepared.damages import ERRORS, WARNINGS, Damage, clip, event, run
from tests.trainables.prepared.labs import (
    edit_clips,
    edit_description,
    prepare_rows,
    prepare_series,
    rows_lab,
    series_lab,
)
from trainables.datasets.errors import DataReport, some
from trainables.datasets.prepared.description import FileFacts
from trainables.datasets.prepared.similarity import difference_hash, near_pairs
from trainables.datasets.prepared.tables import (
    ClipRow,
    read_typed_table,
)
from trainables.datasets.prepared.validate import validate


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    prepare_rows(rows_lab(folder / "rows-lab"), folder / "rows")
    prepare_series(series_lab(folder / "series-lab"), folder / "series")
    return {"rows": folder / "rows", "series": folder / "series"}


def report_on(sound: Path, damage: Damage, copy: Path) -> DataReport:
    """Damage a copy of a sound data set, and return what `validate` finds."""
    shutil.copytree(sound, copy)
    damage(copy)
    return validate(copy).report


@pytest.mark.parametrize("case", ERRORS)
def test_what_breaks_a_rule_is_an_error(tmp_path: Path, sound: dict[str, Path], case: str) -> None:
    kind, damage, message = ERRORS[case]
    report = report_on(sound[kind], damage, tmp_path / "set")
    assert report.errors
    with pytest.raises(ValueError, match=message):
        raise ValueError("\n".join(map(str, report.errors)))
    assert all(str(tmp_path / "set") in problem.where for problem in report.problems)


@pytest.mark.parametrize("case", WARNINGS)
def test_what_is_worth_knowing_is_a_warning(tmp_path: Path, sound: dict[str, Path], case: str) -> None:
    kind, damage, message = WARNINGS[case]
    report = report_on(sound[kind], damage, tmp_path / "set")
    with pytest.raises(ValueError, match=message):
        raise ValueError("\n".join(map(str, report.warnings)))
    if kind == "rows":
        assert report.errors == ()


def test_a_leak_by_equal_pixels_is_an_error_and_within_a_split_a_warning(
    tmp_path: Path, sound: dict[str, Path]
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sound["rows"], folder)
    array = np.load(folder / "clips" / "shard_00000.npy")
    array[1], array[6] = array[0], array[0]
    np.save(folder / "clips" / "shard_00000.npy", array)
    rows = read_typed_table(folder / "clips.parquet", ClipRow)
    edit_clips(folder, lambda row: replace(row, sha256=rows[0].sha256) if row.index in (1, 6) else row)
    report = validate(folder).report
    assert [rows[index].split for index in (0, 1, 6)] == ["train", "train", "test"]
    assert "same pixels lie in two splits: clip000 (train) and clip006 (test); put them" in str(report)
    assert "empty for 2 clip(s) with the pixels of an earlier one: clip001, clip006" in str(report)


def test_near_duplicates_across_the_test_are_reported(tmp_path: Path, sound: dict[str, Path]) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sound["rows"], folder)
    array = np.load(folder / "clips" / "shard_00000.npy")
    array[6] = np.clip(array[0].astype(int) + 2, 0, 255)
    np.save(folder / "clips" / "shard_00000.npy", array)
    sha256 = hashlib.sha256(array[6].tobytes()).hexdigest()
    edit_clips(folder, lambda row: replace(row, sha256=sha256) if row.index == 6 else row)
    report = validate(folder).report
    assert report.errors == ()
    assert "1 pair(s) of test and other clips look nearly equal: clip000 (train) and clip006 (test)" in str(report)


def test_hashes_survive_mild_coding_and_tell_pictures_apart() -> None:
    rng = np.random.default_rng(0)
    clips = np.repeat(np.repeat(rng.integers(0, 255, (40, 1, 8, 8, 3), dtype=np.uint8), 8, 2), 8, 3)
    noisy = np.clip(clips.astype(int) + rng.integers(-3, 4, clips.shape), 0, 255).astype(np.uint8)
    hashes = [difference_hash(clip) for clip in (*clips, *noisy)]
    assert sorted(near_pairs(hashes, ["a"] * 40 + ["b"] * 40)) == [(index, index + 40) for index in range(40)]
    assert [*near_pairs(hashes, ["a"] * 80)] == []
    assert [*near_pairs([0, 0], ["a", "b"])] == [], "pictures without contrast say nothing"


def test_a_folder_that_a_lab_wrote_itself_needs_no_digests(tmp_path: Path, sound: dict[str, Path]) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sound["rows"], folder)
    edit_description(folder, files={})
    verdict = validate(folder)
    assert verdict.report.problems == ()
    assert len(verdict.digest) == 64


def test_all_findings_come_at_once(tmp_path: Path, sound: dict[str, Path]) -> None:
    folder = tmp_path / "set"
    shutil.copytree(sound["series"], folder)
    clip("caption", "")(folder)
    run(0, tr=0.0)(folder)
    event(0, clip_id="x")(folder)
    edit_description(folder, files={"gone": FileFacts(bytes=1, sha256="00")})
    report = str(validate(folder).report)
    for part in ("clips.parquet", "runs.parquet", "events.parquet", "gone: is missing"):
        assert part in report


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "there is no such folder" in str(validate(tmp_path / "absent").report)
    (tmp_path / "dataset.json").write_text("[]")
    assert "dataset.json" in str(validate(tmp_path).report)


def test_long_lists_are_shortened() -> None:
    assert some("abc") == "a, b, c"
    assert some("abcde") == "a, b, c and 2 more"
