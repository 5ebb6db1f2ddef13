"""han_like and wen2018 on a small phantom: linear models find the clip, and true features return as frames."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import Ridge

from storage.runs import Artifacts, Checkpoints
from tests.trainables.dataset_tools import Folder, run_data, run_stage
from trainables.backbones.load import load_vae
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, StageResult, StageTask
from trainables.networks.map_inverse import Convolution, LocalInverse, TransposedInverse
from trainables.stages import han, layers, voxels, wen

DATA = {"train_clips": 120, "validation_clips": 10, "test_clips": 20, "block_clips": 2, "subjects": 1, "voxels": 200}
HELD_OUT = slice(120, 150)
COUNT = 30


def config_of(**changed: Any) -> TrialConfig:
    return resolve({"dataset": DATA, **{name.replace("__", "."): value for name, value in changed.items()}})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    folder, config = tmp_path_factory.mktemp("world"), config_of()
    made = run_data(config, folder)
    made["voxels"] = run_stage(voxels.run, config, folder / "voxels", made)
    made["layers"] = run_stage(
        layers.run, config_of(system="wen2018", layers__frames="middle"), folder / "layers", made
    )
    frames = load_file(made["clips"].path("clips.safetensors"))["clips"][:, :1]
    vae = load_vae("phantom")
    with torch.no_grad():
        latents = torch.cat([vae.encode(some[:, 0].movedim(-1, 1) / 127.5 - 1) for some in torch.split(frames, 50)])
    (folder / "features").mkdir()
    save_file({"latents": latents[:, None]}, folder / "features/features.safetensors")
    made["features"] = Folder(folder / "features")
    return made


def made_by(function: Any, config: TrialConfig, world: dict[str, Folder], output: Path) -> tuple[StageResult, Any]:
    output.mkdir(parents=True)
    task = StageTask(config, 0, cast(dict[str, Artifacts], world), Context(output, cast(Checkpoints, None)))
    result = function(task)
    return result, load_file(output / "videos.safetensors")


def psnr(videos: torch.Tensor, truth: torch.Tensor) -> float:
    errors = (videos.float() - truth.float()).square().flatten(1).mean(dim=1)
    return float((10 * torch.log10(255**2 / errors)).mean())


def test_latents_are_predicted_and_true_ones_return_as_the_frame(world: dict[str, Folder], tmp_path: Path) -> None:
    result, videos = made_by(han.run, config_of(system="han_like"), world, tmp_path / "out")
    clips = load_file(world["clips"].path("clips.safetensors"))["clips"][HELD_OUT]
    assert videos["index"].tolist() == list(range(120, 150))
    assert videos["videos"].shape == (COUNT, 1, 64, 64, 3)
    assert psnr(videos["ceiling"][:, 0], clips[:, 0]) > 20
    assert 0.2 < result.metrics["test_latent_r2"] < 1
    random = clips[torch.randperm(COUNT, generator=torch.Generator().manual_seed(0)), 0]
    assert psnr(videos["videos"][:, 0], clips[:, 0]) > psnr(random, clips[:, 0]) + 2


def test_pixels_are_those_of_scikit_learns_ridge(world: dict[str, Folder], tmp_path: Path) -> None:
    config = config_of(system="han_like", han__target="pixels", han__frame="mean", han__alphas=[100.0])
    result, videos = made_by(han.run, config, world, tmp_path / "out")
    fmri = load_file(world["voxels"].path("voxels.safetensors"))["fmri"].numpy()
    split = np.array(world["voxels"].json("voxels.json")["split"])
    clips = load_file(world["clips"].path("clips.safetensors"))["clips"]
    mean = clips.double().mean(dim=1).flatten(1).numpy()
    ridge = Ridge(alpha=100.0).fit(fmri[split == "train"], mean[split == "train"])
    wanted = ridge.predict(fmri[HELD_OUT]).round().clip(0, 255).reshape(COUNT, 64, 64, 3)
    assert np.abs(videos["videos"][:, 0].numpy().astype(float) - wanted).max() <= 1
    assert (videos["ceiling"][:, 0].float() - clips[HELD_OUT].float().mean(dim=1)).abs().max() <= 0.51
    assert result.info["penalty"] == "100"


def test_restored_spread_is_that_of_training_clips(world: dict[str, Folder], tmp_path: Path) -> None:
    plain = made_by(han.run, config_of(system="han_like", han__target="pixels"), world, tmp_path / "a")[1]["videos"]
    config = config_of(system="han_like", han__target="pixels", han__spread="restored")
    restored = made_by(han.run, config, world, tmp_path / "b")[1]["videos"]
    assert restored.float().std(dim=0).mean() > 1.1 * plain.float().std(dim=0).mean()


@pytest.fixture(scope="module")
def of_wen(world: dict[str, Folder], tmp_path_factory: pytest.TempPathFactory) -> tuple[StageResult, Any]:
    return made_by(
        wen.run, config_of(system="wen2018", layers__frames="middle"), world, tmp_path_factory.mktemp("wen") / "out"
    )


def test_categories_are_decoded_above_chance(of_wen: tuple[StageResult, Any]) -> None:
    metrics = of_wen[0].metrics
    top1 = (10 * metrics["category_top1"] + 20 * metrics["test_category_top1"]) / 30
    assert top1 > 4 / 32, "four times chance, with 120 training clips"
    assert metrics["test_category_top5"] >= metrics["test_category_top1"]
    assert metrics["test_map_r"] > 0.2


@pytest.mark.parametrize(
    ("inverse", "least"), [("transposed", 17.0), pytest.param("local", 20.0, marks=pytest.mark.long)]
)
def test_true_maps_return_as_the_frame(world: dict[str, Folder], tmp_path: Path, inverse: str, least: float) -> None:
    _, videos = made_by(
        wen.run, config_of(system="wen2018", layers__frames="middle", wen__inverse=inverse), world, tmp_path / "out"
    )
    clips = load_file(world["clips"].path("clips.safetensors"))["clips"][HELD_OUT][:, 4].float()
    assert videos["videos"].shape == (COUNT, 1, 64, 64, 3)
    assert psnr(videos["ceiling"][:, 0], clips) > least


@pytest.mark.parametrize(("kind", "share"), [(TransposedInverse, 0.85), (LocalInverse, 0.5)])
@pytest.mark.parametrize(("size", "stride", "padding"), [(11, 4, 0), (11, 4, 2), (3, 1, 1)])
def test_an_inverse_of_a_linear_layer_finds_smooth_frames(
    kind: Any, share: float, size: int, stride: int, padding: int
) -> None:
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(40, 3, 5, 5, generator=rng)
    frames = torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic")
    filters = torch.randn(24, 3, size, size, generator=rng) / size
    maps = torch.nn.functional.conv2d(frames, filters, stride=stride, padding=padding)
    convolution = Convolution(filters, stride, padding, 32, None)
    found = kind(convolution, maps[:30], frames[:30])(maps[30:])
    assert found.shape == (10, 3, 32, 32)
    assert (found - frames[30:]).square().mean() < share * frames[30:].square().mean()


@pytest.mark.parametrize(
    ("frames", "channels", "message"),
    [
        (2, 3, r"predicts one frame per clip, but layers.frames is all; use mean or middle"),
        (1, 5, r"layers.layer: wen2018 inverts the first convolution, .* but conv2 has 5; use conv1"),
    ],
)
def test_layers_that_cannot_be_inverted_are_refused(
    world: dict[str, Folder], tmp_path: Path, frames: int, channels: int, message: str
) -> None:
    (tmp_path / "layers").mkdir()
    save_file({"maps": torch.zeros(150, frames, 4, 2, 2)}, tmp_path / "layers/layers.safetensors")
    save_file({"filters": torch.zeros(4, channels, 3, 3)}, tmp_path / "layers/network.safetensors")
    (tmp_path / "layers/layers.json").write_text(
        '{"layer": "conv2", "stride": 1, "padding": 0, "side": 64, "log": null}'
    )
    with pytest.raises(ValueError, match=message):
        made_by(
            wen.run, config_of(system="wen2018"), {**world, "layers": Folder(tmp_path / "layers")}, tmp_path / "out"
        )
