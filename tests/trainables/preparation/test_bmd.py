import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.fakes.bmd import (
    ANNOTATIONS,
    REPEATS,
    SURFACE,
    VOLUME,
    Planted,
    Videos,
    write_bmd,
    write_region,
    write_surface,
    write_videos,
)
from tests.fakes.cc2017 import areas
from tests.fakes.cifti import reduced_brain, write_atlas
from tests.fakes.pickles import write_bmd_betas, write_pickle
from tests.programs import ROOT, program
from tests.trainables.preparation.test_pickles import Call
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import PreparedSubject, open_prepared
from trainables.preparation.beta_surface import GRAYORDINATES, choose_vertices, open_surface_atlas
from trainables.preparation.betas import BetaFile
from trainables.preparation.bmd import Settings, open_source
from trainables.preparation.prepare import Prepared, prepare

VIDEOS = Videos()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bmd(tmp_path_factory.mktemp("bmd"))
    brain = reduced_brain()
    write_atlas(folder / "atlas.dlabel.nii", areas(replace(brain, subcortex=None)) + [""] * 20, brain)
    return folder


def options(folder: Path, **changes: Any) -> Settings:
    return Settings(folder=folder, **{"frames": 4, "resolution": 32, **changes})


def prepared(folder: Path, out: Path, **changes: Any) -> Prepared:
    return prepare(open_source(options(folder, **changes)), options(folder, **changes), out)


def subjects(out: Path) -> tuple[PreparedSubject, ...]:
    return open_prepared(out).subjects


def surface_file(folder: Path, subject: int, task: str) -> Path:
    name = f"sub-{subject:02}"
    return folder / SURFACE / name / "prepared_betas" / f"{name}_organized_betas_task-{task}_normalized.pkl"


def surface_betas(subject: int, task: str) -> np.ndarray:
    return Planted(VIDEOS, 20, seed=subject).betas(VIDEOS.numbers[task], REPEATS[task], 140)


