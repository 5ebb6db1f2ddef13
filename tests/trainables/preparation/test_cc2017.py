import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.fakes.cc2017 import SMALL, VISUAL, Planted, areas, run_path, run_values, write_cc2017
from tests.fakes.cifti import reduced_brain, write_atlas, write_dtseries
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.source import DataSource
from trainables.datasets.prepared.tables import ClipRow, read_typed_table
from trainables.preparation.cc2017 import DESIGN, Settings, clip_names, open_source
from trainables.preparation.noise_ceiling import correlation
from trainables.preparation.prepare import Prepared, prepare


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    planted = write_cc2017(tmp_path_factory.mktemp("cc2017"))
    names = clip_names(SMALL.segments, SMALL.clips)
    (planted.folder / "captions.json").write_text(json.dumps({name: f"scene of {name}" for name in names}))
    brain = replace(planted.brain, subcortex=None)
    write_atlas(planted.folder / "atlas.dlabel.nii", areas(brain), brain)
    return planted


@pytest.fixture
def copy(published: Planted, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return shutil.copytree(published.folder, tmp_path / "data")


def options(folder: Path, **changes: Any) -> Settings:
    given = {"captions": (folder / "captions.json",), "atlas": folder / "atlas.dlabel.nii", "frames": 4}
    return Settings(folder=folder, **{**given, "resolution": 32, **changes})


def opened(folder: Path, **changes: Any) -> DataSource:
    return open_source(options(folder, **changes), design=SMALL)


def prepared(folder: Path, out: Path, **changes: Any) -> Prepared:
    return prepare(opened(folder, **changes), options(folder, **changes), out)


def test_the_numbers_of_the_published_data() -> None:
    assert len(clip_names(DESIGN.train, DESIGN.clips)) == 4320
    assert len(clip_names(DESIGN.test, DESIGN.clips)) == 1200
    assert sum(map(DESIGN.runs_of, DESIGN.segments)) == 86
    assert [DESIGN.split_of(name) for name in ("seg1", "seg18", "test5")] == ["train", "validation", "test"]


def test_from_files_to_a_prepared_data_set(published: Planted, tmp_path: Path) -> None:
    result = prepared(published.folder, tmp_path / "out")
    about = result.description
    assert (about.name, about.kind, about.licence, about.lag_s, about.tr) == ("CC2017", "series", "CC0-1.0", 0, 2)
    clips = read_typed_table(tmp_path / "out" / "clips.parquet", ClipRow)
    assert [clip.clip_id for clip in clips] == clip_names(SMALL.segments, 12)
    assert [clip.split for clip in clips[::12]] == ["train", "train", "validation", "test", "test"]
    assert clips[13].caption == "scene of seg2_2"
    (subject,) = open_prepared(tmp_path / "out").subjects
    assert len(subject.runs) == 12
    assert subject.values.shape == (12 * 12, 120)
    assert set(subject.voxels.roi) == {"V1", "MT", "46", "LIPv"}
    assert subject.voxels.vertex is not None
    assert subject.voxels.vertex[:60].tolist() == list(published.brain.left)


def test_the_kept_volume_of_each_clip_answers_it(published: Planted, tmp_path: Path) -> None:
    prepared(published.folder, tmp_path / "out")
    (subject,) = open_prepared(tmp_path / "out").subjects
    for run in subject.runs:
        values = np.asarray(subject.values[run.first_row : run.first_row + run.volumes])
        speeds = np.array(published.speeds[run.task])
        motion = np.polynomial.polynomial.polyfit(np.arange(12), speeds, 1)
        expected = speeds - np.polynomial.polynomial.polyval(np.arange(12), motion)
        r = correlation(values, np.repeat(expected[:, None], 120, axis=1))
        assert r[np.r_[:VISUAL, 60 : 60 + VISUAL]].mean() > 0.9
        assert abs(r[VISUAL:60].mean()) < 0.3
        np.testing.assert_allclose(values.std(axis=0, ddof=1), 1, rtol=1e-4)


def test_the_planted_areas_are_the_most_reliable(published: Planted, tmp_path: Path) -> None:
    prepared(published.folder, tmp_path / "out")
    (subject,) = open_prepared(tmp_path / "out").subjects
    assert subject.voxels.repeat_r is not None
    ceiling, roi = subject.voxels.repeat_r, subject.voxels.roi
    assert min(np.nanmean(ceiling[roi == area]) for area in ("V1", "MT")) > 0.8
    assert max(abs(np.nanmean(ceiling[roi == area])) for area in ("46", "LIPv")) < 0.3


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def another_length(path: Path) -> None:
    brain = reduced_brain()
    write_dtseries(path, np.ones((16, len(brain)), "f4"), brain)


def other_vertices(path: Path) -> None:
    brain = reduced_brain(59)
    write_dtseries(path, np.ones((17, len(brain)), "f4"), brain)


def pointer(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/x.nii")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Path.unlink, "there is no such file"),
        (shorter, "is truncated"),
        (another_length, "has 16 volumes; 17 or 18 are expected"),
        (other_vertices, "CORTEX_LEFT 59 of 32492"),
        (pointer, "run `datalad get test2_3_Atlas.dtseries.nii`"),
    ],
)
def test_a_bad_run_is_left_out_and_named(
    copy: Path, tmp_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    change(run_path(copy, 1, "test2", 3))
    result = prepared(copy, tmp_path / "out")
    (subject,) = open_prepared(tmp_path / "out").subjects
    (lost,) = [run for run in subject.runs if run.excluded is not None]
    assert lost.run_id == "test2_3"
    assert reason in str(lost.excluded)
    assert any("test2_3" in defect for defect in result.description.defects)
    assert len({event.run_id for event in subject.events}) == 11


def test_swapped_hemispheres_give_the_same(published: Planted, copy: Path, tmp_path: Path) -> None:
    swapped = reduced_brain(swapped=True)
    for segment in SMALL.segments:
        for repeat in range(1, SMALL.runs_of(segment) + 1):
            values = run_values(published.speeds[segment], SMALL, published.brain, noise=0.5, seed=(1, repeat))
            order = np.r_[60:120, :60, 120 : len(swapped)]
            write_dtseries(run_path(copy, 1, segment, repeat), values[:, order], swapped)
    warnings = [str(warning) for warning in opened(copy).warnings]
    assert any("the right hemisphere comes first" in warning for warning in warnings)
    prepared(published.folder, tmp_path / "one")
    prepared(copy, tmp_path / "two")
    one, two = ((tmp_path / name / "sub-01" / "bold.npy").read_bytes() for name in ("one", "two"))
    assert one == two


def test_archives_may_be_merged(published: Planted, tmp_path: Path) -> None:
    for archive in ("Stimuli", "Subject01"):
        shutil.copytree(published.folder / archive, tmp_path / "merged", dirs_exist_ok=True)
    for name in ("captions.json", "atlas.dlabel.nii"):
        shutil.copy(published.folder / name, tmp_path / "merged")
    assert [subject.name for subject in opened(tmp_path / "merged").subjects] == ["sub-01"]


def test_a_wrong_tr_in_the_header_is_a_warning(copy: Path) -> None:
    brain = reduced_brain()
    write_dtseries(run_path(copy, 1, "seg1", 1), np.ones((17, len(brain)), "f4"), brain, tr=1.0)
    (warning,) = opened(copy).warnings
    assert "its header says 1 s per volume; 2 s are used" in str(warning)


def test_captions_of_the_authors_are_read(published: Planted, tmp_path: Path) -> None:
    for part, count in (("Train", 36), ("Test", 24)):
        with h5py.File(tmp_path / f"{part}.h5", "w") as file:
            file[f"{part}_captions"] = [f"{part} {index}".encode() for index in range(count)]
    files = (tmp_path / "Train.h5", tmp_path / "Test.h5")
    clips = [*opened(published.folder, captions=files).clips()]
    assert (clips[0].captions, clips[36].captions) == (("Train 0",), ("Test 0",))
    with pytest.raises(DatasetError, match="there is none for 24 clips, the first test1_1"):
        opened(published.folder, captions=files[:1])


def test_the_released_code_draws_validation_clips_and_the_card_says_what_leaks(published: Planted) -> None:
    source = opened(published.folder, profile="released_code", validation_fraction=0.25)
    clips = [*source.clips()]
    validation = [clip for clip in clips if clip.split == "validation"]
    assert len(validation) == 9
    assert len({clip.source for clip in validation}) > 1
    assert len({clip.block for clip in clips if clip.split != "test"}) == 36
    assert any("validation scores are too high" in defect for defect in source.facts.defects)


def test_bad_folders_are_refused(published: Planted, copy: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="there is no such folder"):
        opened(tmp_path / "none")
    with pytest.raises(DatasetError, match="has no folder video_fmri_dataset in it; unpack Stimuli"):
        opened(empty)
    with pytest.raises(DatasetError, match="give --caption FILE"):
        opened(published.folder, captions=())
    film = copy / "Stimuli" / "video_fmri_dataset" / "stimuli" / "seg2.mp4"
    moved = film.rename(tmp_path / "seg2.mp4")
    with pytest.raises(DatasetError, match=r"seg2\.mp4: there is no such file"):
        opened(copy)
    shutil.rmtree(copy / "Subject01")
    moved.rename(film)
    with pytest.raises(DatasetError, match="has no subject; the archives Subject01 to Subject03"):
        opened(copy)
    with pytest.raises(DatasetError, match=r"lasts 24\.0 s; 480 s are needed"):
        open_source(options(published.folder), design=replace(DESIGN, train=("seg1",), test=("test1",)))


def test_a_vertex_with_nan_becomes_zeros_in_its_run(published: Planted, copy: Path) -> None:
    values = run_values(published.speeds["seg1"], SMALL, published.brain, noise=0.5, seed=(1, 1))
    values[5, 7] = np.nan
    write_dtseries(run_path(copy, 1, "seg1", 1), values, published.brain)
    first, second = opened(copy).subjects[0].recordings()[:2]
    damaged, whole = (next(iter(recording.blocks())).values for recording in (first, second))
    assert not damaged[:, 7].any()
    assert damaged[:, :7].any(axis=0).all()
    assert whole[:, 7].any()


def test_a_repeat_that_is_a_copy_of_another_is_told(copy: Path, tmp_path: Path) -> None:
    shutil.copy(run_path(copy, 1, "seg1", 1), run_path(copy, 1, "seg1", 2))
    with pytest.raises(DatasetError, match="'seg1_1' and 'seg1_2' hold the same values"):
        prepared(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()
