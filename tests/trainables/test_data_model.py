"""The data model: clips by ranges, and subjects with runs of their own."""

from pathlib import Path

import numpy as np
import pytest

from trainables.config.trial import resolve
from trainables.datasets.base import BrainData, Stimuli, Subject, roi_numbers
from trainables.datasets.kinds import reader_of
from trainables.datasets.prepared.tables import VoxelTable

ROIS = ("V1", "MT", "none")


def test_rois_are_numbered_in_the_order_of_the_data_sets_names() -> None:
    voxels = VoxelTable(np.array(["MT", "V1", "MT"]))
    assert roi_numbers(voxels, ROIS).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="voxels lie in 'MT', but the ROIs are V1"):
        roi_numbers(voxels, ("V1",))


def subject(name: str, onsets: list[list[int]], runs: list[int] | None) -> Subject:
    bold = np.zeros((12, 3), np.float32)
    return Subject(
        name,
        bold,
        np.array(onsets),
        None if runs is None else np.array(runs),
        VoxelTable(np.array(["V1", "MT", "none"])),
    )


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