def test_from_the_surface_to_a_prepared_data_set(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out", atlas=published / "atlas.dlabel.nii")
    about = result.description
    assert (about.name, about.kind, about.lag_s, about.tr, about.previews) == ("BOLD Moments", "rows", 0, None, False)
    assert about.licence.startswith("CC0-1.0")
    assert "Lahner" in about.citation[0]
    data = open_prepared(tmp_path / "out")
    assert [clip.clip_id for clip in data.clips] == [*VIDEOS.numbers["train"], *VIDEOS.numbers["test"]]
    assert [clip.split for clip in data.clips[30:]] == ["test"] * 6
    assert sum(clip.split == "validation" for clip in data.clips[:30]) == 3
    assert len(data.clips[0].captions) == 5
    assert data.clips[4].caption == "Something moves in video 0005, seen by person 0"
    for number, subject in enumerate(data.subjects, 1):
        train, test = (surface_betas(number, task)[..., :120] for task in REPEATS)
        expected = np.concatenate([train.reshape(-1, 120), test.reshape(-1, 120)]).astype("f4")
        np.testing.assert_array_equal(subject.values, expected)
        assert [row.clip_id for row in subject.rows[:4]] == ["0001", "0001", "0001", "0002"]
        assert [row.repeat for row in subject.rows[-10:]] == [*range(10)]
        assert set(subject.voxels.roi) == {"V1", "MT", "46", "LIPv"}
        assert subject.voxels.vertex is not None
        assert subject.voxels.vertex[:60].tolist() == list(reduced_brain().left)


def test_validation_does_not_depend_on_seed_or_order_and_the_card_says_how_it_was_drawn(
    published: Path, tmp_path: Path
) -> None:
    splits = []
    for seed in (0, 1):
        prepared(published, tmp_path / f"out{seed}", seed=seed)
        splits.append({clip.clip_id: clip.split for clip in open_prepared(tmp_path / f"out{seed}").clips})
    assert splits[0] == splits[1]
    card = (tmp_path / "out0" / "card.md").read_text()
    for part in (
        "drawn from the others by a hash",
        "CC0-1.0",
        "15:6241, 2024",
        "not allowed by the licence",
        "texts per clip | 5",
    ):
        assert part in card


def test_areas_of_the_surface_may_be_chosen(published: Path, tmp_path: Path) -> None:
    prepared(published, tmp_path / "out", atlas=published / "atlas.dlabel.nii", rois=("MT", "V1"))
    subject = subjects(tmp_path / "out")[0]
    chosen = np.r_[:30, 60:90]
    np.testing.assert_array_equal(
        subject.values[:90], surface_betas(1, "train").reshape(90, -1)[:, chosen].astype("f4")
    )
    assert set(subject.voxels.roi) == {"V1", "MT"}
    with pytest.raises(DatasetError, match="has no vertex in V9; areas of the atlas are 46, LIPv, MT, V1"):
        prepared(published, tmp_path / "bad", atlas=published / "atlas.dlabel.nii", rois=("V9",))


def test_regions_of_the_volume_are_joined(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out", betas="MNI152")
    subject = subjects(tmp_path / "out")[0]
    counts = {name: int((subject.voxels.roi == name).sum()) for name in dict.fromkeys(subject.voxels.roi.tolist())}
    assert counts == {"EBA": 20, "V1v": 16, "LOC": 16}, "the smaller of two regions is the main one"
    assert {name: int(member.sum()) for name, member in subject.voxels.regions.items()} == {
        "LOC": 24,
        "left": 26,
        "right": 26,
    }
    right = Planted(VIDEOS, 20, seed=101).betas(VIDEOS.numbers["train"], 3, 30)
    np.testing.assert_array_equal(subject.values[:90, 10:20], right[..., 8:18].reshape(90, -1).astype("f4"))
    assert any("EBA 20 instead of 324" in str(problem) for problem in result.report.warnings)


def test_the_whole_brain_keeps_the_names_of_regions(published: Path, tmp_path: Path) -> None:
    prepared(published, tmp_path / "out", betas="MNI152", rois=("EBA", "WB"))
    roi = subjects(tmp_path / "out")[0].voxels.roi.tolist()
    assert (roi.count("EBA"), roi.count("")) == (20, 40)


def test_a_region_of_one_hemisphere_is_told(copy: Path, tmp_path: Path) -> None:
    (copy / VOLUME / "sub-01" / "sub-01_roi-rEBA_betas_normalized.pkl").unlink()
    result = prepared(copy, tmp_path / "out", betas="MNI152")
    assert any("one hemisphere only of EBA (left)" in str(problem) for problem in result.report.warnings)


def test_an_image_of_nibabel_and_unknown_entries_are_passed_over(copy: Path, tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((30, 30, 30), "f4"), np.eye(4))
    for task, numbers in VIDEOS.numbers.items():
        write_bmd_betas(surface_file(copy, 1, task), surface_betas(1, task), int(numbers[0]), extra=image)
    betas = {task: surface_betas(1, task)[..., :9] for task in REPEATS}
    write_region(copy, 1, "lV1v", betas, mask=image)
    for kind in ("fsLR32k", "MNI152"):
        assert prepared(copy, tmp_path / kind, betas=kind).description.subjects == ("sub-01", "sub-02")


def test_the_shipped_noise_ceiling_is_compared(copy: Path, tmp_path: Path) -> None:
    folder = write_surface(copy, 1, VIDEOS)
    assert not any("noise ceiling" in str(p) for p in prepared(copy, tmp_path / "equal").report.problems)
    write_pickle(folder / "sub-01_noiseceiling_task-test_n-10.pkl", (np.ones(140), np.full(140, 60.0)))
    write_pickle(folder / "sub-01_noiseceiling_task-train_n-1.pkl", (np.ones(7), np.ones(7)))
    result = prepared(copy, tmp_path / "differs")
    texts = [str(problem) for problem in result.report.warnings if "noiseceiling" in problem.where]
    assert len(texts) == 2
    assert re.search(r"task-train_n-1\.pkl: does not hold two arrays of 140 numbers; it is only compared", texts[0])
    assert re.search(r"ceiling of the mean over 10 repeats differs from ours by \d+\.\d percentage points", texts[1])
    assert "differs from ours" in (tmp_path / "differs" / "card.md").read_text()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def attack(path: Path) -> None:
    write_pickle(path, (Call(os.system, "touch pwned"), ["vid0001"]))


def pointer(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/x.pkl")


def lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")


def fewer_voxels(path: Path) -> None:
    write_bmd_betas(path, np.ones((6, 10, 139)), 1001)


def without_video(path: Path) -> None:
    write_bmd_betas(path, surface_betas(2, "test"), 1003)


def nothing_finite(path: Path) -> None:
    write_bmd_betas(path, np.full((6, 10, 140), np.nan), 1001)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Path.unlink, "there is no such file"),
        (cut_off, "cannot be read as a pickle"),
        (attack, r"asks for posix\.system, which is refused"),
        (pointer, "was not downloaded \\(git-annex\\); run `datalad get sub-02_organized"),
        (lfs, "was not downloaded \\(Git LFS\\); run `git lfs pull --include sub-02_organized"),
        (fewer_voxels, "holds 139 voxels for the test clips, but 140 for the others"),
        (without_video, r"has responses to 2 test clip\(s\) without a video: 1007, 1008; put these videos"),
        (nothing_finite, r"140 of 140 voxel\(s\) hold NaN or infinite values: 140 in no region; nothing is left"),
    ],
)
def test_a_bad_file_of_one_subject_does_not_lose_the_other(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    change(surface_file(copy, 2, "test"))
    result = prepared(copy, tmp_path / "out")
    assert result.description.subjects == ("sub-01",)
    (error,) = result.report.errors
    assert error.where == "sub-02"
    assert re.search(reason, error.right), error.right
    assert "sub-02" in result.description.defects[0]
    assert not (tmp_path / "pwned").exists()


def test_voxels_with_nan_are_left_out_and_counted_by_region(copy: Path, tmp_path: Path) -> None:
    betas = surface_betas(1, "test")
    betas[3, 2, [5, 50]] = np.nan, np.inf
    write_bmd_betas(surface_file(copy, 1, "test"), betas, 1001)
    result = prepared(copy, tmp_path / "out", atlas=copy / "atlas.dlabel.nii")
    (warning,) = [problem for problem in result.report.warnings if "NaN" in problem.what]
    assert "2 of 120 voxel(s) hold NaN or infinite values: 1 in V1, 1 in LIPv; they are left out" in str(warning)
    first, second = subjects(tmp_path / "out")
    assert (len(first.voxels), len(second.voxels)) == (118, 120)
    kept = np.delete(np.arange(120), [5, 50])
    np.testing.assert_array_equal(first.values[:90], surface_betas(1, "train")[..., kept].reshape(90, -1).astype("f4"))


def test_other_numbers_of_repeats_are_a_warning(copy: Path, tmp_path: Path) -> None:
    write_bmd_betas(surface_file(copy, 1, "train"), surface_betas(1, "train")[:, :2], 1)
    result = prepared(copy, tmp_path / "out")
    assert any("has 2 repeats of each clip, but 3 are published" in str(each) for each in result.report.warnings)


def test_two_subjects_with_one_file_are_refused(copy: Path, tmp_path: Path) -> None:
    for task in REPEATS:
        shutil.copy(surface_file(copy, 1, task), surface_file(copy, 2, task))
    with pytest.raises(DatasetError, match="sub-01 and sub-02 hold the same values; every subject needs"):
        prepared(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def no_videos(folder: Path) -> None:
    shutil.rmtree(folder / "stimuli")


def readme_only(folder: Path) -> None:
    no_videos(folder)
    (folder / "stimuli").mkdir()
    (folder / "stimuli" / "README.md").write_text("get them elsewhere")


def bad_video(folder: Path) -> None:
    (folder / "stimuli" / "train" / "0003.mp4").write_bytes(b"nothing")
    (folder / "stimuli" / "test" / "1002.mp4").write_bytes(b"")


def twice(folder: Path) -> None:
    shutil.copy(folder / "stimuli" / "train" / "0003.mp4", folder / "stimuli" / "0003_again.mp4")


def without_sentences(folder: Path) -> None:
    content = json.loads((folder / ANNOTATIONS).read_text())
    del content["0002"]
    content["1001"]["text_descriptions"] = []
    (folder / ANNOTATIONS).write_text(json.dumps(content))


def empty_sentence(folder: Path) -> None:
    content = json.loads((folder / ANNOTATIONS).read_text())
    content["0002"]["text_descriptions"] = ["good", " "]
    (folder / ANNOTATIONS).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_videos, "stimuli: there is no such folder; get the videos from boldmomentsdataset"),
        (readme_only, r"stimuli: has no video such as 0001\.mp4; get the videos"),
        (bad_video, r"2 error\(s\)\n.*0003\.mp4: cannot be read.*\n.*1002\.mp4: is empty"),
        (twice, r"has 0003\.mp4 and 0003_again\.mp4; each number must be one video"),
        (lambda folder: (folder / ANNOTATIONS).unlink(), r"annotations\.json: there is no such file"),
        (lambda folder: (folder / ANNOTATIONS).write_text("{"), r"annotations\.json: cannot be read"),
        (without_sentences, r"has no text_descriptions for 2 clip\(s\): 0002, 1001; every clip needs a text"),
        (empty_sentence, "caption of '0002' is .*every clip needs texts"),
        (lambda folder: shutil.rmtree(folder / "derivatives" / "versionB"), "has no folder of a subject"),
    ],
)
def test_bad_folders_are_refused(copy: Path, change: Callable[[Path], None], message: str) -> None:
    change(copy)
    with pytest.raises(DatasetError, match=message):
        open_source(options(copy))


