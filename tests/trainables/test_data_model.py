"""The data model: clips by ranges, subjects with runs of their own, and the table of voxels."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from trainables.config.trial import resolve
from trainables.datasets.base import BrainData, Stimuli, Subject
from trainables.datasets.kinds import reader_of
from trainables.datasets.voxel_table import NOWHERE, VoxelTable, voxel_table

ROIS = ("V1", "MT", "none")
LEFT, RIGHT, STEM = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT", "CIFTI_STRUCTURE_BRAIN_STEM"


def full_table() -> VoxelTable:
    return VoxelTable(
        roi=np.array([0, 1, 2], np.int16),
        structure=[LEFT, RIGHT, STEM],
        vertex=np.array([10, 11, NOWHERE], np.int32),
        ijk=np.array([[NOWHERE] * 3, [NOWHERE] * 3, [4, 5, 6]], np.int32),
        further_rois={"BMDgeneral": np.array([True, False, True])},
        noise_ceiling_1=np.array([10.0, 20.0, 30.0], np.float32),
        noise_ceiling_n=np.array([50.0, 60.0, 70.0], np.float32),
        repeat_r=np.array([0.1, 0.2, 0.3], np.float32),
    )


def test_a_voxel_table_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    pq.write_table(full_table().to_arrow(ROIS), tmp_path / "voxels.parquet")
    written = pq.read_table(tmp_path / "voxels.parquet")
    assert written.column("roi").to_pylist() == list(ROIS)
    assert written.column("voxel").to_pylist() == [0, 1, 2]
    assert written.column("hemisphere").to_pylist() == ["left", "right", ""]
    read = voxel_table(written, ROIS)
    for name, values in vars(full_table()).items():
        if name == "further_rois":
            np.testing.assert_array_equal(read.further_rois["BMDgeneral"], values["BMDgeneral"])
        else:
            np.testing.assert_array_equal(getattr(read, name), values)


def test_what_is_not_known_of_voxels_has_no_column() -> None:
    bare = VoxelTable(np.zeros(2, np.int16))
    assert bare.hemisphere is None
    table = bare.to_arrow(("all",))
    assert table.column_names == ["voxel", "roi"]
    assert voxel_table(table, ("all",)).structure is None


def test_a_voxel_table_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="vertex has 3 entries for 2 voxels"):
        VoxelTable(np.zeros(2, np.int16), vertex=np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="ROI general has 1 entries for 2 voxels"):
        VoxelTable(np.zeros(2, np.int16), further_rois={"general": np.ones(1, bool)})
    with pytest.raises(ValueError, match="cannot be called 'vertex'"):
        VoxelTable(np.zeros(2, np.int16), further_rois={"vertex": np.ones(2, bool)})
    with pytest.raises(ValueError, match="holds 'MT', 'none'; the ROIs are V1"):
        voxel_table(full_table().to_arrow(ROIS), ("V1",))


def subject(name: str, onsets: list[list[int]], runs: list[int] | None) -> Subject:
    bold = np.zeros((12, 3), np.float32)
    return Subject(name, bold, np.array(onsets), None if runs is None else np.array(runs), full_table())


def test_subjects_have_runs_and_an_order_of_clips_of_their_own() -> None:
    subjects = (subject("one", [[0], [6]], [0, 6]), subject("two", [[8], [-1]], [0, 4, 8]))
    split, block = ("train", "test"), (0, 1)
    brains = BrainData("series", subjects, split, block, lag_tr=2, tr=2.0, roi_names=ROIS)
    assert [len(one.runs) for one in brains.subjects if one.runs is not None] == [2, 3]


def test_rows_have_no_lag() -> None:
    with pytest.raises(ValueError, match="one row per presentation has no lag, but lag_tr is 2"):
        BrainData("rows", (), (), (), lag_tr=2, tr=2.0, roi_names=ROIS)


def test_an_array_and_a_memory_map_are_sequences_of_clips(tmp_path: Path) -> None:
    clips = np.random.default_rng(0).integers(0, 255, (4, 2, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "clips.npy", clips)
    mapped = Stimuli(np.load(tmp_path / "clips.npy", mmap_mode="r"), [("a", "b"), ("c",)], ["x", "y"])
    assert mapped.clips.shape == clips.shape
    np.testing.assert_array_equal(mapped.clips[1:3], clips[1:3])
    assert mapped.first_captions == ["a", "c"]


def test_what_decides_the_clips_is_apart_from_what_decides_the_fmri(tmp_path: Path) -> None:
    reader = reader_of("folder")
    np.save(tmp_path / "fmri.npy", np.zeros((2, 3)))
    dataset = resolve({"dataset.kind": "folder", "dataset.path": str(tmp_path)}).dataset
    clips, brains = reader.clips_fingerprint(dataset), reader.brains_fingerprint(dataset)
    np.save(tmp_path / "fmri.npy", np.ones((2, 3)))
    assert reader.clips_fingerprint(dataset) == clips
    assert reader.brains_fingerprint(dataset) != brains
