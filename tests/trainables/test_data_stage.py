import hashlib
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.programs import ROOT, program
from tests.trainables.dataset_tools import Folder, run_stage, small
from trainables import datasets
from trainables.datasets.errors import DatasetError
from trainables.graph import stage_runs
from trainables.stages import data, voxels


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return run_stage(data.run, small(), tmp_path_factory.mktemp("made") / "data")


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_same_bytes_from_the_same_config_and_others_from_another_seed(made: Folder, tmp_path: Path) -> None:
    again = run_stage(data.run, small(), tmp_path / "again")
    assert digests(again.folder) == digests(made.folder)
    other = run_stage(data.run, small(dataset__seed=1), tmp_path / "other")
    assert not set(digests(other.folder).values()) & set(digests(made.folder).values())


def test_artifacts_have_the_promised_shapes(made: Folder) -> None:
    facts = made.json("data.json")
    clips = load_file(made.path("clips.safetensors"))["clips"]
    bold = load_file(made.path("bold.safetensors"))
    assert clips.shape == (56, 8, 64, 64, 3)
    assert clips.dtype == np.uint8
    assert len(set(clips.reshape(56, -1).std(1))) > 50
    for name in ("captions", "source", "split", "block", "clip_volume"):
        assert len(facts[name]) == 56, name
    assert all(len(values) == 56 for values in facts["factors"].values())
    assert facts["roi_names"] == ["V1", "V2", "V3", "V4", "LO", "MT", "MST", "TPOJ"]
    assert len(facts["subjects"]) == 2
    assert {name: values.shape[1:] for name, values in bold.items() if name.startswith("bold")} == {
        "bold_0": (80,),
        "bold_1": (80,),
    }
    assert bold["roi_0"].dtype == np.int16
    assert np.isfinite(bold["bold_0"]).all()


def test_subjects_differ(made: Folder) -> None:
    bold = load_file(made.path("bold.safetensors"))
    assert not np.array_equal(bold["roi_0"], bold["roi_1"])
    assert abs(np.corrcoef(bold["bold_0"].ravel(), bold["bold_1"].ravel())[0, 1]) < 0.1


def test_splits_are_whole_blocks_and_no_neighbours_cross(made: Folder) -> None:
    facts = made.json("data.json")
    split, block, onsets = np.array(facts["split"]), np.array(facts["block"]), np.array(facts["clip_volume"])
    assert {name: int((split == name).sum()) for name in set(split)} == {"train": 40, "validation": 8, "test": 8}
    assert all(len(set(split[block == index])) == 1 for index in set(block.tolist()))
    assert np.bincount(block).tolist() == [8] * 7
    shown = sorted((int(volume), split[clip]) for clip, row in enumerate(onsets) for volume in row if volume >= 0)
    gaps = [b[0] - a[0] for a, b in pairwise(shown) if a[1] != b[1]]
    assert len(gaps) >= 2
    assert min(gaps) * facts["tr"] > 24, "the response to a clip must be over before a clip of another split is on"


def test_validation_and_test_clips_are_repeated(made: Folder) -> None:
    facts = made.json("data.json")
    shown = [sum(volume >= 0 for volume in row) for row in facts["clip_volume"]]
    assert shown == [1] * 40 + [2] * 16


def test_identity_follows_what_is_made() -> None:
    ids = {
        run.identity
        for config in (small(), small(dataset__seed=1), small(dataset__noise=0.4), small(voxels__lag_tr=1))
        for run in stage_runs(config, seed=0, targets=["voxels"])
        if run.stage == "data"
    }
    assert len(ids) == 3


def test_unknown_subject_is_an_error(made: Folder, tmp_path: Path) -> None:
    config = small(voxels__subject=2)
    assert "voxels.subject: is 2; the data set has 2 subject(s)" in str(datasets.check(config))
    with pytest.raises(DatasetError, match=r"voxels\.subject is 2"):
        run_stage(voxels.run, config, tmp_path / "voxels", {"data": made})
    assert not datasets.check(small(voxels__subject=1)).problems


def test_checking_is_light() -> None:
    command = program("loaded", "trainables.datasets.folder", "torch,av")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
