"""The features stage on a handful of phantom clips: every tensor is compared with one made by hand."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from storage.runs import Artifacts, Checkpoints
from trainables.backbones.load import load_clip, load_text_encoder, load_vae
from trainables.config.trial import resolve
from trainables.context import Context, StageTask
from trainables.datasets.base import Stimuli
from trainables.datasets.phantom.stimuli import captions, render, sample_factors
from trainables.datasets.stored_clips import write_stimuli
from trainables.stages import features
from trainables.tensors import TensorShape

FACTORS = sample_factors(np.random.default_rng(21), 10)
CLIPS = render(FACTORS, frames=4)


class Shown:
    """Stands in for the artifacts of the stage `clips`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        stimuli = Stimuli(CLIPS, [(text,) for text in captions(FACTORS)], ["here"] * len(CLIPS))
        write_stimuli(stimuli, folder)

    def path(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text())


class Bench:
    """Runs the stage with overrides of its config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "clips").mkdir()
        self.shown = Shown(folder / "clips")
        self.runs = 0

    def __call__(self, **overrides: Any) -> dict[str, Tensor]:
        config = resolve({f"features.{name}": value for name, value in overrides.items()} | {"motion.patch_size": 1})
        self.runs += 1
        output = self.folder / str(self.runs)
        output.mkdir()
        inputs = {"clips": cast(Artifacts, self.shown)}
        features.run(StageTask(config, 0, inputs, Context(output, cast(Checkpoints, None))))
        return load_file(output / "features.safetensors")

    def described(self) -> Any:
        return json.loads((self.folder / str(self.runs) / "features.json").read_text())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def plain(bench: Bench) -> dict[str, Tensor]:
    return bench()


def test_shapes_types_and_description(bench: Bench, plain: dict[str, Tensor]) -> None:
    again = bench()
    described = bench.described()
    dim, width = described["clip_dim"], described["condition_dim"]
    assert {name: tuple(values.shape) for name, values in plain.items()} == {
        "clip_image": (10, dim),
        "clip_text": (10, dim),
        "clip_image_variants": (10, 4, dim),
        "clip_text_variants": (10, 8, dim),
        "condition": (10, 20, width),
        "latents": (10, 4, 4, 16, 16),
    }
    assert all(values.dtype == torch.float32 and values.isfinite().all() for values in plain.values())
    assert (described["latent_channels"], described["latent_size"], described["unknown_words"]) == (4, 16, 0.0)
    assert described["scaling_factor"] == load_vae("phantom").scaling_factor
    assert all(torch.equal(values, again[name]) for name, values in plain.items()), "same config, same bytes"


def test_unknown_words_of_captions_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_text_encoder("phantom")
    assert encoder.unknown(["\u4e00\u4e2a\u4eba\u5728\u8d70"]) == 1.0, "all such captions become one embedding"
    shapes = {"latents": (1, 4, 4, 16, 16), "condition": (1, 20, 8), "clip_text": (1, 8)}
    described = features._describe(
        {name: TensorShape("float32", shape) for name, shape in shapes.items()},
        vae=load_vae("phantom"),
        encoder=encoder,
        captions=["a red disk", "a zebroid disk"],
    )
    assert 0 < described["unknown_words"] < 0.5
    assert "does not know" in caplog.text


def test_image_target_is_mean_over_frames_or_the_fourth(bench: Bench, plain: dict[str, Tensor]) -> None:
    clip = load_clip("phantom")
    by_frame = torch.stack([clip.images(torch.from_numpy(CLIPS[:, f])) for f in range(4)])
    assert torch.allclose(plain["clip_image"], by_frame.mean(dim=0), atol=1e-5)
    assert torch.allclose(bench(image_target="fixed_frame")["clip_image"], by_frame[3], atol=1e-5)
    assert not torch.allclose(by_frame[3], by_frame.mean(dim=0), atol=1e-2)


def test_fixed_frame_is_what_training_sees_too(bench: Bench) -> None:
    clip = load_clip("phantom")
    fourth = clip.images(torch.from_numpy(CLIPS[:, 3]))
    whole = bench(image_target="fixed_frame", crop_fraction=1.0, image_variants=3)["clip_image_variants"]
    assert torch.allclose(whole, fourth[:, None].expand_as(whole), atol=1e-4)


def test_text_and_condition_are_the_encoders(plain: dict[str, Tensor]) -> None:
    texts = captions(FACTORS)
    assert torch.allclose(plain["clip_text"], load_clip("phantom").texts(texts), atol=1e-5)
    condition = load_text_encoder("phantom").encode(texts, tokens=20)
    assert torch.allclose(plain["condition"], condition, atol=1e-5)
    assert torch.allclose(condition[:, 0], condition[:1, 0].expand(10, -1), atol=1e-5), "the begin token is a constant"
    assert not torch.allclose(condition[0, 1:], condition[1, 1:], atol=1e-2)


def test_every_clip_has_variants_since_the_split_is_not_known_here(bench: Bench, plain: dict[str, Tensor]) -> None:
    for name in ("clip_image", "clip_text"):
        spread = (plain[f"{name}_variants"] - plain[name][:, None]).abs().amax(dim=-1)
        assert (spread > 1e-2).float().mean() > 0.6
        assert (spread.amax(dim=1) > 1e-2).all(), "every clip has some variant unlike itself"
    other = bench(seed=1)
    assert not torch.equal(other["clip_image_variants"], plain["clip_image_variants"])
    assert not torch.equal(other["clip_text_variants"], plain["clip_text_variants"])
    assert torch.equal(other["clip_image"], plain["clip_image"])
    assert torch.equal(other["latents"], plain["latents"])


def test_full_crop_is_a_frame_itself(bench: Bench) -> None:
    clip = load_clip("phantom")
    whole = bench(crop_fraction=1.0, image_variants=3)["clip_image_variants"]
    by_frame = torch.stack([clip.images(torch.from_numpy(CLIPS[:, f])) for f in range(4)], dim=1)
    nearest = (whole[:, :, None] - by_frame[:, None]).abs().amax(dim=-1).amin(dim=-1)
    assert nearest.max() < 1e-4


def test_no_variants_at_all(bench: Bench) -> None:
    none = bench(image_variants=0, text_variants=0)
    assert none["clip_image_variants"].shape[:2] == none["clip_text_variants"].shape[:2] == (10, 0)


def test_batch_size_changes_nothing_but_rounding(bench: Bench, plain: dict[str, Tensor]) -> None:
    small = bench(batch_size=12)
    assert all(torch.allclose(values, small[name], atol=1e-4) for name, values in plain.items())


def test_latents_are_scaled_modes_that_decode_to_the_clip(plain: dict[str, Tensor]) -> None:
    vae = load_vae("phantom")
    images = torch.from_numpy(CLIPS[2]).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    with torch.no_grad():
        mode = vae.model.encode(images).latent_dist.mode()
    assert torch.allclose(plain["latents"][2], mode * vae.scaling_factor, atol=1e-4)
    assert (vae.decode(plain["latents"][2]) - images).square().mean() < 0.01


def test_sampled_latents_scatter_about_the_modes(bench: Bench, plain: dict[str, Tensor]) -> None:
    first, again, other = (bench(latents="sample", seed=seed)["latents"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    images = torch.from_numpy(CLIPS).flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    vae = load_vae("phantom")
    with torch.no_grad():
        std = vae.model.encode(images).latent_dist.std.unflatten(0, (10, 4)) * vae.scaling_factor
    standardised = (first - plain["latents"]) / std
    assert standardised.std().item() == pytest.approx(1.0, abs=0.03)
    assert standardised.mean().item() == pytest.approx(0.0, abs=0.03)


def test_other_resolution_is_resized(bench: Bench) -> None:
    assert bench(resolution=32, latent_size=8)["latents"].shape == (10, 4, 4, 8, 8)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"latent_size": 8}, r"features\.latent_size must be 16, .*64-pixel image, but got 8"),
        ({"resolution": 62}, r"features\.resolution must be a multiple of 4"),
        ({"condition_tokens": 21}, r"features\.condition_tokens must be at most 20 .* got 21"),
    ],
)
def test_sizes_that_are_not_the_backbones(bench: Bench, overrides: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bench(**overrides)
