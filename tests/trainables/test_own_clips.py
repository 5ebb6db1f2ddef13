"""`voxels.own_clips` and `voxels.subjects` in the stage `voxels`: whose fMRI is used, and of which clips."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from storage.runs import Artifacts, Checkpoints
from tests.trainables.dataset_tools import Folder, run_data, run_stage, small
from trainables import datasets
from trainables.context import Context, StageTask
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.tables import VoxelTable, write_voxels
from trainables.stages import voxels
from trainables.stages.volumes import read_volumes

Values = NDArray[Any]
OWN = {"voxels__own_clips": 10}
ALL = {**OWN, "voxels__subject": 1, "voxels__subjects": [0, 1]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two subjects who saw 40 training clips in 5 runs, and 8 validation and 8 test clips."""
    return run_data(small(), tmp_path_factory.mktemp("made"))["data"]


def voxels_of(data: Folder, output: Path, **overrides: Any) -> Folder:
    return run_stage(voxels.run, small(**overrides), output, {"data": data})


def changed(data: Folder, folder: Path, subject: int, volumes: Values) -> Folder:
    """Return the same data but for some volumes of a subject, which are noise of another scale."""
    folder.mkdir()
    for path in data.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    bold = load_file(folder / f"bold_{subject}.safetensors")["bold"]
    bold[volumes] = 50 + 9 * np.random.default_rng(0).normal(size=bold[volumes].shape)
    save_file({"bold": bold}, folder / f"bold_{subject}.safetensors")
    return Folder(folder)


def shown(data: Folder, subject: int, clips: range) -> Values:
    """Return the volumes from the onset of the first of `clips` to the end of what the last one drives."""
    onsets = np.array(data.json("data.json")["subjects"][subject]["onsets"])[list(clips), 0]
    return np.arange(onsets[0], onsets[-1] + 4)


def test_the_first_clips_are_used_and_the_others_are_zeros(data: Folder, tmp_path: Path) -> None:
    made = voxels_of(data, tmp_path / "own", **OWN)
    fmri, facts = load_file(made.path("voxels.safetensors"))["fmri"], made.json("voxels.json")
    assert facts["split"] == ["train"] * 10 + ["withheld"] * 30 + ["validation"] * 8 + ["test"] * 8
    assert not fmri[10:40].any()
    assert np.abs(fmri[:10].mean(axis=0)).max() < 1e-5
    np.testing.assert_allclose(fmri[:10].std(axis=0), 1.0, rtol=1e-4)
    assert fmri[40:].any(axis=1).all()


@pytest.mark.parametrize("overrides", [{}, {"voxels__window": 3}, {"voxels__detrend": False}, {"voxels__lag_tr": 1}])
def test_volumes_of_withheld_clips_change_nothing(data: Folder, tmp_path: Path, overrides: dict[str, Any]) -> None:
    """Clips 8 to 15 share a run, so drift is fitted without the volumes of the withheld ones, from clip 10 on.

    The window of clip 9 ends, as all windows do, with the last volume before the one that answers the next clip.
    """
    forbidden = shown(data, 0, range(10, 40))[2 if "voxels__window" in overrides else 0 :]
    other = changed(data, tmp_path / "changed", 0, forbidden)
    before = voxels_of(data, tmp_path / "before", **OWN, **overrides)
    after = voxels_of(other, tmp_path / "after", **OWN, **overrides)
    assert before.path("voxels.safetensors").read_bytes() == after.path("voxels.safetensors").read_bytes()
    whole = [voxels_of(d, tmp_path / f"whole-{d is other}", **overrides) for d in (data, other)]
    assert whole[0].path("voxels.safetensors").read_bytes() != whole[1].path("voxels.safetensors").read_bytes()


def test_all_clips_are_what_they_are_without_the_field(data: Folder, tmp_path: Path) -> None:
    whole, all_clips = voxels_of(data, tmp_path / "whole"), voxels_of(data, tmp_path / "all", voxels__own_clips=40)
    assert whole.path("voxels.safetensors").read_bytes() == all_clips.path("voxels.safetensors").read_bytes()
    assert whole.json("voxels.json") == all_clips.json("voxels.json")


def test_others_are_written_as_if_they_were_alone(data: Folder, tmp_path: Path) -> None:
    made, alone = voxels_of(data, tmp_path / "pooled", **ALL), voxels_of(data, tmp_path / "alone", voxels__subject=0)
    assert made.path("other_0.safetensors").read_bytes() == alone.path("voxels.safetensors").read_bytes()
    facts = made.json("voxels.json")
    assert facts["subject"] == data.json("data.json")["subjects"][1]["name"]
    assert facts["others"]["0"]["split"] == alone.json("voxels.json")["split"]
    own = voxels_of(data, tmp_path / "own", voxels__subject=1, **OWN)
    assert own.path("voxels.safetensors").read_bytes() == made.path("voxels.safetensors").read_bytes()


