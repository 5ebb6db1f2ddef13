import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.fakes.cifti import reduced_brain, write_atlas
from tests.fakes.mosaic import COLUMNS, VIDEOS, VISUAL, shown, stem, values, write_group, write_mosaic
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.source import DataSource
from trainables.preparation.mosaic import Settings, open_source
from trainables.preparation.prepare import Prepared, prepare

NUMBERS = [number for numbers in VIDEOS.numbers.values() for number in numbers]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_mosaic(tmp_path_factory.mktemp("mosaic"))
    (folder / "captions.json").write_text(json.dumps({stem(number): f"video {number}" for number in NUMBERS}))
    brain = reduced_brain(COLUMNS // 2, subcortex=None)
    labels = [f"{side}_{area}_ROI" for side in "LR" for area in ["V1"] * 12 + ["46"] * 18]
    write_atlas(folder / "atlas.dlabel.nii", labels, brain)
    return folder


def options(folder: Path, **changes: Any) -> Settings:
    given = {"captions": (folder / "captions.json",), "frames": 4, "resolution": 32}
    return Settings(folder=folder, **{**given, **changes})


def opened(folder: Path, **changes: Any) -> DataSource:
    return open_source(options(folder, **changes))


def prepared(folder: Path, out: Path, **changes: Any) -> Prepared:
    return prepare(opened(folder, **changes), options(folder, **changes), out)


def test_from_files_to_a_prepared_data_set(published: Path, tmp_path: Path) -> None:
    result = prepared(published, tmp_path / "out", atlas=published / "atlas.dlabel.nii")
    about = result.description
    assert (about.name, about.kind, about.space, about.lag_s) == ("MOSAIC BMD", "rows", "fsLR-32k", 0)
    data = open_prepared(tmp_path / "out")
    test = [clip.clip_id for clip in data.clips if clip.split == "test"]
    assert test == [stem(number) for number in VIDEOS.numbers["test"]]
    assert sum(clip.split == "validation" for clip in data.clips) == 2
    assert data.clips[0].caption == "video 0001"
    for number, subject in enumerate(data.subjects, 1):
        expected = [values(number, clip, repeat) for clip, _, repeat in shown(number)]
        np.testing.assert_array_equal(subject.values, np.array(expected, np.float32))
        assert [row.clip_id for row in subject.rows] == [stem(clip) for clip, _, _ in shown(number)]
        assert set(subject.voxels.roi) == {"V1", "46"}
        ceiling = subject.voxels.noise_ceiling_1
        assert ceiling is not None
        assert np.median(ceiling[:VISUAL]) > 50 > np.median(ceiling[VISUAL : COLUMNS // 2])
    card = (tmp_path / "out" / "card.md").read_text()
    assert "beta_pipeline: GLMsingle TYPED" in card
    assert "CC0-1.0 (fMRI)" in card


def test_a_merged_file_gives_the_same(published: Path, tmp_path: Path) -> None:
    merged = shutil.copytree(published / "stimuli", tmp_path / "merged" / "stimuli").parent
    shutil.copy(published / "captions.json", merged)
    with h5py.File(merged / "all.h5", "w") as file:
        for subject in (1, 2):
            write_group(file.create_group(f"sub-{subject:02}_BMD"), subject, attributes={})
    one, two = (prepared(folder, tmp_path / name) for name, folder in (("one", published), ("two", merged)))
    assert two.description.name == "MOSAIC BMD"
    for name in one.description.subjects:
        own, other = (tmp_path / out / name / "rows.npy" for out in ("one", "two"))
        assert own.read_bytes() == other.read_bytes()


def test_areas_that_are_asked_for_are_taken_alone(published: Path) -> None:
    source = opened(published, atlas=published / "atlas.dlabel.nii", rois=("V1",))
    assert source.subjects[0].voxels().roi.tolist() == ["V1"] * 24
    block = next(iter(source.subjects[0].recordings()[0].blocks()))
    columns = [*range(12), *range(30, 42)]
    expected = [values(1, clip, repeat)[columns] for clip, phase, repeat in shown(1) if phase == "train"]
    np.testing.assert_array_equal(block.values, np.array(expected, np.float32))
    with pytest.raises(DatasetError, match="--roi: needs an atlas"):
        opened(published, rois=("V1",))


def test_videos_and_captions_of_bold_moments_are_found_by_their_number(published: Path, copy: Path) -> None:
    for number in NUMBERS:
        (copy / "stimuli" / f"{stem(number)}.mp4").rename(copy / "stimuli" / f"{number}.mp4")
    with pytest.raises(DatasetError, match=r"has no video of 20 clip\(s\) that were shown: .*--stimuli"):
        opened(copy)
    entries = {
        number: {"MiT_filename": f"cooking/{stem(number)}.mp4", "text_descriptions": [f"a {number}", f"b {number}"]}
        for number in NUMBERS
    }
    (copy / "annotations.json").write_text(json.dumps(entries))
    clips = {clip.clip_id: clip for clip in opened(copy, captions=(copy / "annotations.json",)).clips()}
    assert clips[stem("0003")].captions == ("a 0003", "b 0003")
    assert clips[stem("0003")].file.endswith("0003.mp4")


def change(path: Path, edit: Callable[[Any], None]) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def first(file: Any) -> Any:
    return file["betas"][min(name for name in file["betas"] if name.startswith("sub-"))]


def test_vertices_with_nan_are_left_out(copy: Path, tmp_path: Path) -> None:
    def edit(file: Any) -> None:
        first(file)[5] = np.nan
        file["betas"][max(file["betas"])][9] = np.inf

    change(copy / "sub-01_BMD.hdf5", edit)
    result = prepared(copy, tmp_path / "out")
    one, two = open_prepared(tmp_path / "out").subjects
    assert (one.values.shape[1], two.values.shape[1]) == (COLUMNS - 2, COLUMNS)
    assert any("2 of 60 voxel(s) hold NaN or infinite values" in str(each) for each in result.report.warnings)


def without_attribute(file: Any) -> None:
    del first(file).attrs["phase"]


def other_columns(file: Any) -> None:
    item = file.create_dataset("betas/odd", data=np.zeros(50))
    item.attrs.update(first(file).attrs)


def other_phase(file: Any) -> None:
    first(file).attrs["phase"] = "rest"


def matrix(file: Any) -> None:
    item = file.create_dataset("betas/odd", data=np.zeros((2, 30)))
    item.attrs.update(first(file).attrs)


def no_betas(file: Any) -> None:
    del file["betas"]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (without_attribute, "has no attribute phase; a file of MOSAIC"),
        (other_columns, "has presentations of 50 and 60 columns"),
        (other_phase, "has the phase 'rest'; train or test is needed"),
        (matrix, r"odd has the shape \[2, 30\]; one number per column"),
        (no_betas, "has no group betas"),
    ],
)
def test_a_bad_file_is_left_out_and_named(copy: Path, edit: Callable[[Any], None], reason: str) -> None:
    change(copy / "sub-01_BMD.hdf5", edit)
    source = opened(copy)
    assert [subject.name for subject in source.subjects] == ["sub-02"]
    with pytest.raises(DatasetError, match=reason):
        raise DatasetError.of(*source.warnings)
    (copy / "sub-02_BMD.hdf5").unlink()
    with pytest.raises(DatasetError, match=reason):
        opened(copy)


def test_damaged_files_and_pointers_are_named(copy: Path) -> None:
    path = copy / "sub-01_BMD.hdf5"
    path.write_bytes(path.read_bytes()[:3000])
    assert "sub-01_BMD.hdf5: cannot be read" in str(opened(copy).warnings[0])
    path.unlink()
    path.symlink_to("../.git/annex/objects/x")
    assert "run `datalad get" in str(opened(copy).warnings[0])


def test_several_data_sets_are_told_apart(copy: Path) -> None:
    def rename(file: Any) -> None:
        file.attrs["dataset_name"] = "HAD"

    change(copy / "sub-02_BMD.hdf5", rename)
    with pytest.raises(DatasetError, match="has data sets BMD, HAD; choose one with --dataset"):
        opened(copy)
    with pytest.raises(DatasetError, match="has data sets BMD, HAD, not NSD; choose one"):
        opened(copy, dataset="NSD")
    assert [subject.name for subject in opened(copy, dataset="HAD").subjects] == ["sub-02"]


def test_images_are_refused_and_so_are_subjects_that_come_twice(copy: Path) -> None:
    def image(file: Any) -> None:
        first(file).attrs["presented_stimulus_filename"] = "apple_01b.jpg"

    shutil.copy(copy / "sub-01_BMD.hdf5", copy / "sub-01_BMD_copy.hdf5")
    with pytest.raises(DatasetError, match=r"has sub-01 more than once: sub-01_BMD\.hdf5, sub-01_BMD_copy\.hdf5"):
        opened(copy)
    (copy / "sub-01_BMD_copy.hdf5").unlink()
    change(copy / "sub-01_BMD.hdf5", image)
    with pytest.raises(DatasetError, match="1 of 21 stimuli are images, for example 'apple_01b'; clips need videos"):
        opened(copy)


def test_a_clip_in_both_phases_is_for_test_alone(copy: Path) -> None:
    def both(file: Any) -> None:
        first(file).attrs["phase"] = "test"

    change(copy / "sub-01_BMD.hdf5", both)
    source = opened(copy)
    assert "1 clip(s) are in both phases: flickr-7-0001_3-out_0001; they are for test alone" in str(source.warnings[0])
    assert next(iter(source.clips())).split == "test"


def test_two_subjects_with_the_same_data_are_refused(copy: Path, tmp_path: Path) -> None:
    shutil.copy(copy / "sub-01_BMD.hdf5", copy / "sub-02_BMD.hdf5")

    def rename(file: Any) -> None:
        file.attrs["subjectID"] = "sub-02"

    change(copy / "sub-02_BMD.hdf5", rename)
    with pytest.raises(DatasetError, match="hold the same values; every subject needs data of its own"):
        prepared(copy, tmp_path / "out")


def test_bad_folders_are_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        opened(tmp_path / "none")
    with pytest.raises(DatasetError, match="--previews: is not possible for MOSAIC"):
        opened(copy, previews=True)
    with pytest.raises(DatasetError, match="give --caption FILE"):
        opened(copy, captions=())
    for path in copy.glob("*.hdf5"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"has no HDF5 file; download files such as sub-01_BMD\.hdf5"):
        opened(copy)