def test_bad_options_are_refused(published: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none: there is no such folder"):
        open_source(options(tmp_path / "none"))
    with pytest.raises(DatasetError, match="--previews: is not possible for BOLD Moments"):
        open_source(options(published, previews=True))
    with pytest.raises(DatasetError, match="--roi: needs an atlas for fsLR32k"):
        open_source(options(published, rois=("V1",)))
    with pytest.raises(DatasetError, match="has no file of V9; there are EBA, LOC, V1v, WB"):
        prepared(published, tmp_path / "out", betas="MNI152", rois=("V9",))


def test_videos_of_another_length_and_an_unusual_number_are_warnings(copy: Path) -> None:
    shutil.rmtree(copy / "stimuli")
    write_videos(copy / "stimuli", VIDEOS, seconds=2.0)
    texts = [str(warning) for warning in open_source(options(copy)).warnings]
    assert "has 36 videos, but 1102 are published" in texts[0]
    assert "36 video(s) do not last 3 s: 0001 (2.0 s)" in texts[1]


def test_videos_and_sentences_may_lie_elsewhere(copy: Path, tmp_path: Path) -> None:
    (copy / "stimuli").rename(tmp_path / "videos")
    (copy / ANNOTATIONS).rename(tmp_path / "texts.json")
    source = open_source(options(copy, stimuli=tmp_path / "videos", annotations=tmp_path / "texts.json"))
    assert len([*source.clips()]) == 36


def holed(path: Path, columns: int) -> BetaFile:
    return BetaFile(write_bmd_betas(path, np.ones((2, 2, columns)), 1))


def test_the_cortex_of_the_standard_axis_is_found_with_and_without_an_atlas(tmp_path: Path) -> None:
    table = choose_vertices(None, (), [holed(tmp_path / "whole.pkl", GRAYORDINATES)]).table
    assert table.structure is not None
    structures, counts = np.unique(table.structure, return_counts=True)
    assert dict(zip(structures.tolist(), counts.tolist(), strict=True)) == {
        "CIFTI_STRUCTURE_CORTEX_LEFT": 29696,
        "CIFTI_STRUCTURE_CORTEX_RIGHT": 29716,
    }
    standard = replace(reduced_brain(), left=[*range(29696)], right=[*range(29716)], subcortex=None)
    path = write_atlas(tmp_path / "a.dlabel.nii", [*["L_V1_ROI"] * 29696, *["R_MT_ROI"] * 29716], standard)
    choice = choose_vertices(open_surface_atlas(path), ("MT",), [BetaFile(tmp_path / "whole.pkl")])
    assert (choice.columns[0][0], len(choice.columns[0]), choice.notes) == (29696, 29716, ())
    with pytest.raises(DatasetError, match="has 300 columns, but the atlas 59412 vertices of the cortex"):
        choose_vertices(open_surface_atlas(path), (), [holed(tmp_path / "odd.pkl", 300)])


def test_a_changed_file_is_read_again_and_a_finished_part_is_not(copy: Path, tmp_path: Path) -> None:
    """An attempt that fails at its end continues with what is finished; of several files, any may have changed."""
    twin = copy / VOLUME / "sub-02"
    shutil.rmtree(twin)
    shutil.copytree(copy / VOLUME / "sub-01", twin)
    for path in twin.iterdir():
        path.rename(twin / path.name.replace("sub-01", "sub-02"))
    with pytest.raises(DatasetError, match="hold the same values"):
        prepared(copy, tmp_path / "out", betas="MNI152")
    betas = {task: surface_betas(2, task)[..., :12] for task in REPEATS}
    write_region(copy, 2, "rLOC", betas)
    prepared(copy, tmp_path / "out", betas="MNI152")
    first, second = subjects(tmp_path / "out")
    assert not np.array_equal(first.values, second.values)


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path: Path) -> None:
    """Ten times the clips, 176 MB of betas: the peak rises by less than a few blocks."""
    peaks = []
    for clips in (120, 1200):
        done = subprocess.run(
            program("betas_memory", tmp_path / str(clips), clips), cwd=ROOT, capture_output=True, text=True, check=True
        )
        peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < 40
