"""Fields of training that the released code or the paper decides otherwise: mind-animator.md B03, B11, B12, B56."""

from pathlib import Path

import pytest
import torch

from storage.checkpoints import Checkpoints
from storage.memory import MemoryStore
from tests.trainables.test_decoder_stages import World, tiny
from trainables.config.decoders import SparsifyConfig, TrainConfig
from trainables.context import Context, StageTask
from trainables.loop import Job
from trainables.stages.decoding import DecoderLearner, SplitRows, read_rows, untrained


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, Checkpoints(MemoryStore(), "toy-0", cache=tmp_path / "cache"), lambda epoch, metrics: None)


def job_of(context: Context, config: TrainConfig) -> Job:
    return Job("structure", 0, config, width=1, monitor="latent_mse", goal="min", context=context)


def test_rows_are_sparsified_once_more_before_the_first_epoch(context: Context) -> None:
    """Shares of values that survive: 0.8 to the power of epochs + 2 (mind-animator.md B01, B03)."""
    released = SparsifyConfig(voxel_fraction=0.4, unit="entries", refresh="epoch", cumulative=True, initial=True)
    fmri = torch.ones(2000, 100)
    rows = {name: SplitRows(torch.arange(2000), fmri, {}) for name in ("train", "validation")}
    job = job_of(context, TrainConfig())
    learner = DecoderLearner(torch.nn.Identity(), rows, released, job)
    shares = []
    for epoch in range(1, 32):
        streams = job.streams(epoch)
        learner.begin_epoch(streams)
        shares.append(learner.fmri(torch.arange(2000), streams).mean().item())
    assert [shares[0], shares[10]] == pytest.approx([0.640, 0.069], abs=0.003)
    assert shares[30] == pytest.approx(0.0008, abs=0.0002)
    assert learner.watched.fmri.mean() == 1.0


def test_training_on_validation_clips_adds_their_rows_and_no_distractor(world: World, context: Context) -> None:
    last = {"semantic__train__keep": "last"}
    config = tiny(semantic__train__rows="train_and_validation", **last)
    task, cpu = StageTask(config=config, seed=0, inputs=world.inputs, context=context), torch.device("cpu")
    plain = read_rows(task, ("latents",), device=cpu)
    both = read_rows(task, ("latents",), device=cpu, trained_on="train_and_validation")
    assert torch.equal(both["train"].index, torch.cat((plain["train"].index, plain["validation"].index)))
    assert torch.equal(both["validation"].index, plain["validation"].index)
    more, _ = world.run("semantic", config)
    less, _ = world.run("semantic", tiny(**last))
    chances = {name: value for name, value in less.metrics.items() if "chance" in name}
    assert chances == {name: more.metrics[name] for name in chances}
    assert more.metrics["align_mse"] != less.metrics["align_mse"]


def test_the_results_are_those_of_the_last_epoch_if_it_is_kept(world: World) -> None:
    result, _ = world.run("structure", tiny(structure__train__keep="last"))
    assert result.metrics["latent_mse"] == result.history[-1]["latent_mse"]
    assert result.metrics["loss"] == result.history[-1]["loss"]


def test_xavier_weights_are_those_of_torchs_function(context: Context) -> None:
    layer = untrained(job_of(context, TrainConfig(init="xavier")), lambda: torch.nn.Linear(500, 100))
    bound, weight = (6 / 600) ** 0.5, next(layer.parameters()).detach()
    assert 0.99 * bound < weight.abs().max() <= bound
    assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.01)


@pytest.mark.parametrize("stage", ["semantic", "structure", "motion"])
def test_the_solution_of_a_ridge_decoder_is_not_replaced_by_initial_weights(stage: str, world: World) -> None:
    ridge = {f"{stage}__kind": "ridge"}
    world.run("structure", tiny())
    plain, _ = world.run(stage, tiny(**ridge))
    xavier, _ = world.run(stage, tiny(**ridge, **{f"{stage}__train__init": "xavier"}))
    assert xavier.metrics == plain.metrics
