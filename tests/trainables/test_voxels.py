import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tests.trainables.dataset_tools import Folder, run_data, run_stage, small
from trainables.datasets import clip_rows
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.tables import VoxelTable, write_voxels
from trainables.stages import voxels
from trainables.stages.voxels import wanted_voxels

Values = NDArray[Any]
ByHand = Callable[..., Folder]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return run_data(small(), tmp_path_factory.mktemp("made"))["data"]


@pytest.fixture
def by_hand(tmp_path: Path) -> ByHand:
    """Two runs of twelve volumes: four training and two test clips, the latter shown twice. BOLD counts volumes."""

    def make(bold: Values | None = None) -> Folder:
        folder = tmp_path / "by_hand"
        folder.mkdir(exist_ok=True)
        if bold is None:
            bold = np.stack([np.arange(24.0), np.arange(24.0) ** 2, np.cos(np.arange(24.0))], axis=1)
        save_file({"bold": bold.astype(np.float32)}, folder / "bold_0.safetensors")
        write_voxels(VoxelTable(np.array(["A", "B", "B"])[: bold.shape[1]]), folder / "voxel_table_0.parquet")
        onsets = [[0, -1], [3, -1], [6, -1], [9, -1], [12, 16], [14, 20]]
        described = {
            "kind": "series",
            "split": ["train"] * 4 + ["test"] * 2,
            "lag_tr": 2,
            "tr": 2.0,
            "roi_names": ["A", "B"],
            "subjects": [{"name": "me", "onsets": onsets, "runs": [0, 12]}],
        }
        (folder / "data.json").write_text(json.dumps(described))
        return Folder(folder)

    return make


def run(made: Folder, output: Path, **overrides: Any) -> tuple[dict[str, Values], dict[str, Any]]:
    result = run_stage(voxels.run, small(**overrides), output, {"data": made})
    return load_file(result.path("voxels.safetensors")), result.json("voxels.json")


def test_rows_are_the_volumes_after_the_lag(by_hand: ByHand, tmp_path: Path) -> None:
    arrays, facts = run(by_hand(), tmp_path / "out", voxels__detrend=False)
    rows = arrays["fmri"] * arrays["std"] + arrays["mean"]
    np.testing.assert_allclose(rows[:4, 0], [2, 5, 8, 11], rtol=1e-5)
    np.testing.assert_allclose(rows[4:, 0], [(14 + 18) / 2, (16 + 22) / 2], rtol=1e-5)
    assert facts["lag_tr"] == 2
    assert facts["subject"] == "me"
    assert facts["split"] == ["train"] * 4 + ["test"] * 2


def test_first_showing_alone_without_averaging(by_hand: ByHand, tmp_path: Path) -> None:
    arrays, _ = run(by_hand(), tmp_path / "out", voxels__detrend=False, voxels__average_repeats=False)
    rows = arrays["fmri"] * arrays["std"] + arrays["mean"]
    np.testing.assert_allclose(rows[4:, 0], [14, 16], rtol=1e-5)


