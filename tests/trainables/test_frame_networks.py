"""The autoencoder of han_like and the trained inverse of wen2018: frames return, and test clips teach nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainables.pixel_world import SIDE, SPLIT, PixelWorld, StopError, stop_after
from trainables.config.frame_networks import AutoencoderConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.base import digest_of
from trainables.networks.autoencoder import Autoencoder
from trainables.networks.map_inverse import Convolution
from trainables.networks.trained_inverse import TrainedInverse

TRAIN = {"epochs": 2, "batch_size": 32, "device": "cpu", "warmup_steps": 2}
STAGES = ("autoencoder", "map_inverse")
HELD_OUT = [number for number, split in enumerate(SPLIT) if split != "train"]


def settings(*, system: str = "wen2018", **changed: Any) -> TrialConfig:
    sections = {
        "system": system,
        "layers.frames": "middle",
        "autoencoder": {"resolution": SIDE, "base": 4, "latent": 16, "train": TRAIN},
        "map_inverse": {"channels": 8, "train": TRAIN},
    }
    return resolve({**sections, **{name.replace("__", "."): value for name, value in changed.items()}})


def world_in(folder: Path, clips: np.ndarray[Any, Any] | None = None) -> PixelWorld:
    """Return the world, with `data`, with maps of the phantom's network, and if given with these clips."""
    found = PixelWorld(folder)
    if clips is not None:
        shown = found.inputs["clips"].json("clips.json")
        shown["digests"] = [digest_of(clip) for clip in clips]
        found.clips = clips
        found.add("clips", {"clips.safetensors": {"clips": clips}, "clips.json": shown})
    found.add("data", {"data.json": {"split": list(found.split)}})
    found.run("layers", settings())
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PixelWorld:
    return world_in(tmp_path_factory.mktemp("frames"))


def weights(world: PixelWorld, stage: str) -> dict[str, torch.Tensor]:
    return load_file(world.inputs[stage].path("model.safetensors"))


