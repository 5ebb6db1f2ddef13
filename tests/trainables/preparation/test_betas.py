"""Pickled betas: what is read, what is refused, and that voxels of several files are told apart by their values."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.pickles import write_algonauts, write_bmd_betas, write_pickle
from tests.trainables.preparation.test_pickles import Call
from trainables.preparation.beta_regions import KnownCounts, Region, choose_regions
from trainables.preparation.betas import BetaFile, open_betas
from trainables.preparation.files import InputError

VALUES = np.random.default_rng(3).normal(size=(30, 3, 200))
ALL = np.arange(200)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_blocks_are_those_of_the_array(tmp_path: Path, protocol: int) -> None:
    betas = open_betas(BetaFile(write_bmd_betas(tmp_path / "a.pkl", VALUES, 1, protocol=protocol)))
    assert betas.shape == (30, 3, 200)
    assert betas.names is not None
    assert betas.names[:2] == ("0001", "0002")
    for columns in (ALL, ALL[20:50], np.array([3, 4, 90]), np.array([7])):
        block = betas.read(slice(4, 9), columns)
        assert block.dtype == np.float32
        np.testing.assert_array_equal(block, VALUES[4:9, :, columns].reshape(15, -1).astype(np.float32))


def test_arrays_in_fortran_order_are_read(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "a.pkl", {"train": np.asfortranarray(VALUES)})
    betas = open_betas(BetaFile(path, "train"))
    assert isinstance(betas.array, np.memmap)
    np.testing.assert_allclose(betas.read(slice(2, 4), ALL), VALUES[2:4].reshape(6, -1), rtol=1e-6)


def test_a_dict_keeps_its_other_entries(tmp_path: Path) -> None:
    path = write_algonauts(tmp_path / "WB.pkl", VALUES.astype("f4"), np.ones((2, 3)))
    betas = open_betas(BetaFile(path, "train"))
    assert betas.names is None
    assert betas.others["voxel_mask"].shape == (2, 3)


NAMES = [f"vid{number:04}" for number in range(30)]


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        ({"test": VALUES}, "train", "has no entry 'train', but test; betas"),
        ([VALUES], "", "holds list; a tuple of betas and clip names is needed"),
        (VALUES, "train", "holds an array, but a dict with 'train' is needed"),
        ((VALUES[0], NAMES[:3]), "", r"holds float64 \[3, 200\]; betas \[clips, repeats, voxels\]"),
        ((VALUES[:, :, :0], NAMES), "", r"holds float64 \[30, 3, 0\]"),
        (("text", NAMES), "", "holds str"),
        ((VALUES, NAMES[1:]), "", "has 29 names for 30 clips"),
        ((VALUES, 7), "", "has int for 30 clips"),
        ((VALUES, ["clip1", *NAMES[1:]]), "", "names a clip 'clip1'; names are vid and four digits"),
        ((VALUES, [NAMES[1], *NAMES[1:]]), "", "names clip 0001 twice"),
        ({"train": Call(os.system, "touch pwned")}, "train", r"asks for posix\.system, which is refused"),
    ],
)
def test_what_is_no_betas_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, key: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_pickle(tmp_path / "bad.pkl", content)
    with pytest.raises(InputError, match=rf"bad\.pkl: .*{message}"):
        open_betas(BetaFile(path, key))
    assert not (tmp_path / "pwned").exists()


def files(folder: Path, *columns: slice, values: Any = VALUES) -> list[BetaFile]:
    return [
        BetaFile(write_algonauts(folder / f"{number}.pkl", values[..., part]), "train")
        for number, part in enumerate(columns)
    ]


def test_a_voxel_of_two_files_is_one_voxel_with_both_regions(tmp_path: Path) -> None:
    regions = [Region("V1", "left"), Region("EBA", "left"), Region("LOC", "right"), Region("")]
    choice = choose_regions(regions, files(tmp_path, slice(0, 8), slice(8, 18), slice(14, 26), slice(0, 30)))
    assert [columns.tolist() for columns in choice.columns] == [
        [*range(8)],
        [*range(10)],
        [*range(4, 12)],
        [*range(26, 30)],
    ]
    assert choice.table.roi.tolist() == ["V1"] * 8 + ["EBA"] * 10 + ["LOC"] * 8 + [""] * 4
    assert {name: np.flatnonzero(member).tolist() for name, member in choice.table.regions.items()} == {
        "LOC": [*range(14, 26)],
        "left": [*range(18)],
        "right": [*range(14, 26)],
    }


def test_voxels_of_one_file_and_constant_voxels_are_never_joined(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[..., 1], values[..., 2], values[..., 3] = values[..., 0], 0.0, 0.0
    choice = choose_regions([Region("A"), Region("B")], files(tmp_path, slice(0, 3), slice(2, 5), values=values))
    assert [len(columns) for columns in choice.columns] == [3, 3]


def test_places_come_from_the_file_that_knows_them(tmp_path: Path) -> None:
    ijk = np.stack([np.arange(10)] * 3, axis=1).astype(np.int32)
    regions = [Region("V1"), Region("", ijk=ijk)]
    table = choose_regions(regions, files(tmp_path, slice(4, 12), slice(0, 10))).table
    assert table.ijk is not None
    assert table.ijk[:, 0].tolist() == [4, 5, 6, 7, 8, 9, -1, -1, 0, 1, 2, 3]


def test_counts_that_differ_are_a_warning(tmp_path: Path) -> None:
    known = KnownCounts({"V1": (370, 370), "WB": (10, 20)})
    assert known.differences({"V1": 370, "WB": 15, "other": 3}, tmp_path) == ()
    (warning,) = known.differences({"V1": 371, "WB": 9}, tmp_path)
    assert not warning.fatal
    assert "V1 371 instead of 370, WB 9 instead of 10 to 20; they are taken" in str(warning)
