"""nishimoto2011 on a small phantom: planted weights return, clips are identified, no held-out clip in the library."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from storage.runs import Artifacts, Checkpoints
from tests.trainables.dataset_tools import Folder, run_data, run_stage
from trainables.config.nishimoto import NishimotoConfig
from trainables.config.trial import resolve
from trainables.context import Context, StageResult, StageTask
from trainables.metrics.correlation import column_correlation
from trainables.ridge import RidgeSolver
from trainables.stages import encode, energy, nishimoto, voxels
from trainables.stages.decoding import split_index
from trainables.stages.nishimoto import Answers, Best, identified, precision_of

CONFIG = resolve(
    {
        "dataset": {"train_clips": 400, "validation_clips": 40, "test_clips": 60, "block_clips": 4, "subjects": 1},
        "dataset.resolution": 32,
        "dataset.voxels": 400,
        "energy.resolution": 32,
        "energy.spatial_frequencies": [0, 2, 4, 8],
        "nishimoto.voxels": 250,
        "system": "nishimoto2011",
    }
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    folder = tmp_path_factory.mktemp("world")
    made = run_data(CONFIG, folder)
    for name, function in (("voxels", voxels.run), ("energy", energy.run), ("encode", encode.run)):
        made[name] = run_stage(function, CONFIG, folder / name, made)
    return made


def task_of(world: dict[str, Folder], output: Path, **changed: object) -> StageTask:
    settings = CONFIG.nishimoto.model_copy(update=changed)
    config = CONFIG.model_copy(update={"nishimoto": settings})
    output.mkdir(parents=True, exist_ok=True)
    return StageTask(config, 0, cast(dict[str, Artifacts], world), Context(output, cast(Checkpoints, None)))


def reconstructed(
    world: dict[str, Folder], output: Path, **changed: object
) -> tuple[StageResult, dict[str, np.ndarray]]:
    result = nishimoto.run(task_of(world, output, **changed))
    return result, load_file(output / "videos.safetensors")


def test_an_encoding_model_finds_the_areas_of_motion(world: dict[str, Folder]) -> None:
    regions = world["encode"].json("regions.json")["test"]
    assert regions["MT"] > 0.6
    assert regions["MT"] > regions["V1"] > 0.2


def test_planted_weights_are_recovered() -> None:
    rng = torch.Generator().manual_seed(0)
    inputs, planted = torch.randn(400, 30, generator=rng), torch.randn(8, 30, generator=rng)
    answers = inputs @ planted.T + 0.1 * torch.randn(400, 8, generator=rng)
    penalty = torch.full((8,), 1e-3, dtype=torch.float64)
    solution = RidgeSolver.of(inputs).with_penalties(answers, penalty)
    assert (solution.weight - planted).abs().max() < 0.05
    predicted = encode._cross_fitted(inputs, answers, penalty, folds=5)
    assert column_correlation(predicted, answers).min() > 0.99
    changed = answers.clone()
    changed[:80] = 7.0  # the first fold's own answers
    unseen = encode._cross_fitted(inputs, changed, penalty, folds=5)
    torch.testing.assert_close(unseen[:80], predicted[:80])


def test_correlation_is_that_of_numpy_and_0_where_it_is_undefined() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 20, 3)))
    rows[0, :, 2] = 1.0
    found = column_correlation(rows[0], rows[1])
    wanted = [np.corrcoef(rows[0, :, voxel], rows[1, :, voxel])[0, 1] for voxel in (0, 1)]
    np.testing.assert_allclose(found.numpy(), [*wanted, 0.0], atol=1e-6)


def test_the_right_clip_is_identified_and_shuffled_fmri_is_at_chance(world: dict[str, Folder], tmp_path: Path) -> None:
    result, _ = reconstructed(world, tmp_path / "out")
    assert result.metrics["test_identification_top1"] > 0.9
    assert result.metrics["test_median_rank"] <= 2
    task = task_of(world, tmp_path / "again")
    members = split_index(task)
    answers = Answers.read(task, task.config.nishimoto, members["train"])
    asked = answers.measured[members["test"]]
    tops, ranks = zip(
        *(
            identified(
                answers,
                asked[torch.randperm(60, generator=torch.Generator().manual_seed(seed))],
                members["test"],
                members["train"],
            )
            for seed in range(20)
        ),
        strict=True,
    )
    assert np.mean(tops) == pytest.approx(1 / 60, abs=0.015)  # 1,200 draws of 1/60: standard error 0.004
    assert np.mean(ranks) == pytest.approx(201, abs=60)


def test_one_clip_is_a_clip_of_the_library_and_several_are_their_mean(world: dict[str, Folder], tmp_path: Path) -> None:
    stored = load_file(world["clips"].path("clips.safetensors"))["clips"]
    split = world["voxels"].json("voxels.json")["split"]
    _, one = reconstructed(world, tmp_path / "one")
    chosen = json.loads((tmp_path / "one" / "chosen.json").read_text())
    for video, clip in zip(one["videos"], one["index"], strict=True):
        (number,) = chosen[str(clip)]["clips"]
        assert split[number] == "train"
        np.testing.assert_array_equal(video, stored[number])
    _, three = reconstructed(world, tmp_path / "three", top=3)
    several = json.loads((tmp_path / "three" / "chosen.json").read_text())[str(one["index"][0])]
    assert several["clips"][0] == chosen[str(one["index"][0])]["clips"][0]
    assert several["log_posterior"] == sorted(several["log_posterior"], reverse=True)
    np.testing.assert_allclose(three["videos"][0], stored[several["clips"]].mean(axis=0).round(), atol=1)


def test_a_held_out_clip_is_never_in_the_library(world: dict[str, Folder], tmp_path: Path) -> None:
    split = world["voxels"].json("voxels.json")["split"]
    leaked = tmp_path / "clips"
    leaked.mkdir()
    described = world["clips"].json("clips.json")
    test, train = split.index("test"), split.index("train")
    described["digests"][train] = described["digests"][test]
    (leaked / "clips.json").write_text(json.dumps(described))
    (leaked / "clips.safetensors").symlink_to(world["clips"].path("clips.safetensors"))
    result, _ = reconstructed({**world, "clips": Folder(leaked)}, tmp_path / "second")
    assert result.info["library"] == f"{split.count('train') - 1} training clips"
    chosen = json.loads((tmp_path / "second" / "chosen.json").read_text())
    assert train not in {number for answer in chosen.values() for number in answer["clips"]}


def test_a_share_of_the_library_is_spread_over_it() -> None:
    library = torch.arange(0, 200, 2)
    assert nishimoto._share(library, 1.0).tolist() == library.tolist()
    assert nishimoto._share(library, 0.001).tolist() == [0]
    half = nishimoto._share(library, 0.5)
    assert (len(half), int(half[0]), int(half[-1])) == (50, 0, 198)
    assert half.diff().min() >= 2


def test_the_posterior_is_that_of_a_normal_distribution() -> None:
    rng = torch.Generator().manual_seed(0)
    predicted, asked = (torch.randn(rows, 4, generator=rng, dtype=torch.float64) for rows in (6, 2))
    errors = torch.randn(50, 4, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    for kind in ("ledoit_wolf", "diagonal", "identity"):
        precision = precision_of(errors, kind)
        answers = Answers(predicted, predicted, precision)
        library = torch.arange(6)
        normal = torch.distributions.MultivariateNormal(predicted[None], precision_matrix=precision)
        exact: torch.Tensor = normal.log_prob(asked[:, None])  # type: ignore[no-untyped-call]
        found = answers.log_posterior(asked, library)
        torch.testing.assert_close(found - found[:, :1], exact - exact[:, :1], atol=1e-6, rtol=1e-6)
        best = Best.of(found, library, NishimotoConfig(top=6, combine="posterior_weighted"))
        torch.testing.assert_close(best.weights, exact.softmax(dim=1).sort(dim=1, descending=True).values)


def test_too_few_clips_for_the_folds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"encode.folds is 5, but there are 4 training clips; use that many or fewer"):
        encode._cross_fitted(torch.zeros(4, 2), torch.zeros(4, 3), torch.ones(3, dtype=torch.float64), folds=5)
