"""Windows of volumes by hand, and by a slow definition."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from safetensors.numpy import load_file, save_file

from tests.trainables.dataset_tools import Folder, run_stage, small
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.tables import VoxelTable, write_voxels
from trainables.datasets.windows import volumes_of_split, windows_of
from trainables.stages import voxels

RUNS = ((0, 10), (10, 20))


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


def test_a_window_ends_with_its_run_and_repeats_the_last_volume() -> None:
    windows = windows_of(column(3, 8, 9, -1, 10), RUNS, np.zeros(5, int), window=3)
    assert windows[:, 0].tolist() == [[3, 4, 5], [8, 9, 9], [9, 9, 9], [-1, -1, -1], [10, 11, 12]]


def test_a_window_ends_before_the_answer_to_a_clip_of_another_group() -> None:
    groups = np.array([0, 0, 1, 1])
    windows = windows_of(column(2, 3, 4, 6), RUNS, groups, window=3)
    assert windows[:, 0].tolist() == [[2, 3, 3], [3, 3, 3], [4, 5, 6], [6, 7, 8]]


def test_between_two_volumes_no_volume_of_another_group_is_read() -> None:
    windows = windows_of(column(1.5, 4.5), RUNS, np.array([0, 1]), window=4)
    assert windows[0, 0].tolist() == [1.5, 2.5, 2.5, 2.5]  # 3.5 would need volume 4, which answers the other clip


@given(
    some.lists(
        some.tuples(some.integers(0, 19), some.integers(0, 2)), min_size=1, max_size=8, unique_by=lambda p: p[0]
    ),
    some.integers(1, 5),
)
def test_windows_equal_a_slow_definition(events: list[tuple[int, int]], window: int) -> None:
    volumes, groups = column(*(volume for volume, _ in events)), np.array([group for _, group in events])
    found = windows_of(volumes, RUNS, groups, window=window)[:, 0]
    for (volume, group), row in zip(events, found.tolist(), strict=True):
        end = 10 if volume < 10 else 20
        foreign = [other for other, of in events if of != group and volume < other < end]
        allowed = [v for v in range(volume, volume + window) if v < min([end, *foreign])]
        assert row == [*allowed, *[allowed[-1]] * (window - len(allowed))]


def test_volumes_of_a_split_are_driven_and_answered_by_its_clips_alone() -> None:
    """One run: two training clips, a test clip, a training clip; the lag is two volumes. Another run: a test clip."""
    onsets, member = column(1, 3, 5, 8, 12), np.array([True, True, False, True, False])
    kept = volumes_of_split(onsets, onsets + 2, RUNS, member, count=20)
    # From 5 on a test clip is on; from 8 on a training clip, but until 10 the test clip was the last one answered.
    assert np.nonzero(kept)[0].tolist() == [0, 1, 2, 3, 4]
    onsets[3] = 7
    kept = volumes_of_split(onsets, onsets + 2, RUNS, member, count=20)
    assert np.nonzero(kept)[0].tolist() == [0, 1, 2, 3, 4, 9]


def test_a_run_that_begins_with_a_test_clip_gives_nothing_before_the_first_training_answer() -> None:
    kept = volumes_of_split(column(2, 4), column(4, 6), RUNS, np.array([False, True]), count=20)
    assert np.nonzero(kept)[0].tolist() == [6, 7, 8, 9]


def _by_hand(folder: Path, *, kind: str = "series") -> Folder:
    folder.mkdir()
    bold = np.stack([np.arange(24.0), np.arange(24.0) ** 2, np.cos(np.arange(24.0))], axis=1)
    save_file({"bold": bold.astype(np.float32)}, folder / "bold_0.safetensors")
    write_voxels(VoxelTable(np.array(["A", "B", "B"])), folder / "voxel_table_0.parquet")
    onsets = [[0, -1], [2, -1], [3, -1], [4, -1], [12, 16], [21, 14]]
    described = {
        "kind": kind,
        "split": ["train"] * 3 + ["validation"] + ["test"] * 2,
        "block": [0, 0, 0, 1, 2, 2],
        "lag_tr": 2 if kind == "series" else 0,
        "tr": 2.0,
        "roi_names": ["A", "B"],
        "subjects": [{"name": "me", "onsets": onsets, "runs": [0, 12]}],
    }
    (folder / "data.json").write_text(json.dumps(described))
    return Folder(folder)


def test_the_stage_writes_what_follows_on_the_scale_of_the_rows(tmp_path: Path) -> None:
    fields = {"voxels__detrend": False, "voxels__window": 3}
    data = _by_hand(tmp_path / "data")
    result = run_stage(voxels.run, small(**fields), tmp_path / "out", {"data": data})
    arrays = load_file(result.path("voxels.safetensors"))
    assert arrays["following"].shape == (6, 2, 3)
    volumes = arrays["following"][..., 0] * arrays["std"][0] + arrays["mean"][0]
    # The third clip is answered by volume 5, the next block's by 6; the
    # last two clips by 14 and 18, and by 23, their run's end, and 16.
    expected = np.array([[3, 4], [5, 5], [5, 5], [7, 8], [17, 18], [20, 20.5]])
    np.testing.assert_allclose(volumes, expected, rtol=1e-5)
    alone = run_stage(voxels.run, small(voxels__detrend=False), tmp_path / "alone", {"data": data})
    plain = load_file(alone.path("voxels.safetensors"))
    assert "following" not in plain
    for name, values in plain.items():
        np.testing.assert_array_equal(values, arrays[name], err_msg=name)


def test_rows_of_presentations_have_no_window(tmp_path: Path) -> None:
    data = _by_hand(tmp_path / "data", kind="rows")
    with pytest.raises(DatasetError, match=r"voxels.window is 2; rows of presentations are no series of volumes"):
        run_stage(voxels.run, small(voxels__window=2), tmp_path / "out", {"data": data})
