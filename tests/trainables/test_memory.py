"""Stages hold neither all clips nor all fMRI: four times as many take no more memory."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.trainables.dataset_tools import Folder, run_stage, small
from trainables.datasets import base, clip_rows, presentations, stored_clips
from trainables.datasets.base import BrainData, ClipSequence, Stimuli, Subject, VerifiedClips, blocks_of, digest_of
from trainables.datasets.errors import ChangedError
from trainables.datasets.prepared.tables import VoxelTable, write_voxels
from trainables.stages import clips, data, voxels
from trainables.tensors import TensorShape, TensorWriter, map_tensors

FEW, MANY = 40, 160


class Drawn:
    """Clips of 200 kB that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.shape: tuple[int, ...] = (count, 4, 128, 128, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        numbers = np.arange(len(self), dtype=np.uint8)[rows]
        return np.broadcast_to(numbers[:, None, None, None, None], (len(numbers), *self.shape[1:])).copy()


def stimuli(count: int) -> Stimuli:
    return Stimuli(Drawn(count), [("a thing",)] * count, ["film"] * count)


def peak(work: Callable[[], object]) -> int:
    work()  # imports and caches are no part of it
    tracemalloc.start()
    work()
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest


@contextmanager
def small_blocks() -> Iterator[None]:
    sizes = patch.object(base, "BLOCK", 1 << 20), patch.object(data, "_BLOCK", 1 << 18)
    with sizes[0], sizes[1], patch.object(voxels, "BUDGET", 1 << 20):
        yield


def test_the_stage_clips_writes_some_clips_at_a_time(tmp_path: Path) -> None:
    def run(count: int) -> Callable[[], object]:
        runs = iter(range(9))

        def work() -> None:
            with patch("trainables.datasets.load_clips", lambda dataset: stimuli(count)):
                run_stage(clips.run, small(), tmp_path / f"{count}-{next(runs)}")

        return work

    with small_blocks():
        few, many = peak(run(FEW)), peak(run(MANY))
    assert many < 1.2 * few < 6_000_000, "all clips would be 31 MB"


def brains(clips: int, volumes: int, width: int, fmri: Any) -> BrainData:
    onsets = np.arange(clips)[:, None] * (volumes // clips)
    subject = Subject("one", fmri, onsets, np.arange(0, volumes, 100), VoxelTable(np.full(width, "V1")))
    split = ["train"] * (clips - 2) + ["validation", "test"]
    return BrainData("series", [subject], split, range(clips), lag_tr=1, tr=2.0, roi_names=("V1",))


def mapped(path: Path, volumes: int, width: int) -> Any:
    file = np.lib.format.open_memmap(path, "w+", np.float64, (volumes, width))
    for first in range(0, volumes, 100):
        file[first : first + 100] = np.random.default_rng(first).normal(size=(min(100, volumes - first), width))
    return np.load(path, mmap_mode="r")


def test_fmri_is_copied_by_volumes_and_standardised_by_voxels(tmp_path: Path) -> None:
    width = 400

    def stages(count: int) -> tuple[Callable[[], object], Callable[[], object]]:
        fmri = mapped(tmp_path / f"{count}.npy", 20 * count, width)
        runs = iter(range(9))
        shown = run_stage(clips.run, small(), tmp_path / f"clips{count}")
        folders: list[Folder] = []

        def copy() -> None:
            found = brains(count, 20 * count, width, fmri)
            with patch("trainables.datasets.load_brains", lambda dataset, stimuli: found):
                folders.append(run_stage(data.run, small(), tmp_path / f"data{count}-{next(runs)}", {"clips": shown}))

        def standardise() -> None:
            run_stage(voxels.run, small(), tmp_path / f"voxels{count}-{next(runs)}", {"data": folders[-1]})

        return copy, standardise

    with small_blocks(), patch("trainables.datasets.load_clips", lambda dataset: stimuli(2)):
        peaks = {count: [peak(work) for work in stages(count)] for count in (FEW, MANY)}
    assert peaks[MANY][0] < 1.3 * peaks[FEW][0] < 2_000_000, "all fMRI would be 5 MB"
    assert peaks[MANY][1] < 1.5 * peaks[FEW][1] < 6_000_000


def test_blocks_of_voxels_are_the_whole(tmp_path: Path) -> None:
    """However many voxels are taken at a time, the rows are the same."""
    fmri = mapped(tmp_path / "fmri.npy", 200, 30)
    folder = Folder(tmp_path)
    with TensorWriter(tmp_path / "bold_0.safetensors", {"bold": TensorShape("float32", fmri.shape)}) as file:
        file.write("bold", 0, (np.asarray(fmri) * (np.arange(30) != 7)).astype(np.float32))
    found = brains(20, 200, 30, fmri)
    (tmp_path / "data.json").write_text(json.dumps(data.brain_facts(found)))
    write_voxels(found.subjects[0].voxels, tmp_path / "voxel_table_0.parquet")
    whole = run_stage(voxels.run, small(), tmp_path / "whole", {"data": folder})
    with patch.object(voxels, "BUDGET", 1):
        single = run_stage(voxels.run, small(), tmp_path / "single", {"data": folder})
    assert whole.json("voxels.json") == single.json("voxels.json")
    assert whole.json("voxels.json")["constant"] == [7]
    for name, values in map_tensors(whole.path("voxels.safetensors")).items():
        other = map_tensors(single.path("voxels.safetensors"))[name]
        np.testing.assert_allclose(values, other, atol=1e-5)


def test_onsets_between_two_volumes_are_interpolated() -> None:
    bold = np.stack([np.arange(10.0), np.arange(10.0) ** 2], axis=1).astype(np.float32)
    times = presentations.answering(np.array([[1.0], [2.5], [7.5], [-1.0]]), [(0, 10)], lag=1)
    assert times.tolist() == [[2.0], [3.5], [8.5], [-1.0]]
    rows = clip_rows.rows_of_clips(bold, times, average=True)
    expected = np.array([[2, 4], [3.5, (9 + 16) / 2], [8.5, (64 + 81) / 2], [0, 0]])
    np.testing.assert_allclose(rows, expected)
    beyond = presentations.answering(np.array([[8.5]]), [(0, 10)], lag=1)
    assert beyond.tolist() == [[-1.0]], "volume 10 belongs to no run"


def test_clips_are_verified_when_they_are_read() -> None:
    drawn: ClipSequence = Drawn(5)
    digests = [digest_of(drawn[row : row + 1][0]) for row in range(5)]
    digests[3] = digests[0]
    verified = VerifiedClips(drawn, digests, names=list("abcde"))
    np.testing.assert_array_equal(verified[0:3], drawn[0:3])
    with pytest.raises(ChangedError, match=r"clip 3 \(d\) has other pixels than its digest"):
        verified[2:4]


def test_clips_of_a_prepared_data_set_are_named_and_not_copied(tmp_path: Path) -> None:
    there = Stimuli(Drawn(3), [("a",)] * 3, list("abc"), digests=[digest_of(c) for c in Drawn(3)[:]], prepared="one")
    with patch("trainables.datasets.load_clips", lambda dataset: there):
        made = run_stage(clips.run, small(), tmp_path / "clips")
    assert [file.name for file in made.folder.iterdir()] == ["clips.json"]

    def read(now: Stimuli) -> Stimuli:
        with patch("trainables.datasets.phantom.load_clips", lambda config: now):
            return stored_clips.read_stimuli({"clips": made}, small().dataset)  # type: ignore[dict-item]

    np.testing.assert_array_equal(read(there).clips[1:3], Drawn(3)[1:3])
    with pytest.raises(ChangedError, match="has the digest two, but this run was made with one"):
        read(Stimuli(Drawn(3), [("a",)] * 3, list("abc"), prepared="two"))


def test_blocks_cover_all_clips_once() -> None:
    covered = [row for rows in blocks_of(Drawn(11), size=3 * 4 * 128 * 128 * 3) for row in range(11)[rows]]
    assert covered == list(range(11))
