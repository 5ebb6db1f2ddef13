"""Ridge regression in closed form: against scikit-learn, and as the three decoders."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from sklearn.linear_model import Ridge

from tests.trainables.test_decoder_stages import STAGES, TEST, TRAIN, VALIDATION, World, tiny
from tests.trainables.test_decoder_stages import world as world
from trainables import ridge
from trainables.config.trial import resolve
from trainables.graph import stage_runs, workers_of
from trainables.ridge import RidgeSolver
from trainables.saved import motion_network, semantic_network, structure_network

BUILDERS = {"semantic": semantic_network, "structure": structure_network, "motion": motion_network}
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


def problem(rows: int, voxels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return training and validation inputs and targets; the targets differ in their noise."""
    rng = np.random.default_rng([rows, voxels])
    weights, mean = rng.normal(size=(voxels, 5)), rng.normal(size=voxels)
    inputs = rng.normal(size=(rows + 20, voxels)) + mean
    noise = np.array([0.01, 1.0, 5.0, 20.0, 100.0]) * rng.normal(size=(rows + 20, 5))
    targets = inputs @ weights + noise + 3.0
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    return x[:rows], y[:rows], x[rows:], y[rows:]


def best(inputs: torch.Tensor, targets: torch.Tensor, asked: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """Return scikit-learn's penalty of each target with the smallest error on other rows."""
    errors = [
        ((Ridge(alpha=penalty).fit(inputs, targets).predict(asked) - truth.numpy()) ** 2).sum(axis=0)
        for penalty in PENALTIES
    ]
    return [PENALTIES[index] for index in np.argmin(errors, axis=0)]


@pytest.mark.parametrize(("rows", "voxels"), [(60, 12), (15, 40), (30, 30)])
@pytest.mark.parametrize("at_once", [2, 100])
def test_weights_are_those_of_scikit_learn(
    rows: int, voxels: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "TARGETS_AT_ONCE", at_once)
    inputs, targets, asked, truth = problem(rows, voxels)
    for penalty in (0.3, 300.0):
        solution, oracle = RidgeSolver.of(inputs).weights(targets, penalty=penalty), Ridge(alpha=penalty)
        oracle.fit(inputs, targets)
        np.testing.assert_allclose(solution.weight, oracle.coef_, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(solution.bias, oracle.intercept_, rtol=1e-5)
    chosen = RidgeSolver.of(inputs).chosen(targets, validation=(asked, truth), penalties=PENALTIES, per="target")
    assert chosen.penalty.tolist() == best(inputs, targets, asked, truth)
    oracle = Ridge(alpha=chosen.penalty.numpy()).fit(inputs, targets)
    np.testing.assert_allclose(chosen.weight, oracle.coef_, rtol=1e-5, atol=1e-8)


def test_one_penalty_for_all_has_the_smallest_error_over_all_targets() -> None:
    inputs, targets, asked, truth = problem(60, 12)
    chosen = RidgeSolver.of(inputs).chosen(targets, validation=(asked, truth), penalties=PENALTIES, per="all")
    predicted = [Ridge(alpha=penalty).fit(inputs, targets).predict(asked) for penalty in PENALTIES]
    errors = [float(((values - truth.numpy()) ** 2).sum()) for values in predicted]
    assert set(chosen.penalty.tolist()) == {PENALTIES[int(np.argmin(errors))]}


def test_single_precision_comes_back_in_single_precision() -> None:
    inputs, targets, _, _ = problem(60, 12)
    solution = RidgeSolver.of(inputs.float()).weights(targets.float(), penalty=1.0)
    assert solution.weight.dtype == solution.bias.dtype == torch.float32
    np.testing.assert_allclose(solution.weight, Ridge(alpha=1.0).fit(inputs, targets).coef_, rtol=1e-3, atol=1e-4)


def ridge_of(stages: Sequence[str] = STAGES, **overrides: object) -> dict[str, object]:
    return {**{f"{stage}__kind": "ridge" for stage in stages}, **overrides}


def test_each_decoder_is_solved_from_training_clips_alone(world: World) -> None:
    config, truth = tiny(**ridge_of()), world.truth
    fmri, latents = truth["fmri"], truth["latents"]
    targets = {
        "semantic": 0.5 * truth["clip_text"] + 0.5 * truth["clip_image"],
        "structure": latents[:, 0],
        "motion": latents[:, 1:],
    }
    for stage, name, part in (
        ("semantic", "embedding", "embedding"),
        ("structure", "first_latent", "first"),
        ("motion", "latents", "later"),
    ):
        result, output = world.run(stage, config)
        assert result.history == ()
        penalty = float(result.info[f"penalty of {part}"])
        assert penalty in [float(f"{alpha:.4g}") for alpha in config.semantic.ridge.alphas]
        (exact,) = (alpha for alpha in config.semantic.ridge.alphas if f"{alpha:.4g}" == f"{penalty:.4g}")
        oracle = Ridge(alpha=exact).fit(fmri[TRAIN].double(), targets[stage][TRAIN].flatten(1).double())
        held_out = torch.cat((fmri[VALIDATION], fmri[TEST])).double()
        decoded = load_file(output / "predictions.safetensors")[name]
        own = decoded[:, 1:] if stage == "motion" else decoded
        np.testing.assert_allclose(own.flatten(1), oracle.predict(held_out), atol=1e-5)


def test_ridge_beats_its_controls_and_has_the_metrics_of_the_stage(world: World) -> None:
    trained = {stage: world.run(stage, tiny())[0].metrics for stage in STAGES}
    solved = {stage: world.run(stage, tiny(**ridge_of()))[0].metrics for stage in STAGES}
    for stage in STAGES:
        assert solved[stage].keys() == trained[stage].keys() - {"loss"}
    assert solved["semantic"]["test_projection_mse"] < 0.1 * solved["semantic"]["test_projection_mse_mean"]
    assert solved["structure"]["test_latent_mse"] < 0.1 * solved["structure"]["test_latent_mse_mean"]
    assert solved["motion"]["test_rollout_mse"] < 0.1 * solved["motion"]["test_rollout_mse_mean"]
    assert solved["motion"]["rollout_mse"] == solved["motion"]["teacher_forced_mse"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_network_is_built_again_from_its_config_and_shapes(world: World, stage: str) -> None:
    for name in STAGES:
        world.run(name, tiny(**ridge_of()))
    predictions = load_file(world.inputs[stage].path("predictions.safetensors"))
    shapes = {name: tuple(value.shape[1:]) for name, value in predictions.items() if name != "index"}
    fmri, latents = world.truth["fmri"][TEST], world.truth["latents"][TEST]
    network = BUILDERS[stage]({"kind": "ridge"}, fmri.shape[1], shapes)
    network.load_state_dict(load_file(world.inputs[stage].path("model.safetensors")))
    outputs = network(latents[:, 0], fmri) if stage == "motion" else network(fmri)
    decoded = outputs[:, 1:] if stage == "motion" else outputs[0] if stage == "semantic" else outputs
    stored = predictions[{"semantic": "embedding", "structure": "first_latent", "motion": "latents"}[stage]][-8:]
    assert torch.equal(decoded, stored[:, 1:] if stage == "motion" else stored)


def test_importance_of_a_linear_decoder_is_its_absolute_weight(world: World) -> None:
    voxels = {
        "fmri": world.truth["fmri"],
        "roi": torch.zeros(world.truth["fmri"].shape[1], dtype=torch.int16),
        "voxel": torch.arange(world.truth["fmri"].shape[1], dtype=torch.int32),
    }
    split = world.inputs["voxels"].json("voxels.json")["split"]
    world.add("voxels", {"voxels.safetensors": voxels, "voxels.json": {"split": split, "roi_names": ["all"]}})
    world.add("data", {"data.json": {"drives": []}})
    config = tiny(**ridge_of())
    for stage in STAGES:
        world.run(stage, config)
    result, output = world.run("importance", config)
    weight = load_file(world.inputs["structure"].path("model.safetensors"))["first.linear.weight"]
    maps = json.loads((output / "regions.json").read_text())["importance"]
    assert maps["structure"]["weight_product"] == pytest.approx([float(weight.abs().double().mean())])
    assert result.metrics["structure_shuffled_ratio"] > 1.5


def test_ridge_has_neither_seed_nor_workers() -> None:
    def identity(seed: int, **overrides: object) -> dict[str, str]:
        config = resolve({key.replace("__", "."): value for key, value in overrides.items()})
        return {run.stage: run.identity for run in stage_runs(config, seed=seed, targets=STAGES)}

    assert identity(0, **ridge_of()) == identity(1, **ridge_of())
    first, second = (identity(seed, **ridge_of(["semantic"])) for seed in (0, 1))
    assert first["semantic"] == second["semantic"]
    assert first["structure"] != second["structure"]
    config = resolve({"semantic.kind": "ridge", "semantic.train.workers": 4, "structure.train.workers": 4})
    assert (workers_of(config, "semantic"), workers_of(config, "structure")) == ((1, 1), (4, 4))


@pytest.mark.parametrize("stage", STAGES)
def test_patience_without_epochs_is_refused(stage: str) -> None:
    with pytest.raises(ValidationError, match=r"kind: ridge is solved without epochs, so train\.patience must be 0"):
        resolve({f"{stage}.kind": "ridge", f"{stage}.train.patience": 3})
