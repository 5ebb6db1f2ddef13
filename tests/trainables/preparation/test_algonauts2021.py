import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.algonauts2021 import (
    PARTICIPANTS,
    REGIONS,
    VIDEOS,
    mask,
    whole_brain,
    write_algonauts2021,
    write_subject,
)
from tests.fakes.bmd import Videos, write_annotations
from tests.fakes.pickles import write_algonauts, write_pickle
from trainables import datasets
from trainables.config.trial import resolve
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.preparation.algonauts2021 import Settings, open_source
from trainables.preparation.prepare import Prepared, prepare

SHOWN = Videos()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_algonauts2021(tmp_path_factory.mktemp("algonauts"))
    numbers = [number for part in SHOWN.numbers.values() for number in part]
    (folder / "captions.json").write_text(json.dumps({number: f"video {number}" for number in numbers}))
    return folder


def options(folder: Path, **changes: Any) -> Settings:
    given = {"frames": 4, "resolution": 32, "captions": (folder / "captions.json",)}
    return Settings(folder=folder, **{**given, **changes})


def prepared(folder: Path, out: Path, **changes: Any) -> Prepared:
    return prepare(open_source(options(folder, **changes)), options(folder, **changes), out)


def splits(out: Path) -> dict[str, list[str]]:
    of_split: dict[str, list[str]] = {}
    for clip in open_prepared(out).clips:
        of_split.setdefault(clip.split, []).append(clip.clip_id)
    return of_split


