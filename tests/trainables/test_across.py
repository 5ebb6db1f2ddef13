"""Trained on one data set, tested on another: regions are joined by name, everything else stays with its data set."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.memory import MemoryStore
from storage.runs import RunStore
from tests.trainables.folders import write_folder
from tests.trainables.prepared.labs import CLIPS, prepare_rows, rows_lab, write_csv
from trainables import datasets
from trainables.config.data import AcrossConfig, DatasetConfig, parts_of
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.across import JoinedClips
from trainables.datasets.base import Dataset
from trainables.datasets.errors import DatasetError
from trainables.execute import execute_trial
from trainables.graph import stage_runs
from trainables.spec import TrialSpec
from trainables.tensors import map_tensors

SMALL = {"train_clips": 24, "validation_clips": 4, "test_clips": 6, "block_clips": 2, "voxels": 64, "subjects": 2}
PHANTOM = {"kind": "phantom", **SMALL}
OTHER = {"kind": "appearing", **SMALL, "seed": 5, "train_clips": 16, "test_clips": 8, "rest_tr": 2}
OTHER_ROI = ["MT", "V4", "V1", "MT", "V1", "V1"]
"""Regions of the voxels of the second lab; the first has V1, V1, V2, MT, MT and one voxel in none."""


def config(train: dict[str, Any], test: dict[str, Any], **more: Any) -> TrialConfig:
    return resolve({"dataset": {"kind": "across", "train": train, "test": test, **more}})


def prepared(folder: Path) -> dict[str, Any]:
    return {"kind": "prepared", "path": str(folder)}


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("labs")
    first = prepare_rows(rows_lab(folder / "a"), folder / "first").folder
    lab = rows_lab(folder / "b", subjects=3, repeats=1)
    for place in lab.glob("sub-*"):
        (place / "voxels.csv").unlink()
        write_csv(place / "voxels.csv", {"roi": OTHER_ROI})
        np.save(place / "rows.npy", 3.0 + 10.0 * np.load(place / "rows.npy"))  # another scale
    return first, prepare_rows(lab, folder / "second").folder


def part(dataset: DatasetConfig) -> Dataset:
    return datasets.load(dataset)


def means(data: Dataset, subject: int, region: str) -> NDArray[np.float64]:
    """Return the mean response of a region to each clip, for fMRI with one row per presentation."""
    found = data.brains.subjects[subject]
    of_region = np.asarray(found.bold[0 : len(found.bold)], np.float64)[:, found.voxels.roi == region].mean(axis=1)
    return np.array([np.mean([of_region[row] for row in rows if row >= 0]) for rows in found.onsets])


def test_regions_are_joined_by_name_and_scaled_within_each_data_set(labs: tuple[Path, Path]) -> None:
    trial = config(prepared(labs[0]), prepared(labs[1]), train_subject=1, test_subject=2)
    assert isinstance(trial.dataset, AcrossConfig)
    brains = part(trial.dataset).brains
    assert (brains.kind, brains.lag_tr, list(brains.roi_names)) == ("rows", 0, ["MT", "V1"])
    (subject,) = brains.subjects
    assert subject.voxels.roi.tolist() == ["MT", "V1"]
    assert subject.onsets[:, 0].tolist() == list(range(2 * CLIPS))
    sources = [part(each) for each in parts_of(trial.dataset)]
    for column, region in enumerate(("MT", "V1")):
        for index, (source, number) in enumerate(zip(sources, (1, 2), strict=True)):
            expected, train = means(source, number, region), np.array(source.brains.split) == "train"
            expected = (expected - expected[train].mean()) / expected[train].std()
            found = subject.bold[CLIPS * index : CLIPS * (index + 1)][:, column]
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_clip_is_for_what_its_data_set_is(labs: tuple[Path, Path]) -> None:
    trial = config(prepared(labs[0]), prepared(labs[1]))
    assert isinstance(trial.dataset, AcrossConfig)
    joined, sources = part(trial.dataset), [part(each) for each in parts_of(trial.dataset)]
    kept = ({"train", "validation"}, {"test"})
    expected = [
        name if name in of_side else "excluded"
        for source, of_side in zip(sources, kept, strict=True)
        for name in source.brains.split
    ]
    assert list(joined.brains.split) == expected
    assert {"train", "validation", "test", "excluded"} == set(expected)
    assert list(joined.stimuli.captions) == [text for source in sources for text in source.stimuli.captions]
    assert joined.stimuli.source[0].startswith("train: ")
    assert joined.stimuli.source[-1].startswith("test: ")
    blocks = [set(joined.brains.block[:CLIPS]), set(joined.brains.block[CLIPS:])]
    assert not blocks[0] & blocks[1]
    whole = np.concatenate([source.stimuli.clips[0 : len(source.stimuli.clips)] for source in sources])
    np.testing.assert_array_equal(joined.stimuli.clips[0 : 2 * CLIPS], whole)
    report = datasets.check(trial)
    assert not report.errors
    assert any("only dataset.train has V2" in text for text in joined.brains.warnings)
    assert any("only dataset.test has V4" in text for text in joined.brains.warnings)


def test_series_have_their_own_lag_and_drift_is_removed() -> None:
    trial = config(PHANTOM, OTHER, test_subject=1)
    assert isinstance(trial.dataset, AcrossConfig)
    joined, source = part(trial.dataset).brains, part(trial.dataset.test)
    subject, train = source.brains.subjects[1], np.array(source.brains.split) == "train"
    series = np.asarray(subject.bold[0 : len(subject.bold)], np.float64)
    for column, region in enumerate(joined.roi_names):
        mean = series[:, subject.voxels.roi == region].mean(axis=1)
        assert subject.runs is not None
        for start, end in zip(subject.runs, [*subject.runs[1:], len(mean)], strict=True):
            degree = 1 + int((end - start) * source.brains.tr / 150)
            times = np.arange(end - start)
            mean[start:end] -= np.polynomial.Polynomial.fit(times, mean[start:end], degree)(times)
        rows = np.array(
            [
                [mean[at + source.brains.lag_tr] for at in shown if at >= 0] or [np.nan]
                for shown in subject.onsets.tolist()
            ],
            dtype=object,
        )
        values = np.array([np.mean(row) for row in rows.tolist()])
        expected = (values - values[train].mean()) / values[train].std()
        found = joined.subjects[0].bold[0 : len(joined.split)][:, column][-len(values) :]
        np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(("first", "last"), [(0, 9), (0, 3), (2, 5), (3, 5), (4, 9), (8, 9), (5, 5), (7, 40)])
def test_clips_are_read_by_ranges_of_the_whole(first: int, last: int) -> None:
    whole = np.arange(9 * 2 * 4 * 4 * 3, dtype=np.uint8).reshape(9, 2, 4, 4, 3)
    joined = JoinedClips((whole[:3], whole[3:4], whole[4:]))
    assert joined.shape == whole.shape
    np.testing.assert_array_equal(joined[first:last], whole[first:last])


def test_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="the step is 2"):
        JoinedClips((np.zeros((2, 2, 4, 4, 3), np.uint8),))[0:2:2]


def identity(trial: TrialConfig) -> dict[str, str]:
    return {run.stage: run.identity for run in stage_runs(trial, seed=0, targets=["voxels", "features"])}


def test_identities_follow_both_data_sets_and_not_their_place(labs: tuple[Path, Path], tmp_path: Path) -> None:
    before = identity(config(prepared(labs[0]), prepared(labs[1])))
    moved = Path(shutil.copytree(labs[1], tmp_path / "moved"))
    assert identity(config(prepared(labs[0]), prepared(moved))) == before
    swapped = identity(config(prepared(labs[1]), prepared(labs[0])))
    assert {stage for stage in before if swapped[stage] != before[stage]} == {"data", "voxels"}, "clips are the same"
    other = identity(config(prepared(labs[0]), prepared(labs[1]), test_subject=1))
    assert {stage for stage in before if other[stage] != before[stage]} == {"data", "voxels"}
    assert identity(config(PHANTOM, OTHER)) != identity(config(PHANTOM, {**OTHER, "noise": 0.5}))


def errors(trial: TrialConfig) -> list[str]:
    return [problem.text for problem in datasets.check(trial).errors]


def test_what_cannot_be_joined_is_refused_with_the_reason(labs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = {"kind": "folder", "path": str(write_folder(tmp_path / "mine")), "resolution": 32, "frames": 4}
    (line,) = errors(config(prepared(labs[0]), folder))
    assert "no region of dataset.train (MT, V1, V2) is one of dataset.test (none)" in line
    assert "prepare both with the same atlas" in line
    with pytest.raises(DatasetError, match=r"no region of dataset\.train"):
        datasets.load(config(prepared(labs[0]), folder).dataset)
    (line,) = errors(config(PHANTOM, {**OTHER, "frames": 6}))
    assert "8 frames of 64 x 64 pixels in dataset.train, but 6 frames of 64 x 64" in line
    (line,) = errors(config(PHANTOM, OTHER, test_subject=2))
    assert line == "dataset.test_subject: is 2; that data set has 2 subject(s), numbered from 0"
    with pytest.raises(DatasetError, match=r"dataset.test_subject: is 2"):
        datasets.load(config(PHANTOM, OTHER, test_subject=2).dataset)
    (line,) = errors(resolve({"dataset": {"kind": "across", "train": PHANTOM, "test": OTHER}, "voxels.subject": 1}))
    assert line.startswith("voxels.subject: is 1; the data set has 1 subject")
    (line,) = errors(config(PHANTOM, prepared(tmp_path / "nowhere")))
    assert line.startswith("dataset.test: ")


def test_a_region_without_variation_is_left_out(labs: tuple[Path, Path], tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab", subjects=1)
    place = lab / "sub-01"
    rows = np.load(place / "rows.npy")
    rows[:, :2] -= rows[:, :2].mean(axis=1, keepdims=True)  # the mean of V1 is 0 up to rounding
    rows[:, 1] = -rows[:, 0]
    np.save(place / "rows.npy", rows)
    flat = prepare_rows(lab, tmp_path / "flat").folder
    assert list(part(config(prepared(flat), prepared(labs[1])).dataset).brains.roi_names) == ["MT"]


def test_a_data_set_can_be_tested_on_itself_by_regions() -> None:
    trial = config(PHANTOM, PHANTOM)
    assert not errors(trial)
    joined = part(trial.dataset).brains
    rows = joined.subjects[0].bold[0 : len(joined.split)]
    half = len(rows) // 2
    np.testing.assert_array_equal(rows[:half], rows[half:])
    assert joined.split[half:].count("test") == 6


@pytest.mark.long
def test_the_overlap_is_that_of_training_clips_of_one_and_test_clips_of_the_other(tmp_path: Path) -> None:
    """The oracle: the same embeddings, taken by the numbers of the clips."""
    small = {"features.image_variants": 0, "features.text_variants": 0}
    trial = resolve({"dataset": {"kind": "across", "train": PHANTOM, "test": OTHER}, **small})
    runs = stage_runs(trial, seed=0, targets=["library"])
    spec, store = TrialSpec("s", "t", trial.model_dump(mode="json"), 0, runs), RunStore(MemoryStore(), cache=tmp_path)
    execute_trial(spec, runs=store, scratch=tmp_path, report=lambda row, *, live: None)
    found = {run.stage: store.open(run.identity) for run in runs}
    overlap = found["library"].json("overlap.json")["test"]

    images = map_tensors(found["features"].path("features.safetensors"))["clip_image"]
    images = np.asarray(images, np.float64).reshape(len(images), -1)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    first, last = (datasets.load(each).brains.split for each in parts_of(trial.dataset))
    train = [clip for clip, name in enumerate(first) if name == "train"]
    test = [len(first) + clip for clip, name in enumerate(last) if name == "test"]
    nearest = (images[test] @ images[train].T).max(axis=1)
    assert (overlap["clips"], overlap["same_frames"]) == (8, 0)
    assert overlap["quantiles"]["50%"] == pytest.approx(np.median(nearest), abs=1e-4)
