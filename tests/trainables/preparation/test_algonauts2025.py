import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.fakes.algonauts2025 import (
    LAG,
    PARCELS,
    PARTS,
    SAMPLES,
    VISUAL,
    film_path,
    write_algonauts2025,
    write_runs,
)
from tests.fakes.films import write_film
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.source import DataSource
from trainables.preparation.algonauts2025 import Settings, group_of, open_source
from trainables.preparation.parcel_runs import TR_S
from trainables.preparation.prepare import Prepared, prepare

CLIPS = [f"{part}_{number}" for part in PARTS for number in range(1, 16)]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_algonauts2025(tmp_path_factory.mktemp("algonauts2025"))
    (folder / "captions.json").write_text(json.dumps({name: f"scene {name}" for name in CLIPS}))
    names = ["Vis", "Default"]
    lines = [
        f"{number}\t7Networks_LH_{names[number > VISUAL]}_{number}\t1\t2\t3\t0" for number in range(1, PARCELS + 1)
    ]
    (folder / "parcels.txt").write_text("\n".join(lines))
    return folder


def options(folder: Path, **changes: Any) -> Settings:
    given = {"captions": (folder / "captions.json",), "parcels": folder / "parcels.txt"}
    return Settings(folder=folder, **{**given, "frames": 4, "resolution": 32, **changes})


def opened(folder: Path, **changes: Any) -> DataSource:
    return open_source(options(folder, **changes))


def prepared(folder: Path, out: Path, **changes: Any) -> Prepared:
    return prepare(opened(folder, **changes), options(folder, **changes), out)


