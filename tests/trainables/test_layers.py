"""Convolutional networks whose maps are read: the phantom's, and plain tensors of torchvision's or timm's names."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.golden.inputs import write_inputs
from tests.golden.results import NoCheckpoints
from trainables.backbones import layers_fingerprint
from trainables.backbones.architectures import ARCHITECTURES, Architecture, Convolution
from trainables.backbones.convolutional import ConvolutionalNetwork
from trainables.backbones.judges import IMAGE
from trainables.backbones.layers import load_layers, save_layers
from trainables.backbones.material import HELD_OUT, draw_clips
from trainables.backbones.sources import PHANTOM
from trainables.backbones.train_layers import train_layers
from trainables.config.trial import resolve
from trainables.context import Context, StageTask
from trainables.graph import stage_runs
from trainables.stages import layers

HALVES = (0.5, 0.5, 0.5)


def network(name: str = "phantom_cnn", *, classes: int = 4) -> ConvolutionalNetwork:
    torch.manual_seed(0)
    return ConvolutionalNetwork(ARCHITECTURES[name], classes=classes, side=64, mean=HALVES, std=HALVES)


def saved(folder: Path, *, name: str = "phantom_cnn", classes: int = 4) -> Path:
    save_layers(network(name, classes=classes), folder, architecture=name)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_the_shipped_network_is_small_and_names_held_out_frames() -> None:
    assert sum(file.stat().st_size for file in (PHANTOM / "layers").iterdir()) < 600_000
    shipped = load_layers("phantom")
    material = draw_clips(HELD_OUT, seed=1, count=200, frames=1)
    frames = torch.from_numpy(material.clips[:, 0]).permute(0, 3, 1, 2) / 255.0
    outputs = shipped(frames, ("conv1",))
    assert outputs.maps["conv1"].shape == (200, 32, 14, 14)
    assert outputs.penultimate.shape == (200, 128)
    named = outputs.scores.argmax(dim=1).numpy() == IMAGE.truth(material.factors)
    assert named.mean() > 0.9, "chance is 1/32"


def test_training_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        train_layers(tmp_path / name, seed=3, steps=2)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


def test_maps_are_those_of_the_layers_one_after_another() -> None:
    built = network()
    frames = torch.rand(2, 3, 64, 64)
    outputs = built(frames, ("conv2", "conv3"))
    tensors = built.state_dict()
    values = (frames - 0.5) / 0.5
    values = F.relu(F.conv2d(values, tensors["features.0.weight"], tensors["features.0.bias"], stride=4))
    values = F.relu(F.conv2d(values, tensors["features.2.weight"], tensors["features.2.bias"], padding=1))
    assert torch.equal(outputs.maps["conv2"], values)
    pooled = F.max_pool2d(values, 2)
    values = F.relu(F.conv2d(pooled, tensors["features.5.weight"], tensors["features.5.bias"], padding=1))
    assert torch.equal(outputs.maps["conv3"], values)
    assert torch.equal(built.maps(frames, ("conv2",))["conv2"], outputs.maps["conv2"])
    assert torch.equal(built.score_layer(outputs.penultimate), outputs.scores)


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg19"])
def test_tensors_have_torchvisions_names(name: str) -> None:
    with torch.device("meta"):  # 140 million parameters are not needed to see their names
        names = network(name, classes=1000).state_dict()
    first_linear, last_linear = (1, 6) if name == "alexnet" else (0, 6)
    assert names["features.0.weight"].shape[:2] == (64, 3)
    width = 256 * 36 if name == "alexnet" else 512 * 49
    assert names[f"classifier.{first_linear}.weight"].shape == (4096, width)
    assert names[f"classifier.{last_linear}.weight"].shape == (1000, 4096)
    convolutions = [int(key.split(".")[1]) for key in names if key.startswith("features") and key.endswith("weight")]
    expected = {
        "alexnet": [0, 3, 6, 8, 10],
        "vgg16": [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
        "vgg19": [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
    }
    assert convolutions == expected[name]


def test_timms_names_of_fully_connected_layers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Architecture((Convolution("conv1_1", 4, pool=2),), pooled=7, hidden=(6, 5), blocks=("conv1_1",))
    monkeypatch.setitem(ARCHITECTURES, "vgg16", tiny)
    folder = saved(tmp_path, name="vgg16")
    frames = torch.rand(2, 3, 64, 64)
    before = load_layers(str(folder))(frames).scores

    def rename(tensors: dict[str, Tensor]) -> None:
        for ours, timm in (("0", "pre_logits.fc1"), ("3", "pre_logits.fc2"), ("6", "head.fc")):
            for part in ("weight", "bias"):
                tensors[f"{timm}.{part}"] = tensors.pop(f"classifier.{ours}.{part}")
        tensors["pre_logits.fc1.weight"] = tensors["pre_logits.fc1.weight"].view(6, 4, 7, 7)
        tensors["pre_logits.fc2.weight"] = tensors["pre_logits.fc2.weight"].view(5, 6, 1, 1)

    rewrite(folder, rename)
    assert torch.equal(load_layers(str(folder))(frames).scores, before)


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    def broken(name: str, change: Callable[[Path], object]) -> str:
        folder = saved(tmp_path / name)
        change(folder)
        with pytest.raises(ValueError, match=re.escape(str(folder))) as caught:
            load_layers(str(folder))
        return str(caught.value)

    def config(**fields: object) -> Callable[[Path], object]:
        def change(folder: Path) -> None:
            written = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**written, **fields}))

        return change

    assert "lacks 1 tensors: features.2.weight" in broken(
        "missing", lambda folder: rewrite(folder, lambda tensors: tensors.pop("features.2.weight"))
    )
    assert "has the shape [4, 7]" in broken(
        "shape", lambda folder: rewrite(folder, lambda t: t.update({"classifier.3.weight": torch.zeros(4, 7)}))
    )
    assert "not finite" in broken(
        "nan", lambda folder: rewrite(folder, lambda t: t.update({"features.0.bias": torch.full((32,), torch.nan)}))
    )
    assert "must be one of phantom_cnn, alexnet" in broken("other", config(architecture="resnet50"))
    assert "needs num_classes" in broken("classes", config(num_classes=None))
    assert "must be a square" in broken("side", config(pretrained_cfg={"input_size": [3, 64, 32]}))
    assert "cannot be read as JSON" in broken("json", lambda folder: (folder / "config.json").write_text("{"))
    assert "cannot be read as safetensors" in broken(
        "cut", lambda folder: (folder / "model.safetensors").write_bytes(b"cut off")
    )
    assert "lacks model.safetensors" in broken("gone", lambda folder: (folder / "model.safetensors").unlink())


def test_a_plan_names_missing_weights_and_knows_what_decides(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"layers\.source: .* lacks config\.json"):
        layers_fingerprint(resolve({"layers.source": str(tmp_path)}))

    def identity(**fields: object) -> str:
        return stage_runs(resolve({"layers": fields}), seed=0, targets=["layers"])[-1].identity

    assert len({identity(), identity(layer="conv2"), identity(source=str(saved(tmp_path)))}) == 3


def run(folder: Path, **fields: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    given, output = folder / "in", folder / "out"
    given.mkdir(parents=True)
    output.mkdir()
    inputs = {"clips": write_inputs(given)["clips"]}
    layers.run(StageTask(resolve({"layers": fields}), 0, inputs, Context(output, NoCheckpoints())))
    return load_file(output / "layers.safetensors"), load_file(output / "network.safetensors")


def test_the_stage_writes_maps_and_scores_of_chosen_frames(tmp_path: Path) -> None:
    every, weights = run(tmp_path / "all", frames="all")
    middle, _ = run(tmp_path / "middle")
    mean, _ = run(tmp_path / "mean", frames="mean")
    assert every["maps"].shape == (16, 8, 32, 14, 14)
    assert every["maps"].dtype == torch.float16
    assert torch.allclose(middle["maps"][:, 0].float(), every["maps"][:, 4].float(), atol=2e-3)
    assert torch.allclose(mean["maps"][:, 0].float(), every["maps"].float().mean(1), atol=2e-3)
    scores = middle["penultimate"] @ weights["score_weight"].T + weights["score_bias"]
    assert torch.allclose(scores, middle["scores"], atol=1e-3)
    raw, _ = run(tmp_path / "raw", log=None)
    assert torch.allclose(torch.log10(raw["maps"].float() + 0.01), middle["maps"].float(), atol=5e-3)
    assert weights["filters"].shape == (32, 3, 11, 11)


def test_the_stage_refuses_an_unknown_layer_and_maps_beyond_float16(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no layer 'conv9'; it has conv1, conv2, conv3, conv4"):
        run(tmp_path / "unknown", layer="conv9")
    folder = saved(tmp_path / "large", classes=4)
    rewrite(folder, lambda tensors: tensors.update({"features.0.bias": torch.full((32,), 6e4)}))
    rewrite(folder, lambda tensors: tensors.update({"features.2.weight": torch.full((64, 32, 3, 3), 1.0)}))
    with pytest.raises(ValueError, match="which float16 cannot hold"):
        run(tmp_path / "huge", source=str(folder), log=None, layer="conv2")


def test_frames_of_another_size_are_resized_whole() -> None:
    built = network()
    frames = torch.rand(1, 3, 32, 32)
    assert built.resized(frames).shape == (1, 3, 64, 64)
    plain = np.full((1, 3, 20, 20), 0.25, np.float32)
    assert torch.allclose(built.resized(torch.from_numpy(plain)), torch.tensor(0.25), atol=1e-5)
