"""Retrieval of the right clip by its reconstruction, in three galleries; clips that are there twice are refused."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from storage.runs import Artifacts, Checkpoints
from tests.trainables.dataset_tools import Folder, run_data, run_stage, small
from tests.trainables.prepared.labs import CLIPS, prepare_rows, rows_lab
from trainables.backbones.gallery import gallery_fingerprint
from trainables.backbones.load import load_clip
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, StageResult, StageTask
from trainables.graph import stage_runs
from trainables.metrics.retrieval import ranks
from trainables.stages import retrieve, voxels

TRAIN, HELD_OUT = 40, list(range(40, 56))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    folder, config = tmp_path_factory.mktemp("world"), small(dataset__frames=2)
    made = run_data(config, folder)
    made["voxels"] = run_stage(voxels.run, config, folder / "voxels", made)
    clips = load_file(made["clips"].path("clips.safetensors"))["clips"]
    (folder / "features").mkdir()
    embeddings = retrieve.embedded(load_clip("phantom"), clips.numpy())
    save_file({"clip_image": embeddings}, folder / "features/features.safetensors")
    made["features"] = Folder(folder / "features")
    return made


def retrieved(
    world: dict[str, Folder], output: Path, videos: torch.Tensor, **changed: Any
) -> tuple[StageResult, dict[str, torch.Tensor]]:
    folder = output / "reconstruct"
    folder.mkdir(parents=True)
    save_file({"videos": videos.contiguous(), "index": torch.tensor(HELD_OUT)}, folder / "videos.safetensors")
    inputs = cast(dict[str, Artifacts], {**world, "reconstruct": Folder(folder)})
    chosen = {"generator__validation_clips": 8, "generator__test_clips": 8, **changed}
    task = StageTask(small(dataset__frames=2, **chosen), 0, inputs, Context(output, cast(Checkpoints, None)))
    return retrieve.run(task), load_file(output / "retrieve.safetensors")


def clips_of(world: dict[str, Folder]) -> torch.Tensor:
    return load_file(world["clips"].path("clips.safetensors"))["clips"]


def test_true_clips_are_found_and_shuffled_ones_are_at_chance(world: dict[str, Folder], tmp_path: Path) -> None:
    truth = clips_of(world)[HELD_OUT]
    result, stored = retrieved(world, tmp_path / "true", truth)
    assert result.metrics["top1"] == result.metrics["test_top1"] == 1.0
    assert result.metrics["test_with_training_top10"] == 1.0
    assert "top10" not in result.metrics, "a gallery of 8 clips is always right"
    assert "with_training_top100" not in result.metrics
    assert stored["test_rank_small"].tolist() == [1.0] * 8
    own, gallery = stored["embedding"][8:], load_file(world["features"].path("features.safetensors"))["clip_image"][48:]
    wrong = torch.cat([ranks(own.roll(shift, 0), gallery) for shift in range(1, 8)])
    assert sorted(wrong.tolist()) == [float(rank) for rank in range(2, 9) for _ in range(8)], "every wrong rank once"


def test_ranks_are_among_the_clips_that_were_reconstructed(world: dict[str, Folder], tmp_path: Path) -> None:
    grey = torch.full((16, 1, 64, 64, 3), 128, dtype=torch.uint8)
    result, stored = retrieved(world, tmp_path / "grey", grey)
    assert sorted(stored["test_rank_small"].tolist()) == list(range(1, 9)), "one query, eight different clips"
    assert result.metrics["test_top1"] == 1 / 8
    large = stored["test_rank_with_training"]
    assert (large >= stored["test_rank_small"]).all()
    assert large.max() <= 48


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("others")
    prepare_rows(rows_lab(folder / "lab"), folder / "prepared")
    return folder / "prepared"


def test_another_data_set_makes_the_gallery_larger(world: dict[str, Folder], tmp_path: Path, others: Path) -> None:
    result, stored = retrieved(world, tmp_path / "out", clips_of(world)[HELD_OUT], retrieve__others=str(others))
    assert result.info["with_others"] == str(CLIPS)
    assert stored["test_rank_with_others"].max() <= 8 + CLIPS
    assert result.metrics["test_with_others_top10"] == 1.0


def test_another_data_set_is_part_of_the_identity(others: Path) -> None:
    before, after = (
        {run.stage: run.identity for run in stage_runs(config, seed=0, targets=["retrieve"])}
        for config in (resolve({}), resolve({"retrieve.others": str(others)}))
    )
    assert {stage for stage in before if before[stage] != after[stage]} == {"retrieve"}


def test_a_data_set_that_holds_a_test_clip_is_refused() -> None:
    with pytest.raises(ValueError, match=r"retrieve.others: 1 clips of /elsewhere have the frames of a .* number 2\)"):
        retrieve._check_apart(["a", "b", "c"], {"c", "d"}, folder="/elsewhere")
    retrieve._check_apart(["a"], {"c"}, folder="/elsewhere")


def test_a_folder_without_a_data_set_is_refused_before_anything_starts(tmp_path: Path) -> None:
    config: TrialConfig = resolve({"retrieve.others": str(tmp_path)})
    with pytest.raises(ValueError, match=r"retrieve.others: .* holds no prepared data set"):
        gallery_fingerprint(config)


def test_all_systems_are_asked_about_the_same_clips(world: dict[str, Folder], tmp_path: Path) -> None:
    truth = clips_of(world)[HELD_OUT]
    few = {"generator__validation_clips": 0, "generator__test_clips": 5}
    result, stored = retrieved(world, tmp_path / "few", truth, **few)
    assert stored["index"].tolist() == list(range(48, 53)), "also of a system that made videos of all held-out clips"
    assert len(stored["test_rank_small"]) == 5
    assert "top1" not in result.metrics
    with pytest.raises(ValueError, match=r"1 of 2 clips have no video \(the first is number 9\)"):
        retrieve.rows_of(np.array([7, 8]), torch.tensor([8, 9]))
