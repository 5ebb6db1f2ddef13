import hashlib
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.programs import ROOT, program
from tests.trainables.dataset_tools import Folder, run_data, run_stage, small
from trainables import datasets
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.tables import read_voxels
from trainables.graph import stage_runs
from trainables.stages import voxels

Made = dict[str, Folder]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return run_data(small(), tmp_path_factory.mktemp("made"))


def digests(made: Made) -> dict[str, str]:
    files = [file for folder in made.values() for file in folder.folder.iterdir()]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_same_bytes_from_the_same_config_and_others_from_another_seed(made: Made, tmp_path: Path) -> None:
    assert digests(run_data(small(), tmp_path / "again")) == digests(made)
    other = digests(run_data(small(dataset__seed=1), tmp_path / "other"))
    same = {name for name, digest in digests(made).items() if other[name] == digest}
    assert same == {"data.json"}, "the split does not depend on the seed"


def test_artifacts_have_the_promised_shapes(made: Made) -> None:
    facts, shown = made["data"].json("data.json"), made["clips"].json("clips.json")
    clips = load_file(made["clips"].path("clips.safetensors"))["clips"]
    bold = [load_file(made["data"].path(f"bold_{subject}.safetensors"))["bold"] for subject in (0, 1)]
    voxels = [read_voxels(made["data"].path(f"voxel_table_{subject}.parquet")) for subject in (0, 1)]
    assert clips.shape == (56, 8, 64, 64, 3)
    assert clips.dtype == np.uint8
    assert len(set(clips.reshape(56, -1).std(1))) > 50
    assert [len(shown[name]) for name in ("captions", "source", "digests")] == [56] * 3
    assert [len(facts[name]) for name in ("split", "block")] == [56] * 2
    assert all(len(subject["onsets"]) == 56 for subject in facts["subjects"])
    assert all(len(values) == 56 for values in shown["factors"].values())
    assert shown["digests"][3] == hashlib.sha256(clips[3].tobytes()).hexdigest()
    assert facts["roi_names"] == ["V1", "V2", "V3", "V4", "LO", "MT", "MST", "TPOJ"]
    assert len(facts["subjects"]) == 2
    assert [values.shape[1] for values in bold] == [len(table) for table in voxels] == [80, 80]
    assert set(voxels[0].roi.tolist()) == set(facts["roi_names"])
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in bold)
    assert not np.array_equal(voxels[0].roi, voxels[1].roi), "subjects differ"
    assert abs(np.corrcoef(bold[0].ravel(), bold[1].ravel())[0, 1]) < 0.1


def test_splits_are_whole_blocks_and_no_neighbours_cross(made: Made) -> None:
    facts = made["data"].json("data.json")
    split, block = np.array(facts["split"]), np.array(facts["block"])
    onsets = np.array(facts["subjects"][0]["onsets"])
    assert {name: int((split == name).sum()) for name in set(split)} == {"train": 40, "validation": 8, "test": 8}
    assert all(len(set(split[block == index])) == 1 for index in set(block.tolist()))
    assert np.bincount(block).tolist() == [8] * 7
    shown = sorted((int(volume), split[clip]) for clip, row in enumerate(onsets) for volume in row if volume >= 0)
    gaps = [b[0] - a[0] for a, b in pairwise(shown) if a[1] != b[1]]
    assert len(gaps) >= 2
    assert min(gaps) * facts["tr"] > 24, "the response to a clip must be over before a clip of another split is on"


def test_validation_and_test_clips_are_repeated(made: Made) -> None:
    facts = made["data"].json("data.json")
    shown = [sum(volume >= 0 for volume in row) for row in facts["subjects"][0]["onsets"]]
    assert shown == [1] * 40 + [2] * 16


def test_identity_follows_what_is_made() -> None:
    ids = {
        run.identity
        for config in (small(), small(dataset__seed=1), small(dataset__noise=0.4), small(voxels__lag_tr=1))
        for run in stage_runs(config, seed=0, targets=["voxels"])
        if run.stage == "data"
    }
    assert len(ids) == 3


def test_unknown_subject_is_an_error(made: Made, tmp_path: Path) -> None:
    config = small(voxels__subject=2)
    assert "voxels.subject: is 2; the data set has 2 subject(s)" in str(datasets.check(config))
    with pytest.raises(DatasetError, match=r"voxels\.subject is 2"):
        run_stage(voxels.run, config, tmp_path / "voxels", made)
    assert not datasets.check(small(voxels__subject=1)).problems


def test_checking_is_light() -> None:
    command = program("loaded", "trainables.datasets.folder", "torch,av")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
