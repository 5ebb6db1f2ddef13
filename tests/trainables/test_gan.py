"""f-CVGAN-like: two optimisers in one loop, what each may change, and that it learns what fMRI says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.trainables.pixel_world import FRAMES, SIDE, SPLIT, VOXELS, PixelWorld, StopError, identified, stop_after
from trainables.config.gan import GanConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context
from trainables.loop import Job, train
from trainables.metrics.diversity import diversity
from trainables.networks.gan import Gan, VideoShape
from trainables.networks.spectral import SpectralNorm, iterate
from trainables.stages.gan import GanLearner
from trainables.stages.pixel_rows import read_pixel_rows

TRAIN = {"epochs": 2, "batch_size": 32, "device": "cpu"}


def settings(**fields: Any) -> TrialConfig:
    train = {**TRAIN, **fields.pop("train", {})}
    return resolve({"gan": {"resolution": SIDE, "base": 2, "embedding": 16, "noise": 8, **fields, "train": train}})


def tiny(**fields: Any) -> Gan:
    torch.manual_seed(0)
    config = GanConfig(resolution=SIDE, base=2, embedding=16, noise=8, **fields)
    return Gan(config, voxels=VOXELS, shape=VideoShape(FRAMES, SIDE))


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(5, VOXELS), torch.randn(5, 8), torch.arange(5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PixelWorld:
    return PixelWorld(tmp_path_factory.mktemp("gan"))


def test_spectral_norm_divides_by_the_largest_singular_value_and_changes_nothing_in_a_forward_pass() -> None:
    weight = torch.randn(12, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    norm = SpectralNorm(weight)
    for _ in range(200):
        norm.iterate(weight)
    assert torch.linalg.matrix_norm(norm(weight).flatten(1), 2).item() == pytest.approx(1.0, abs=1e-4)
    gan, (fmri, noise, frame) = tiny(), batch()
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    gan.train()(fmri, noise, frame)
    assert all(torch.equal(before[name], value) for name, value in gan.state_dict().items())
    iterate(gan.generator)
    assert all(torch.equal(before[name], value) for name, value in gan.state_dict().items()), "it is not normalised"


def test_shapes_and_what_each_discriminator_sees() -> None:
    gan, (fmri, noise, frame) = tiny(), batch()
    video, scores = gan(fmri, noise, frame)
    assert video.shape == (5, 3, FRAMES, SIDE, SIDE)
    assert video.abs().max() <= 1.0
    assert scores.shape == (5, 2)
    other = video.clone()
    other[:, :, 7] = 0.0  # frame 7 is that of no row
    changed = gan.scores(other, fmri, frame)
    assert torch.equal(changed[:, 0], scores[:, 0]), "the image discriminator sees one frame"
    assert not torch.allclose(changed[:, 1], scores[:, 1])
    assert not torch.allclose(gan.scores(video, -fmri, frame), scores)
    blind = tiny(condition_discriminators=False)
    assert torch.equal(blind.scores(video, fmri, frame), blind.scores(video, -fmri, frame))
    assert gan.judge(video, fmri, noise, frame).shape == (5, 2, 2)
    assert [*tiny(image=0.0).discriminators] == ["video"]
    assert tiny(image=0.0, video=0.0)(fmri, noise, frame)[1].shape == (5, 0)


def learner_of(world: PixelWorld, config: TrialConfig) -> tuple[GanLearner, Job]:
    context = Context(world.folder, world.checkpoints())
    rows = read_pixel_rows(
        stage_task(world, config, context), side=config.gan.resolution, device=torch.device("cpu"), trained_on="train"
    )
    job = Job("gan", 0, config.gan.train, width=8, monitor="l1", goal="min", context=context)
    return GanLearner(config.gan, rows, job), job


def stage_task(world: PixelWorld, config: TrialConfig, context: Context) -> Any:
    from trainables.context import StageTask

    return StageTask(config, 0, world.inputs, context)


@pytest.mark.parametrize(("still", "moves"), [("generator", "discriminators"), ("discriminators", "generator")])
def test_each_optimiser_changes_its_own_networks_alone(world: PixelWorld, still: str, moves: str) -> None:
    """With a learning rate of almost 0 for one, only the other moves, although each has gradients of both losses."""
    tiny_rate = {"train": {"epochs": 1, "lr": 1e-30}} if still == "generator" else {"discriminator_lr": 1e-30}
    learner, job = learner_of(world, settings(**tiny_rate))
    before = {name: value.clone() for name, value in learner.model.named_parameters()}
    train(learner, job, learner.opponents())
    changed = {name.split(".")[0] for name, p in learner.model.named_parameters() if not torch.equal(before[name], p)}
    assert changed == {moves}
    assert all(p.requires_grad for p in learner.model.parameters())


@pytest.mark.parametrize("interrupted_at", [1, 2])
def test_a_resumed_training_is_the_same_to_the_bit(world: PixelWorld, interrupted_at: int) -> None:
    config = settings(train={"epochs": 3, "checkpoint_share": 1.0})
    whole, videos = world.run("gan", config)
    shared = world.checkpoints()
    with pytest.raises(StopError):
        world.run("gan", config, report=stop_after(interrupted_at), checkpoints=shared)
    latest = shared.latest()
    assert latest is not None
    with safe_open(latest[1] / "optimizer_discriminators.safetensors", framework="pt") as file:
        assert len([*file.keys()]) > 0
    torch.manual_seed(999)
    resumed, again = world.run("gan", config, checkpoints=shared)
    assert resumed.history == whole.history
    assert np.array_equal(again["videos"], videos["videos"])


def test_parts_of_a_batch_give_the_same(world: PixelWorld) -> None:
    config = settings(train={"epochs": 1})
    whole, _ = world.run("gan", config)
    parts, _ = world.run("gan", settings(train={"epochs": 1, "micro_batch": 7}))
    for name, value in whole.history[0].items():
        assert parts.history[0][name] == pytest.approx(value, rel=1e-4), name


def test_it_decodes_every_held_out_clip_and_says_how_alike_they_are(world: PixelWorld) -> None:
    result, videos = world.run("gan", settings())
    held_out = [number for number, split in enumerate(SPLIT) if split != "train"]
    assert videos["index"].tolist() == held_out
    assert videos["videos"].shape == (len(held_out), FRAMES, SIDE, SIDE, 3)
    own = videos["videos"][:12].astype(float)
    true = world.clips[world.rows("validation")]
    assert result.metrics["l1"] == pytest.approx(np.abs(own - true).mean() / 255.0, rel=1e-6)
    mean = world.clips[world.rows("train")].mean(axis=0).round()
    assert result.metrics["test_l1_mean"] == pytest.approx(
        np.abs(mean - world.clips[world.rows("test")]).mean() / 255.0, rel=1e-3
    )
    assert result.metrics["diversity_truth"] == pytest.approx(diversity(true))
    assert {"loss", "loss_discriminators", "test_l1", "test_diversity"} < result.metrics.keys()
    alone, _ = world.run("gan", settings(image=0.0, video=0.0, train={"epochs": 1}))
    assert "loss_discriminators" not in alone.metrics


def test_diversity_of_equal_and_of_opposite_videos() -> None:
    noise = np.random.default_rng(0).integers(256, size=(2, 16, 16, 3), dtype=np.uint8)
    assert diversity(np.stack([noise, noise, noise])) == pytest.approx(0.0)
    assert diversity(np.stack([noise, 255 - noise])) > 1.5
    assert diversity(noise[None]) == 0.0


@pytest.mark.long
def test_it_learns_from_fmri_and_from_nothing_else(world: PixelWorld, tmp_path: Path) -> None:
    config = settings(base=8, l1=100.0, train={"epochs": 40, "lr": 2e-3})
    result, videos = world.run("gan", config)
    losses = [epoch["l1"] for epoch in result.history]
    assert min(losses) < 0.75 * losses[0]
    assert result.metrics["test_l1"] < result.metrics["test_l1_mean"]
    truth = world.clips[world.rows("test")]
    assert identified(videos["videos"][12:], truth) > 0.72, "chance is 0.5, three standard deviations are 0.22"
    shuffled = world.fmri[np.random.default_rng(0).permutation(len(SPLIT))]
    _, guessed = PixelWorld(tmp_path, fmri=shuffled).run("gan", config)
    assert abs(identified(guessed["videos"][12:], truth) - 0.5) < 0.22


def test_bad_input_is_refused_in_words(world: PixelWorld) -> None:
    with pytest.raises(ValueError, match="at least one must be above 0"):
        settings(l1=0.0, image=0.0, video=0.0)
    with pytest.raises(ValueError, match="multiple of 8, but the clips have 6"):
        VideoShape(6, 64).first_map()
    with pytest.raises(ValueError, match="multiple of 16"):
        settings(resolution=40)