def test_the_mini_track(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out")
    about = result.description
    assert (about.name, about.kind, about.lag_s, about.previews) == ("Algonauts 2021", "rows", 0, False)
    data = open_prepared(tmp_path / "out")
    assert data.clips[3].caption == "video 0004"
    for number, subject in enumerate(data.subjects, 1):
        whole = whole_brain(number, SHOWN)
        columns = [*range(12, 26), *range(12), *range(26, 42)]
        np.testing.assert_array_equal(subject.values, whole[..., columns].reshape(90, -1))
        assert [row.clip_id for row in subject.rows[:4]] == ["0001", "0001", "0001", "0002"]
        assert subject.voxels.roi.tolist() == ["EBA"] * 14 + ["V1"] * 12 + ["LOC"] * 16
        assert int(subject.voxels.regions["LOC"].sum()) == 20
    warnings = [str(problem) for problem in result.report.warnings]
    assert any("sub02: voxels differ from what is published: EBA 14 instead of 183" in each for each in warnings)


@pytest.mark.long
def test_withheld_clips_have_no_rows_and_the_card_says_so(published: Path, tmp_path: Path) -> None:
    prepared(published, tmp_path / "out")
    of_split = splits(tmp_path / "out")
    assert {name: len(numbers) for name, numbers in of_split.items()} == {
        "train": 24,
        "test": 3,
        "validation": 3,
        "excluded": 6,
    }
    assert (of_split["test"], of_split["validation"]) == (["0025", "0026", "0027"], ["0028", "0029", "0030"])
    assert open_prepared(tmp_path / "out").clips[-1].note == "its fMRI was withheld by the challenge"
    card = (tmp_path / "out" / "card.md").read_text()
    for part in (
        "the challenge withheld the fMRI of its test clips: the 6 clips after 1000 have no rows",
        "platform.prepare bmd",
        "not allowed by the licence",
        "2104.13714",
        "as in the devkit",
    ):
        assert part in card


def test_the_split_of_the_challenge_is_possible_and_no_study_runs_on_it(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out", test_fraction=0.0)
    of_split = splits(tmp_path / "out")
    assert {name: len(numbers) for name, numbers in of_split.items()} == {"train": 27, "validation": 3, "test": 6}
    assert any("no study can run on this data set" in str(problem) for problem in result.report.warnings)
    report = datasets.check(resolve({"dataset.kind": "prepared", "dataset.path": str(tmp_path / "out")}))
    assert "no test clip was shown to any subject; training, validation and test need clips with fMRI" in str(report)
    assert report.errors


def test_the_whole_brain_has_places_and_the_regions_of_the_mini_track(published: Path, tmp_path: Path) -> None:
    prepared(published, tmp_path / "out", track="full")
    voxels = open_prepared(tmp_path / "out").subjects[0].voxels
    assert voxels.roi.tolist() == ["EBA"] * 14 + ["V1"] * 12 + ["LOC"] * 16 + [""] * 8
    assert voxels.ijk is not None
    order = [*range(12, 26), *range(12), *range(26, 50)]
    np.testing.assert_array_equal(voxels.ijk, np.argwhere(mask())[order])


def test_the_whole_brain_needs_no_mini_track(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / PARTICIPANTS / "mini_track")
    prepared(copy, tmp_path / "out", track="full")
    subject = open_prepared(tmp_path / "out").subjects[1]
    np.testing.assert_array_equal(subject.values, whole_brain(2, SHOWN).reshape(90, -1))


def test_a_mini_track_of_another_release_is_told(copy: Path, tmp_path: Path) -> None:
    write_algonauts(copy / PARTICIPANTS / "mini_track" / "sub01" / "V1.pkl", 2 * whole_brain(1, SHOWN)[..., :12])
    result = prepared(copy, tmp_path / "out", track="full")
    assert any("12 voxel(s) of the mini track are not among its voxels" in str(p) for p in result.report.warnings)


def test_subjects_may_lie_without_a_folder_of_the_track(published: Path, copy: Path, tmp_path: Path) -> None:
    for track in ("mini_track", "full_track"):
        shutil.rmtree(copy / PARTICIPANTS / track)
    for subject in (1, 2):
        write_subject(copy / PARTICIPANTS, subject, SHOWN, [*REGIONS, "WB"])
    for track in ("mini", "full"):
        prepared(published, tmp_path / track / "a", track=track)
        prepared(copy, tmp_path / track / "b", track=track)
        one, two = (open_prepared(tmp_path / track / name).subjects[0] for name in "ab")
        np.testing.assert_array_equal(one.values, two.values)
    moved = (copy / PARTICIPANTS).rename(tmp_path / "fmri")
    source = open_source(options(moved, stimuli=copy / VIDEOS, captions=(copy / "captions.json",)))
    assert [subject.name for subject in source.subjects] == ["sub-01", "sub-02"]


def test_sentences_of_bold_moments_are_read_with_a_warning(published: Path, tmp_path: Path) -> None:
    write_annotations(tmp_path / "annotations.json", SHOWN)
    source = open_source(options(published, captions=(tmp_path / "annotations.json",)))
    assert len(next(iter(source.clips())).captions) == 5
    assert any("assumed to have the same numbers; compare a few" in str(warning) for warning in source.warnings)


def other_mask(folder: Path) -> None:
    write_algonauts(folder / "full_track" / "sub02" / "WB.pkl", whole_brain(2, SHOWN), mask(49))


def no_mask(folder: Path) -> None:
    write_algonauts(folder / "full_track" / "sub02" / "WB.pkl", whole_brain(2, SHOWN))


def fewer_clips(folder: Path) -> None:
    write_algonauts(folder / "full_track" / "sub02" / "WB.pkl", whole_brain(2, SHOWN)[:29], mask())


def fewer_in_one_file(folder: Path) -> None:
    write_algonauts(folder / "mini_track" / "sub02" / "V1.pkl", whole_brain(2, SHOWN)[:29, :, :12])


def other_content(folder: Path) -> None:
    write_pickle(folder / "mini_track" / "sub02" / "EBA.pkl", {"train": [1, 2]}, protocol=2)


def no_whole_brain(folder: Path) -> None:
    (folder / "full_track" / "sub02" / "WB.pkl").unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_mask, "WB.pkl: voxel_mask has 49 voxels, but the betas 50; they are not of one version"),
        (no_mask, "WB.pkl: has no voxel_mask of three dimensions; download it again"),
        (fewer_clips, "holds 29 clips x 3 repeats, but EBA.pkl 30 x 3; all files of a subject must be of one version"),
        (fewer_in_one_file, "V1.pkl: holds 29 clips x 3 repeats, but EBA.pkl 30 x 3"),
        (other_content, "EBA.pkl: holds list; betas [clips, repeats, voxels] of real numbers are needed"),
        (no_whole_brain, "has no WB.pkl; there are V1, LOC, EBA"),
    ],
)
def test_a_bad_file_of_one_subject_does_not_lose_the_other(
    copy: Path, tmp_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    change(copy / PARTICIPANTS)
    result = prepared(copy, tmp_path / "out", track="full")
    assert result.description.subjects == ("sub-01",)
    (error,) = result.report.errors
    assert error.where == "sub-02"
    assert reason in error.right


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder / VIDEOS), f"{VIDEOS}: there is no such folder; unpack {VIDEOS}"),
        (lambda folder: shutil.rmtree(folder / PARTICIPANTS), f"has no folder {PARTICIPANTS}; unpack"),
        (
            lambda folder: shutil.rmtree(folder / PARTICIPANTS / "mini_track"),
            "has no subject of the mini track; unpack",
        ),
        (lambda folder: (folder / "captions.json").write_text('{"0001": "x"}'), "captions.json"),
    ],
)
def test_bad_folders_are_refused(copy: Path, change: Callable[[Path], None], message: str) -> None:
    change(copy)
    with pytest.raises(DatasetError, match=message):
        open_source(options(copy))


def test_bad_options_are_refused(published: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none: there is no such folder"):
        open_source(options(tmp_path / "none"))
    with pytest.raises(DatasetError, match="--previews: is not possible for Algonauts 2021"):
        open_source(options(published, previews=True))
    with pytest.raises(DatasetError, match="give --caption FILE"):
        open_source(options(published, captions=()))
    with pytest.raises(DatasetError, match=r"has no V9\.pkl; there are V1, LOC, EBA"):
        prepared(published, tmp_path / "out", rois=("V9",))


def test_a_missing_video_is_told_by_the_number_of_clips(copy: Path, tmp_path: Path) -> None:
    next((copy / VIDEOS).glob("0007_*")).unlink()
    with pytest.raises(DatasetError, match="captions for clips that are not there: '0007'"):
        open_source(options(copy))
    captions = json.loads((copy / "captions.json").read_text())
    del captions["0007"]
    (copy / "captions.json").write_text(json.dumps(captions))
    with pytest.raises(
        DatasetError, match="has responses to 30 train clips, but there are 29 videos for them; it does not name"
    ):
        prepared(copy, tmp_path / "out")