def test_statistics_come_from_training_rows_alone(by_hand: ByHand, tmp_path: Path) -> None:
    arrays, _ = run(by_hand(), tmp_path / "a", voxels__detrend=False)
    np.testing.assert_allclose(arrays["fmri"][:4].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(arrays["fmri"][:4].std(0), 1, rtol=1e-5)
    np.testing.assert_allclose(arrays["mean"][0], 6.5)
    bold = np.stack([np.arange(24.0), np.arange(24.0) ** 2, np.cos(np.arange(24.0))], axis=1)
    bold[12:] *= 100
    changed, _ = run(by_hand(bold), tmp_path / "b", voxels__detrend=False)
    np.testing.assert_array_equal(changed["fmri"][:4], arrays["fmri"][:4])
    np.testing.assert_array_equal(changed["std"], arrays["std"])
    assert not np.allclose(changed["fmri"][4:], arrays["fmri"][4:])


def test_test_stats_standardise_the_test_set_by_itself(by_hand: ByHand, tmp_path: Path) -> None:
    arrays, _ = run(by_hand(), tmp_path / "a", voxels__detrend=False, voxels__normalise="test_stats")
    np.testing.assert_allclose(arrays["fmri"][4:].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(arrays["fmri"][4:].std(0), 1, rtol=1e-5)
    np.testing.assert_allclose(arrays["fmri"][:4].mean(0), 0, atol=1e-6)


def test_a_clip_whose_answer_lies_beyond_its_run_is_dropped(by_hand: ByHand, tmp_path: Path) -> None:
    arrays, facts = run(by_hand(), tmp_path / "out", voxels__detrend=False, voxels__lag_tr=3)
    assert facts["dropped"] == [3]
    assert facts["split"] == ["train"] * 3 + ["dropped"] + ["test"] * 2
    assert not arrays["fmri"][3].any()
    assert arrays["fmri"].shape == (6, 3)


def test_a_lag_beyond_every_run_is_an_error(by_hand: ByHand, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"voxels\.lag_tr must be shorter"):
        run(by_hand(), tmp_path / "out", voxels__lag_tr=12)


def test_constant_voxels_are_left_out_with_a_note(by_hand: ByHand, tmp_path: Path) -> None:
    bold = np.random.default_rng(0).normal(size=(24, 3))
    bold[:, 1] = 0.1
    arrays, facts = run(by_hand(bold), tmp_path / "out", voxels__detrend=False)
    assert facts["constant"] == [1]
    assert arrays["voxel"].tolist() == [0, 2]
    assert arrays["roi"].tolist() == [0, 1]
    assert arrays["fmri"].shape == (6, 2)
    assert np.isfinite(arrays["fmri"]).all()
    with pytest.raises(DatasetError, match="every voxel is constant"):
        run(by_hand(np.ones((24, 3))), tmp_path / "constant", voxels__detrend=False)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_an_error_that_names_it(by_hand: ByHand, tmp_path: Path, value: float) -> None:
    bold = np.random.default_rng(0).normal(size=(24, 3))
    bold[5, 2] = value
    with pytest.raises(DatasetError, match="clip 1 in voxel 2"):
        run(by_hand(bold), tmp_path / "out", voxels__detrend=False)


def test_detrending_takes_out_drift_within_each_run() -> None:
    time = np.linspace(-1, 1, 90)
    wave = np.sin(np.arange(90.0))
    drift = np.concatenate([3 + 2 * time, -5 + time**2])
    bold = np.concatenate([wave, wave]) + drift
    left = clip_rows.detrend(bold[:, None].astype(np.float32), [(0, 90), (90, 180)], tr=2.0)
    np.testing.assert_allclose(left[:, 0], np.concatenate([wave, wave]), atol=0.15)


def test_drift_hurts_unless_it_is_taken_out(made: Folder, tmp_path: Path) -> None:
    """Rows of the same test clip in its two showings agree better after detrending."""
    facts, bold = made.json("data.json"), load_file(made.path("bold_0.safetensors"))["bold"]
    onsets = np.array(facts["subjects"][0]["onsets"])[48:] + 2
    starts = facts["subjects"][0]["runs"]
    free = clip_rows.detrend(bold, [*zip(starts, [*starts[1:], len(bold)], strict=True)], tr=2.0)

    def gap(values: Values) -> float:
        return float(((values[onsets[:, 0]] - values[onsets[:, 1]]) ** 2).mean())

    assert gap(free) < 0.7 * gap(bold)


def test_subjects_of_the_phantom(made: Folder, tmp_path: Path) -> None:
    first, facts = run(made, tmp_path / "0")
    second, _ = run(made, tmp_path / "1", voxels__subject=1)
    assert first["fmri"].shape == second["fmri"].shape == (56, 80)
    assert not np.array_equal(first["fmri"], second["fmri"])
    assert facts["dropped"] == facts["constant"] == []


def test_the_most_repeatable_voxels_are_kept_and_ties_go_to_the_first() -> None:
    table = VoxelTable(np.full(5, "V1"), repeat_r=np.array([0.2, 0.9, np.nan, 0.2, 0.5], np.float32))
    assert wanted_voxels(table, None).all()
    assert np.flatnonzero(wanted_voxels(table, 3)).tolist() == [0, 1, 4]
    with pytest.raises(DatasetError, match=r"voxels\.top is 5, but of only 4 voxels is known how well they repeat"):
        wanted_voxels(table, 5)
    with pytest.raises(DatasetError, match=r"voxels\.top is 2; leave it out: the data set does not say how well"):
        wanted_voxels(VoxelTable(np.full(5, "V1")), 2)


def test_columns_of_the_kept_voxels_are_named(by_hand: ByHand, tmp_path: Path) -> None:
    folder = by_hand()
    table = VoxelTable(np.array(["A", "B", "B"]), repeat_r=np.array([0.9, 0.1, 0.8], np.float32))
    write_voxels(table, folder.path("voxel_table_0.parquet"))
    every, _ = run(folder, tmp_path / "all", voxels__detrend=False)
    two, facts = run(folder, tmp_path / "two", voxels__top=2, voxels__detrend=False)
    assert (two["voxel"].tolist(), two["roi"].tolist(), facts["constant"]) == ([0, 2], [0, 1], [])
    np.testing.assert_array_equal(two["fmri"], every["fmri"][:, [0, 2]])