def test_from_files_to_a_prepared_data_set(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out")
    about = result.description
    assert (about.kind, about.tr, about.lag_volumes, about.previews) == ("series", TR_S, LAG, False)
    data = open_prepared(tmp_path / "out")
    splits = {clip.source: clip.split for clip in data.clips}
    assert splits == {"figures01": "train", "s01e01a": "train", "s05e01a": "validation", "s06e03b": "test"}
    assert sorted(clip.clip_id for clip in data.clips) == sorted(CLIPS)
    one, two = data.subjects
    assert one.values.shape == (5 * SAMPLES, PARCELS)
    assert two.values.shape == (5 * (SAMPLES - 2), PARCELS)
    assert len([event for event in one.events if event.clip_id == "figures01_1"]) == 2, "shown in two runs"
    assert len({event.clip_id for event in one.events}) - len({event.clip_id for event in two.events}) == 4
    assert one.voxels.roi.tolist() == ["Vis"] * VISUAL + ["Default"] * (PARCELS - VISUAL)
    assert one.voxels.repeat_r is not None
    assert np.nanmean(one.voxels.repeat_r[:VISUAL]) > 0.6 > np.nanmean(one.voxels.repeat_r[VISUAL:])
    curve = about.lag_curve["sub-01"]
    assert curve.seconds[int(np.argmax(curve.correlation))] == pytest.approx((LAG - 0.5) * TR_S, abs=1.01 * TR_S)
    card = (tmp_path / "out" / "card.md").read_text()
    for part in ("the films are copyrighted", "not allowed by the licence", "has 20 parcels, but 1000 are published"):
        assert part in card


def test_windows_leave_out_both_ends_of_a_run(published: Path) -> None:
    clips = {clip.clip_id: clip for clip in opened(published).clips()}
    assert clips["s01e01a_1"].start_s == pytest.approx(5 * TR_S)
    assert clips["s01e01a_15"].end_s == pytest.approx(35 * TR_S)
    longer = {clip.clip_id for clip in opened(published, samples=3).clips()}
    assert "s01e01a_10" in longer
    assert "s01e01a_11" not in longer
    assert clips["s06e03b_4"].read().shape == (4, 32, 32, 3)


def test_without_captions_the_spoken_words_are_taken(published: Path) -> None:
    source = opened(published, captions=())
    clips = {clip.clip_id: clip for clip in source.clips()}
    assert clips["s01e01a_2"].captions == ("word 7 word 8",)
    assert "s01e01a_4" not in clips, "samples 11 and 12 are silent"
    assert any("windows have no words; they are left out" in str(each) for each in source.warnings)
    assert any("words that are spoken" in defect for defect in source.facts.defects)


def test_seasons_and_films_are_chosen(published: Path) -> None:
    assert (group_of("s01e02a"), group_of("s10e1"), group_of("bourne01")) == ("s1", "s10", "bourne")
    source = opened(published, validation_groups=("s1",), test_groups=("figures",))
    splits = {clip.source: clip.split for clip in source.clips()}
    assert splits == {"figures01": "test", "s01e01a": "validation", "s05e01a": "train", "s06e03b": "train"}
    with pytest.raises(DatasetError, match=r"there is no s9; there are figures, s1, s5, s6: choose with"):
        opened(published, test_groups=("s9",))
    with pytest.raises(DatasetError, match="none is left for training"):
        opened(published, test_groups=("s1", "s6", "figures"))


def test_parcels_without_a_table_have_names(published: Path, copy: Path) -> None:
    assert opened(published, parcels=None).subjects[0].voxels().roi[:2].tolist() == ["parcel_0001", "parcel_0002"]
    (copy / "parcels.txt").write_text("1 7Networks_LH_Vis_1\n2 Vis\n")
    with pytest.raises(DatasetError, match=r"has no name for 19 parcel\(s\), the first 2"):
        opened(copy).subjects[0].voxels()


def friends(folder: Path, subject: int = 1) -> Path:
    return next((folder / "fmri" / f"sub-{subject:02}" / "func").glob("*friends*.h5"))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def pointer(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/x.h5")


def other_shape(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["ses-001_task-s02e01a"] = np.zeros((3, 4, 5), np.float32)


def no_task(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["ses-001"] = np.zeros((40, PARCELS), np.float32)


def other_atlas(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["ses-001_task-s02e01a"] = np.zeros((40, 7), np.float32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (truncated, "cannot be read"),
        (pointer, "run `datalad get"),
        (other_shape, r"ses-001_task-s02e01a has the shape \[3, 4, 5\]"),
        (no_task, r"ses-001 has the shape \[40, 20\]; \[samples, parcels\] of a key such as"),
        (other_atlas, "has runs of 7 and 20 parcels"),
    ],
)
def test_a_bad_file_loses_its_subject(copy: Path, change: Callable[[Path], None], reason: str) -> None:
    change(friends(copy))
    source = opened(copy)
    with pytest.raises(DatasetError, match=reason):
        source.subjects[0].recordings()
    assert len(source.subjects[1].recordings()) == 5
    shutil.rmtree(copy / "fmri" / "sub-02")
    with pytest.raises(DatasetError, match=reason):
        opened(copy)


def test_missing_short_and_undownloaded_films_are_told(copy: Path) -> None:
    film_path(copy, "figures01").unlink()
    pointer(film_path(copy, "s01e01a"))
    write_film(film_path(copy, "s06e03b"), [1.0] * 20, clip_s=TR_S, fps=8, first_pattern=900)
    source = opened(copy, validation_groups=("s5",), test_groups=())
    warnings = "\n".join(map(str, source.warnings))
    assert "has no film of 1 part(s): figures01" in warnings
    assert "friends_s01e01a.mkv" in warnings
    assert "the part is left out; run `datalad get" in warnings
    assert "lasts 20 samples, but its run 40; clips end where the shorter one ends" in warnings
    assert {clip.source for clip in source.clips()} == {"s05e01a", "s06e03b"}
    assert sum(clip.source == "s06e03b" for clip in source.clips()) == 7
    lost = {each.run_id: each.excluded for each in source.subjects[0].recordings() if each.excluded is not None}
    assert set(lost) == {"ses-001_task-figures01_run-1", "ses-002_task-figures01_run-2", "ses-003_task-s01e01a"}


def test_a_nan_becomes_zeros(copy: Path) -> None:
    with h5py.File(friends(copy), "a") as file:
        file["ses-003_task-s01e01a"][4, 7] = np.nan
    run = next(each for each in opened(copy).subjects[0].recordings() if each.task == "s01e01a")
    block = next(iter(run.blocks())).values
    assert not block[:, 7].any()
    assert block[:, :7].any(axis=0).all()


def test_copied_runs_and_subjects_are_refused(copy: Path, tmp_path: Path) -> None:
    write_runs(copy, 2)
    for key in ("friends", "movie10"):
        source = next((copy / "fmri" / "sub-01" / "func").glob(f"*{key}*"))
        shutil.copy(source, next((copy / "fmri" / "sub-02" / "func").glob(f"*{key}*")))
    with pytest.raises(DatasetError, match="hold the same values; every subject needs data of its own"):
        prepared(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_folders_are_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        opened(tmp_path / "none")
    with pytest.raises(DatasetError, match="--previews: is not possible for Algonauts 2025"):
        opened(copy, previews=True)
    (copy / "captions.json").write_text(json.dumps({CLIPS[0]: "a scene"}))
    with pytest.raises(DatasetError, match=r"there is none for 59 clip\(s\)"):
        opened(copy)
    for table in (copy / "stimuli" / "transcripts").rglob("*.tsv"):
        table.write_text("words\nno\n")
    with pytest.raises(DatasetError, match="has no column text_per_tr"):
        opened(copy, captions=())
    shutil.rmtree(copy / "stimuli")
    with pytest.raises(DatasetError, match=r"has no film of 4 part\(s\)"):
        opened(copy)
    shutil.rmtree(copy / "fmri")
    with pytest.raises(DatasetError, match="has no fmri/sub-01/func; clone algonauts_2025"):
        opened(copy)