def psnr(frames: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    errors = ((frames.astype(np.float64) - truth) ** 2).reshape(len(frames), -1).mean(axis=1)
    return float((10 * np.log10(255**2 / errors)).mean())


@pytest.mark.parametrize("stage", STAGES)
def test_a_resumed_training_is_the_same_to_the_bit(world: PixelWorld, stage: str) -> None:
    training: dict[str, Any] = {f"{stage}.train": {**TRAIN, "epochs": 3, "checkpoint_share": 1.0}}
    config = settings(**training)
    whole, _ = world.run(stage, config)
    expected, shared = weights(world, stage), world.checkpoints()
    with pytest.raises(StopError):
        world.run(stage, config, report=stop_after(2), checkpoints=shared)
    torch.manual_seed(999)
    resumed, _ = world.run(stage, config, checkpoints=shared)
    assert resumed.history == whole.history
    assert resumed.metrics == whole.metrics
    found = weights(world, stage)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    other, _ = world.run(stage, config, seed=1)
    assert other.history != whole.history


def test_test_clips_teach_nothing(world: PixelWorld, tmp_path: Path) -> None:
    changed = world.clips.copy()
    changed[world.rows("test")] = 255 - changed[world.rows("test")]
    other = world_in(tmp_path, clips=changed)
    for stage in STAGES:
        results = [each.run(stage, settings())[0] for each in (world, other)]
        first, second = (weights(each, stage) for each in (world, other))
        assert all(torch.equal(first[name], tensor) for name, tensor in second.items()), stage
        assert results[0].metrics["mse"] == results[1].metrics["mse"]
        assert results[0].metrics["test_mse"] != results[1].metrics["test_mse"]


def test_each_systems_videos_come_from_its_own_network(world: PixelWorld) -> None:
    world.run("autoencoder", settings())
    result, videos = world.run("han", settings(system="han_like", han__vae="global"))
    assert videos["index"].tolist() == HELD_OUT
    assert videos["videos"].shape == videos["ceiling"].shape == (len(HELD_OUT), 1, SIDE, SIDE, 3)
    assert {"latent_r2", "test_latent_r2"} <= result.metrics.keys()
    world.run("map_inverse", settings())
    _, drawn = world.run("wen", settings(wen__inverse="trained"))
    assert drawn["videos"].shape == (len(HELD_OUT), 1, SIDE, SIDE, 3)
    assert not np.array_equal(drawn["ceiling"], videos["ceiling"])


def test_one_frame_or_the_mean_latent_of_all(world: PixelWorld) -> None:
    world.run("autoencoder", settings())
    first, mean = (
        world.run("han", settings(system="han_like", han__vae="global", han__frame=frame))[1]["ceiling"]
        for frame in ("first", "mean")
    )
    assert not np.array_equal(first, mean)


@pytest.mark.long
def test_true_maps_return_as_the_frame_above_20_db(world: PixelWorld) -> None:
    train = {**TRAIN, "epochs": 25, "batch_size": 8, "lr": 3e-3}
    result, _ = world.run("map_inverse", settings(map_inverse__train=train, map_inverse__channels=16))
    assert -10 * np.log10(result.metrics["test_mse"]) > 20
    assert result.metrics["test_mse"] < 0.5 * result.metrics["test_mse_mean"]
    _, videos = world.run("wen", settings(wen__inverse="trained"))
    assert psnr(videos["ceiling"][:, 0], world.clips[HELD_OUT][:, 4]) > 20


@pytest.mark.long
def test_latents_return_as_the_frame(world: PixelWorld) -> None:
    """With 96 clips a latent without places returns training frames, and others better than the mean frame does."""
    train = {**TRAIN, "epochs": 80, "batch_size": 16, "lr": 3e-3}
    config = settings(autoencoder__train=train, autoencoder__base=8, autoencoder__latent=64)
    result, _ = world.run("autoencoder", config)
    assert result.metrics["test_mse"] < 0.8 * result.metrics["test_mse_mean"]
    han, videos = world.run("han", settings(system="han_like", han__vae="global"))
    truth = world.clips[HELD_OUT][:, 0]
    mean = world.clips[world.rows("train")].mean(axis=(0, 1))
    assert psnr(videos["ceiling"][:, 0], truth) > psnr(np.broadcast_to(mean, truth.shape), truth) + 1
    assert han.metrics["test_latent_r2"] > 0.1


def test_a_frame_changes_no_other_row() -> None:
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(resolution=32, base=4, latent=8))
    frames, noise = torch.rand(6, 3, 32, 32), torch.randn(6, 8)
    network.calibrate(frames)
    drawn, divergence = network(frames, noise)
    assert drawn.shape == frames.shape
    assert (divergence >= 0).all()
    alone, _ = network(frames[2:3], noise[2:3])
    assert torch.allclose(alone[0], drawn[2], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "side"), [(11, 4, 0, 64), (11, 4, 2, 224), (3, 1, 1, 32), (8, 8, 0, 64)]
)
def test_what_a_place_draws_lies_around_the_centre_of_its_filter(
    size: int, stride: int, padding: int, side: int
) -> None:
    torch.manual_seed(0)
    convolution = Convolution(torch.rand(4, 3, size, size), stride, padding, side, 0.01)
    network = TrainedInverse(convolution, 8)
    places = (side + 2 * padding - size) // stride + 1
    maps = torch.zeros(1, 4, places, places)
    row, column = places // 2, places // 3
    maps[0, :, row, column] = 50.0
    with torch.no_grad():
        change = (network(maps) - network(torch.zeros_like(maps))).abs().sum(dim=(0, 1))
    assert change.shape == (side, side)
    found = [float((change.sum(dim=1 - axis) * torch.arange(side)).sum() / change.sum()) for axis in (0, 1)]
    for centre, place in zip(found, (row, column), strict=True):
        assert abs(centre - (place * stride - padding + (size - 1) / 2)) < stride / 2 + 0.5