def test_a_volume_that_an_own_clip_reads_counts_though_a_withheld_one_reads_it(tmp_path: Path) -> None:
    """Clip 1 lies between volumes 4 and 5 and clip 2, which is withheld, between 5 and 6."""
    bold = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)
    save_file({"bold": bold}, tmp_path / "bold_0.safetensors")
    write_voxels(VoxelTable(np.array(["A", "A", "A"])), tmp_path / "voxel_table_0.parquet")
    described = {
        "kind": "series",
        "split": ["train", "train", "train", "validation", "test"],
        "lag_tr": 2,
        "tr": 2.0,
        "roi_names": ["A"],
        "subjects": [{"name": "me", "onsets": [[0.5], [2.5], [3.5], [8.0], [12.0]], "runs": [0]}],
    }
    (tmp_path / "data.json").write_text(json.dumps(described))
    answers = voxels.answers_of(described, small(voxels__own_clips=2).voxels, volumes=16)
    assert answers.left_out is not None
    assert np.flatnonzero(answers.left_out).tolist() == [6, 7, 8, 9]
    assert answers.split.tolist() == ["train", "train", "withheld", "validation", "test"]


@pytest.mark.parametrize("between", [False, True])
def test_volumes_of_withheld_clips_pre_train_no_model(data: Folder, tmp_path: Path, between: bool) -> None:
    def volumes(made: Folder, subject: int, **overrides: Any) -> dict[str, torch.Tensor]:
        inputs = cast(Mapping[str, Artifacts], {"data": made})
        task = StageTask(small(**overrides), 0, inputs, Context(tmp_path, cast(Checkpoints, None)))
        return read_volumes(task, subject, between=between)

    other = changed(data, tmp_path / "changed", 0, shown(data, 0, range(10, 40)))
    own, whole = volumes(data, 0, **OWN), volumes(data, 0)
    again = volumes(other, 0, **OWN)
    assert all(torch.equal(own[split], again[split]) for split in own)
    assert len(own["train"]) <= len(whole["train"]) // 4
    assert torch.equal(volumes(data, 1, **OWN)["train"], volumes(data, 1)["train"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"voxels.own_clips": 0}, r"own_clips must be at least 2, but got 0"),
        ({"voxels.own_clips": 1}, r"own_clips must be at least 2, but got 1"),
        ({"voxels.subjects": [0, 1, 1]}, r"each subject must be named once, but got \[0, 1, 1\]"),
        ({"voxels.own_clips": 5, "voxels.top": 20}, r"voxels.top chooses voxels by all training clips"),
        ({"voxels.subjects": [0, 1], "system": "wen2018"}, r"system: wen2018 is trained on voxels.subject alone"),
        ({"voxels.subjects": [0, 1], "motion.kind": "ridge"}, r"motion\.kind: ridge is one map.*no common space"),
        ({"voxels.subjects": [0, 1], "semantic.weights": "/x"}, r"semantic\.weights is given, so nothing is trained"),
        ({"structure.fine_tune.epochs": 2}, r"structure\.fine_tune\.epochs is 2, which needs other subjects"),
        (
            {"voxels.subjects": [0, 1], "motion.fine_tune.epochs": 10},
            r"fine_tune\.epochs, the last epochs of train\.epochs, must be fewer than these \(10\), but got 10",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        small(**{name.replace(".", "__"): value for name, value in overrides.items()})


def test_subjects_and_clips_that_do_not_exist_are_refused_before_anything_starts(data: Folder, tmp_path: Path) -> None:
    config = small(voxels__subjects=[0, 2, 5], voxels__own_clips=41)
    told = "\n".join(problem.text for problem in datasets.check(config).errors)
    assert "voxels.subjects: has [2, 5]; the data set has 2 subject(s), numbered from 0" in told
    assert "voxels.own_clips: is 41; the data set has 40 training clips (dataset.train_clips)" in told
    with pytest.raises(DatasetError, match=r"own_clips is 41, but 40 training clips of subject .* at most 40"):
        voxels_of(data, tmp_path / "clips", voxels__own_clips=41)
    with pytest.raises(DatasetError, match="the data set has 2 subject"):
        voxels_of(data, tmp_path / "subjects", voxels__subjects=[0, 2])


def test_the_order_of_subjects_makes_no_difference() -> None:
    assert small(voxels__subjects=[1, 0]).voxels == small(voxels__subjects=[0, 1]).voxels
