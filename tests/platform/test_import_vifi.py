"""ViFi-CLIP in the layout of its authors' files becomes a judge: equal embeddings, and other files are refused by name.

The networks are small and randomly initialised, in OpenAI's layout with torch's own attention.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from platform.checkpoint import main
from trainables.backbones import judge_digests
from trainables.backbones.load import ImageEncoder, load_image_encoder
from trainables.backbones.preparation import Preparation
from trainables.config.trial import resolve
from trainables.graph import stage_runs
from trainables.metrics.networks import load_network

WIDTH, PATCH, GRID, OUT, TEXT_WIDTH = 128, 16, 2, 24, 32
SIDE = PATCH * GRID


class Block(nn.Module):
    """A residual block with OpenAI's names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, max(1, width // 64))
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        hidden = self.mlp.get_submodule("c_fc")(self.ln_2(x))
        return torch.as_tensor(x + self.mlp.get_submodule("c_proj")(hidden * torch.sigmoid(1.702 * hidden)))


def blocks(width: int, count: int) -> nn.Module:
    transformer = nn.Module()
    transformer.resblocks = nn.Sequential(*(Block(width) for _ in range(count)))
    return transformer


class Vision(nn.Module):
    """The image encoder with OpenAI's names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn(GRID**2 + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = blocks(WIDTH, 3)
        self.proj = nn.Parameter(torch.randn(WIDTH, OUT))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        x = self.ln_pre(torch.cat((first, patches), dim=1) + self.positional_embedding)
        for block in self.transformer.get_submodule("resblocks").children():
            x = block(x.transpose(0, 1)).transpose(0, 1)
        return torch.as_tensor(self.ln_post(x[:, 0]) @ self.proj)


def vifi() -> tuple[Vision, dict[str, Tensor]]:
    """Return an image encoder, and all tensors of a ViFi-CLIP with it, under the names of DistributedDataParallel."""
    torch.manual_seed(0)
    model = nn.Module()
    model.image_encoder = Vision()
    model.text_encoder = blocks(TEXT_WIDTH, 1)
    model.prompt_learner = nn.Module()
    tensors = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {
        "module.prompt_learner.complete_text_embeddings": torch.zeros(5, 77, TEXT_WIDTH),
        "module.text_encoder.positional_embedding": torch.zeros(77, TEXT_WIDTH),
        "module.text_encoder.text_projection": torch.zeros(TEXT_WIDTH, OUT),
        "module.logit_scale": torch.tensor(4.6),
    }
    return model.image_encoder.eval(), tensors


@pytest.fixture
def config_of_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a config as yacs pickles it: a dict of a class that this environment lacks when the file is read."""
    module = ModuleType("yacs.config")
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = node  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", ModuleType("yacs"))
        patch.setitem(sys.modules, "yacs.config", module)
        config = node(MODEL=node(ARCH="ViT-B/16"))
        config.__dict__["__immutable__"] = True
        yield config


def saved(file: Path, tensors: Mapping[str, Tensor], **more: Any) -> Path:
    """Write what `epoch_saving` of their repository writes."""
    state = {"optimizer": {"state": {}, "param_groups": []}, "lr_scheduler": {}, "max_accuracy": 61.1, "epoch": 9}
    torch.save({"model": dict(tensors), **state, **more}, file)
    return file


def run(file: Path, *more: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code = main(["import", str(file), "--judge", "vifi", *more, "--json"])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == 0, answer
    return answer


def test_the_authors_file_becomes_a_judge_with_equal_embeddings(
    tmp_path: Path, config_of_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    vision, tensors = vifi()
    file = saved(tmp_path / "vifi.pth", tensors, config=config_of_run)
    answer = run(file, capsys=capsys)
    assert answer["parameters"] == sum(parameter.numel() for parameter in vision.parameters())
    encoder = load_image_encoder(answer["folder"])
    assert isinstance(encoder, ImageEncoder)
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert encoder.prepare == Preparation(36, *imagenet, crop=(SIDE, SIDE), filter="bilinear"), "36 is 256/224 of 32"
    clip = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = vision(encoder.prepare(torch.from_numpy(clip))).numpy()
    ours = load_network("vifi", answer["folder"], frames=4)(clip)
    assert ours.shape == (4, OUT)
    assert np.abs(ours - expected).max() < 1e-5 * np.abs(expected).max()
    modes = {path.stat().st_mode for path in Path(answer["folder"]).iterdir()}
    assert len(modes) == 1, "whoever may read one file of the folder may read all"


def test_a_plain_state_dict_of_openais_clip_is_the_same_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vision, tensors = vifi()
    plain = {f"visual.{name}": tensor.half() for name, tensor in vision.state_dict().items()}
    plain |= {"token_embedding.weight": torch.zeros(9, TEXT_WIDTH), "context_length": torch.tensor(77)}
    torch.save(plain, tmp_path / "openai.pt")
    theirs = run(saved(tmp_path / "vifi.pth", tensors), capsys=capsys)["folder"]
    copy = run(tmp_path / "vifi.pth", "--out", str(tmp_path / "copy"), capsys=capsys)["folder"]
    halves = run(tmp_path / "openai.pt", capsys=capsys)["folder"]
    digests = [judge_digests({"vifi": folder})["vifi"]["sha256"] for folder in (theirs, copy, halves)]
    assert digests[0] == digests[1] != digests[2], "identity follows the content"
    image = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)
    first, second = (load_image_encoder(folder).images(image) for folder in (theirs, halves))
    torch.testing.assert_close(first, second, atol=0.05, rtol=0.01)

    identities = {
        stage_runs(resolve({"evaluate.vifi": folder}), seed=0, targets=["evaluate"])[-1].identity
        for folder in (theirs, copy, halves)
    }
    assert len(identities) == 2


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("executed").touch, ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("module.image_encoder.proj"),
            "visual_projection.weight is missing; is it a checkpoint of ViFi",
        ),
        (lambda t: t.pop("module.image_encoder.ln_pre.bias"), "missing: vision_model.pre_layrnorm.bias"),
        (
            lambda t: t.update({"module.image_encoder.VPT": torch.zeros(1)}),
            "tensors without a name here: image_encoder.VPT (matches 0 rules); is it ViFi-CLIP with a ViT and without "
            "learned prompts",
        ),
        (
            lambda t: t.update({"module.image_encoder.ln_pre.bias": torch.zeros(3)}),
            "vision_model.pre_layrnorm.bias is [3], the network has [128]",
        ),
        (lambda t: t.update(evil=Evil()), "holds more than tensors, and reading it could run code: "),
        (lambda t: t.clear(), "holds no tensors by name"),
    ],
)
def test_other_files_are_named_and_nothing_is_written(
    change: Callable[[dict[str, Any]], Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tensors: dict[str, Any] = vifi()[1]
    change(tensors)
    saved(Path("vifi.pth"), tensors)
    assert main(["import", "vifi.pth", "--judge", "vifi"]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["vifi.pth"], "nothing is executed or half-written"


def test_a_decoder_is_no_judge_and_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"lin0.0.weight": torch.zeros(6, 64)}, tmp_path / "structure.pth")
    assert main(["import", str(tmp_path / "structure.pth"), "--judge", "vifi"]) == 2
    assert "tensors without a name here: lin0.0.weight" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "structure.pth"), "--judge", "vifi", "--set", "motion.depth=1"]) == 2
    assert "--names and --set are for decoders (--stage)" in capsys.readouterr().err
