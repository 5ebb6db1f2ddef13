"""How the clips of a folder are split: whole blocks, the own split of the user, too few clips."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.dataset_tools import run_data, run_stage
from tests.trainables.folders import config, report, write_folder
from trainables import datasets
from trainables.config.data import FolderConfig
from trainables.datasets.splits import clips_per_block, split_blocks
from trainables.stages import voxels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "mine")


def test_too_few_clips(folder: Path) -> None:
    for index in range(2, 12):
        (folder / "clips" / f"clip{index}.gif").unlink()
    assert "2 clips make 2 block(s) of 1: too few" in report(folder)


def test_blocks_stay_together(folder: Path) -> None:
    brains = datasets.load(config(folder, dataset__block_clips=3).dataset).brains
    assert brains.block == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(len(set(brains.split[start : start + 3])) == 1 for start in range(0, 12, 3))
    other = datasets.load(config(folder, dataset__seed=5).dataset).brains
    assert other.split != datasets.load(config(folder, dataset__seed=6).dataset).brains.split


def splits(root: Path, **overrides: Any) -> list[str]:
    return list(datasets.load(config(root, **overrides).dataset).brains.split)


def test_blocks_are_as_long_as_the_number_of_clips_allows() -> None:
    mine = FolderConfig(path=Path("/nowhere"))
    assert [clips_per_block(clips, mine) for clips in (3, 12, 40, 67, 100, 400, 5520)] == [1, 1, 2, 3, 5, 20, 20]
    assert clips_per_block(5520, mine.model_copy(update={"block_clips": 7})) == 7
    split, _, _ = split_blocks(5520, mine)
    neighbours = sum("train" in split[max(0, row - 1) : row + 2] for row, of in enumerate(split) if of == "test")
    assert neighbours < 0.12 * split.count("test"), "with blocks of one clip it is nine in ten"


def test_test_clips_beside_training_clips_are_a_warning(folder: Path) -> None:
    warnings = [str(problem) for problem in datasets.check(config(folder)).warnings]
    assert len(warnings) == 1
    assert "2 of 2 test clips lie directly beside a training clip" in warnings[0]
    assert "raise block_clips, or give your own split" in warnings[0]


OWN = ["train"] * 7 + ["validation"] * 2 + ["test"] * 2 + ["excluded"]


@pytest.mark.parametrize("form", ["csv", "json", "captions"])
def test_a_split_of_ones_own(folder: Path, tmp_path: Path, form: str) -> None:
    names = [f"clip{index}" for index in range(12)]
    table = "name,caption,split\n" + "".join(
        f"{name}.gif,a thing,{split}\n" for name, split in zip(names, OWN, strict=True)
    )
    if form == "json":
        (folder / "split.json").write_text(json.dumps(dict(zip(reversed(names), reversed(OWN), strict=True))))
    else:
        (folder / "split.csv").write_text(table)
    overrides = {"dataset__split": "split.json" if form == "json" else "split.csv"}
    if form == "captions":
        overrides["dataset__captions"] = "split.csv"
    assert splits(folder, **overrides) == OWN
    assert not datasets.check(config(folder, **overrides)).problems
    brains = datasets.load(config(folder, **overrides).dataset).brains
    assert list(brains.block) == [0] * 7 + [1] * 2 + [2] * 2 + [3]
    made = run_data(config(folder, **overrides), tmp_path)
    result = run_stage(voxels.run, config(folder, **overrides), tmp_path / "voxels", made)
    assert result.json("voxels.json")["split"] == OWN


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"clip3.gif": "Train"}, "'clip3.gif': split is 'Train'; it must be one of train, validation, test, excluded"),
        ({"clip99.gif": "train"}, "'clip99.gif': names no clip"),
        ({"clip11": "test"}, "'clip11.gif': occurs twice"),
        ({"clip9.gif": "train", "clip10.gif": "train"}, "no clip is for test"),
    ],
)
def test_a_bad_split_is_named(folder: Path, rows: dict[str, str], message: str) -> None:
    good = {f"clip{index}.gif": split for index, split in enumerate(OWN)}
    lines = [f"{name},{split}" for name, split in {**good, **rows}.items()]
    (folder / "split.csv").write_text("name,split\n" + "\n".join(lines))
    assert message in report(folder, dataset__split="split.csv")


def test_a_split_file_that_cannot_be_read_is_named(folder: Path) -> None:
    assert "split.csv: there is no such file; it must be .csv" in report(folder, dataset__split="split.csv")
    (folder / "split.csv").write_text("clip,part\n")
    assert "must name the columns name and split" in report(folder, dataset__split="split.csv")
    (folder / "split.json").write_text('["train"]')
    assert "expected an object from clip to split" in report(folder, dataset__split="split.json")
    (folder / "split.csv").write_text("name,split\nclip0,train\n")
    assert "'clip1.gif' and 10 more: has no split" in report(folder, dataset__split="split.csv")
