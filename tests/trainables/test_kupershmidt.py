"""Kupershmidt-like: from video to fMRI and back, with videos without fMRI, and never with what is tested."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainables.pixel_world import FRAMES, SIDE, SPLIT, VOXELS, PixelWorld, StopError, identified, stop_after
from trainables.backbones.layers import load_layers
from trainables.config.kupershmidt import SeeConfig, UnseeConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.external_clips import read_external, refuse_held_out
from trainables.datasets.video_writing import VIDEO_FORMS
from trainables.metrics.correlation import column_correlation
from trainables.networks.clip_encoder import ClipEncoder
from trainables.networks.frame_decoder import FrameShape, FrozenCycle, perceptual_error
from trainables.stages.unsee import Noise

TRAIN = {"epochs": 2, "batch_size": 32, "device": "cpu", "warmup_steps": 2}


def settings(*, see: dict[str, Any] | None = None, unsee: dict[str, Any] | None = None, **train: Any) -> TrialConfig:
    return resolve(
        {
            "see": {"resolution": SIDE, "planes": 4, "train": {**TRAIN, **train}, **({} if see is None else see)},
            "unsee": {"channels": 8, "train": {**TRAIN, **train}, **({} if unsee is None else unsee)},
        }
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PixelWorld:
    """With the run of `see`."""
    found = PixelWorld(tmp_path_factory.mktemp("kupershmidt"))
    found.run("see", settings())
    return found


def decoder_of(world: PixelWorld) -> dict[str, torch.Tensor]:
    return load_file(world.inputs["unsee"].path("model.safetensors"))


def test_shapes_and_what_a_voxel_reads() -> None:
    network = load_layers("phantom")
    torch.manual_seed(0)
    encoder = ClipEncoder(SeeConfig(resolution=SIDE, planes=4), network, frames=FRAMES, voxels=3).eval()
    clips = torch.rand(2, FRAMES, 3, SIDE, SIDE)
    encoder.calibrate(clips)
    assert encoder(clips).shape == (2, 3)
    assert not any(name.startswith("_network") for name in encoder.state_dict())
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith("place"):
                parameter[0].zero_()
    assert torch.equal(encoder(clips)[:, 0], encoder.bias[0].expand(2)), "no place is read"
    backwards = encoder(clips.flip(1))
    assert not torch.allclose(backwards, encoder(clips)), "the order of frames counts"


def test_correlations_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    second[:, 2] = 1.0
    expected = [np.corrcoef(first[:, i], second[:, i])[0, 1] for i in range(2)]
    found = column_correlation(torch.from_numpy(first), torch.from_numpy(second))
    assert found.tolist() == pytest.approx([*expected, 0.0])


def test_errors_of_decoded_frames_by_hand() -> None:
    network = load_layers("phantom")
    truth = torch.rand(2, FRAMES, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert perceptual_error(network, truth, truth).abs().max() < 1e-5
    assert (perceptual_error(network, truth.flip(-1), truth) > 0.02).all()
    only = UnseeConfig(perceptual=0.0, total_variation=0.0, temporal=2.0, pixel=3.0, channels=8)
    cycle = FrozenCycle(only, network, shape=FrameShape(FRAMES, 64), voxels=5)
    brighter = truth + 0.25
    assert torch.allclose(cycle.errors(brighter, truth), torch.tensor(0.75)), "differences between frames are equal"
    still = truth[:, :1].expand_as(truth)
    moved = (truth.diff(dim=1).abs().mean(dim=(1, 2, 3, 4)) * 2) + 3 * (still - truth).abs().mean(dim=(1, 2, 3, 4))
    assert torch.allclose(cycle.errors(still, truth), moved, atol=1e-5)
    smooth = UnseeConfig(perceptual=0.0, total_variation=1.0, temporal=0.0, pixel=1e-9, channels=8)
    plain = FrozenCycle(smooth, network, shape=FrameShape(FRAMES, 64), voxels=5)
    assert plain.errors(torch.full_like(truth, 0.5), truth).max() < 1e-6
    assert plain.errors(truth, truth).min() > 0.5


def test_noise_has_the_covariance_of_the_errors() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 6, generator=generator)
    errors = torch.randn(400, 6, generator=generator) @ mix
    drawn = Noise(errors).draw(20_000, generator)
    true = mix.T @ mix
    assert torch.allclose(torch.cov(drawn.T), true, atol=0.15 * true.diagonal().max().item())


@pytest.mark.parametrize("stage", ["see", "unsee"])
def test_a_resumed_training_is_the_same_to_the_bit(world: PixelWorld, stage: str) -> None:
    config = settings(epochs=3, checkpoint_share=1.0, unsee={"noise": "residual", "perceptual": 0.0, "unpaired": 0.2})
    held = dict(world.inputs)
    whole, videos = world.run(stage, config)
    shared = world.checkpoints()
    world.inputs |= held
    with pytest.raises(StopError):
        world.run(stage, config, report=stop_after(2), checkpoints=shared)
    torch.manual_seed(999)
    resumed, again = world.run(stage, config, checkpoints=shared)
    world.inputs |= held
    assert resumed.history == whole.history
    assert resumed.metrics == whole.metrics
    assert all(np.array_equal(again[name], value) for name, value in videos.items())


def test_the_fmri_of_test_clips_trains_nothing(world: PixelWorld, tmp_path: Path) -> None:
    changed = world.fmri.copy()
    changed[world.rows("test")] = 7.0
    other = PixelWorld(tmp_path, fmri=changed)
    config = settings(unsee={"noise": "residual", "perceptual": 0.0, "unpaired": 0.2}, epochs=1)
    for one in (world, other):
        one.run("see", config)
        one.run("unsee", config)
    for stage in ("see", "unsee"):
        first, second = (load_file(one.inputs[stage].path("model.safetensors")) for one in (world, other))
        assert all(torch.equal(first[name], tensor) for name, tensor in second.items()), stage


def test_it_decodes_all_held_out_clips_with_and_without_unpaired_ones(world: PixelWorld) -> None:
    result, videos = world.run("unsee", settings(epochs=1))
    held_out = [number for number, split in enumerate(SPLIT) if split != "train"]
    assert videos["index"].tolist() == held_out
    assert videos["videos"].shape == (len(held_out), FRAMES, SIDE, SIDE, 3)
    assert result.info["unpaired_clips"] == "96"
    assert {"l1", "test_l1", "test_l1_mean", "test_diversity", "loss"} < result.metrics.keys()
    paired = decoder_of(world)
    alone, _ = world.run("unsee", settings(epochs=1, unsee={"unpaired": 0.0}))
    assert alone.info["unpaired_clips"] == "0"
    assert not torch.equal(decoder_of(world)["start.weight"], paired["start.weight"])
    many, _ = world.run(
        "unsee", settings(epochs=1, unsee={"unpaired": 0.5, "encoder": "fine_tuned", "perceptual": 0.0})
    )
    assert many.info["unpaired_clips"] == "48"


@pytest.mark.parametrize("encoder", ["frozen", "fine_tuned"])
def test_parts_of_a_batch_give_the_same(world: PixelWorld, encoder: str) -> None:
    """Dropout of the encoder draws for the whole batch, as it must for several workers."""
    unsee = {"encoder": encoder, "noise": "residual", "perceptual": 0.0, "unpaired": 0.2}
    held = dict(world.inputs)
    whole, _ = world.run("unsee", settings(unsee=unsee, epochs=1))
    world.inputs |= held
    parts, _ = world.run("unsee", settings(unsee=unsee, epochs=1, micro_batch=9))
    for name, value in whole.history[0].items():
        assert parts.history[0][name] == pytest.approx(value, rel=1e-4), name


def test_fresh_clips_are_never_those_of_the_data_set() -> None:
    config = resolve({"dataset": {"resolution": SIDE}})
    first = read_external(config.unsee, config.dataset, count=20, frames=FRAMES, side=SIDE)
    again = read_external(config.unsee, config.dataset, count=20, frames=FRAMES, side=SIDE)
    other = read_external(UnseeConfig(external_seed=1), config.dataset, count=20, frames=FRAMES, side=SIDE)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    from trainables.datasets import load_clips

    own = load_clips(config.dataset).clips[:200]
    refuse_held_out(first, own, names=[str(number) for number in range(200)], fresh=True)
    unseen = resolve({"dataset.unseen_combinations": True})
    with pytest.raises(ValueError, match="holds back for test clips"):
        read_external(unseen.unsee, unseen.dataset, count=2, frames=FRAMES, side=SIDE)


@pytest.mark.parametrize("kind", ["npy", "gif"])
def test_a_folder_with_a_test_clip_is_refused(world: PixelWorld, tmp_path: Path, kind: str) -> None:
    tested = world.clips[world.rows("test")[3]]
    VIDEO_FORMS[kind](tested, tmp_path / "a")
    np.save(tmp_path / "b.npy", world.clips[0])
    config = settings(epochs=1, unsee={"external": str(tmp_path)})
    with pytest.raises(ValueError, match=r"unsee\.external: 1 held-out clips .*\(film 111\); remove"):
        world.run("unsee", config)
    (tmp_path / f"a.{kind}").unlink()
    result, _ = world.run("unsee", config)
    assert result.info["unpaired_clips"] == "1"


def test_bad_settings_and_folders_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kernel must be odd"):
        UnseeConfig(kernel=4)
    with pytest.raises(ValueError, match="pixel and perceptual at least one"):
        UnseeConfig(pixel=0.0, perceptual=0.0)
    with pytest.raises(ValueError, match="fine_tuned needs unpaired clips"):
        UnseeConfig(encoder="fine_tuned", unpaired=0.0)
    from trainables.unpaired_sources import unsee_fingerprint

    with pytest.raises(ValueError, match=r"unsee\.external: .*missing: there is no such folder"):
        unsee_fingerprint(resolve({"unsee.external": f"{tmp_path}/missing"}))
    with pytest.raises(ValueError, match="has no videos"):
        unsee_fingerprint(resolve({"unsee.external": str(tmp_path)}))
    (tmp_path / "a.gif").write_bytes(b"no picture")
    config = resolve({"unsee.external": str(tmp_path)})
    assert "a.gif" in unsee_fingerprint(config)["external"]
    with pytest.raises(ValueError, match=r"unsee\.external: .*a\.gif"):
        read_external(config.unsee, config.dataset, count=2, frames=FRAMES, side=SIDE)
    folder = {"kind": "folder", "path": str(tmp_path)}
    with pytest.raises(ValueError, match=r"phantom_fresh draws clips of the phantom's world, but dataset\.kind is"):
        resolve({"system": "kupershmidt_like", "dataset": folder})
    resolve({"system": "kupershmidt_like", "dataset": folder, "unsee.unpaired": 0.0})


@pytest.mark.long
def test_see_recovers_planted_reading(tmp_path: Path) -> None:
    """fMRI that reads one place of the maps each: it is predicted, and by what lies at that place."""
    world = PixelWorld(tmp_path, more=200)
    network = load_layers("phantom")
    frames = torch.from_numpy(world.clips).permute(0, 1, 4, 2, 3).float() / 255.0
    maps = torch.stack([network.maps(clip, ("conv1",))["conv1"].mean(0) for clip in frames])  # [N,C,h,w]
    side = maps.shape[-1]
    rng = np.random.default_rng(0)
    places = rng.integers(side, size=(VOXELS, 2))
    mix = torch.from_numpy(rng.normal(size=(VOXELS, maps.shape[1]))).float()
    answers = torch.stack([maps[:, :, y, x] @ m for (y, x), m in zip(places.tolist(), mix, strict=True)], dim=1)
    answers = (answers - answers.mean(0)) / answers.std(0) + 0.1 * torch.randn(
        answers.shape, generator=torch.Generator().manual_seed(0)
    )
    world = PixelWorld(tmp_path / "planted", more=200, fmri=answers.numpy().astype(np.float32))
    config = settings(see={"planes": 16, "dropout": 0.0}, epochs=25, lr=1e-2, schedule="exponential", gamma=0.9)
    result, _ = world.run("see", config)
    assert result.metrics["test_r_mean"] > 0.7
    encoder = ClipEncoder(config.see, network, frames=FRAMES, voxels=VOXELS)
    encoder.load_state_dict(load_file(world.inputs["see"].path("model.safetensors")))
    shown = frames[:24].clone().requires_grad_(True)
    centres = []
    predicted = encoder.eval()(shown).sum(dim=0)
    for voxel in range(VOXELS):
        (gradient,) = torch.autograd.grad(predicted[voxel], shown, retain_graph=True)
        seen = gradient.square().sum(dim=(0, 1, 2))
        across, down = (seen.sum(dim=axis) / seen.sum() @ torch.arange(SIDE).float() for axis in (0, 1))
        centres.append([down.item(), across.item()])
    for axis in (0, 1):
        assert np.corrcoef(np.array(centres)[:, axis], places[:, axis])[0, 1] > 0.7


@pytest.mark.long
def test_it_learns_from_fmri_and_from_nothing_else(tmp_path: Path) -> None:
    pixels = {"channels": 16, "perceptual": 0.0, "temporal": 0.0, "total_variation": 0.0}
    config = settings(see={"planes": 8}, unsee=pixels, epochs=20, lr=3e-3, batch_size=8, schedule="constant")
    own = PixelWorld(tmp_path / "own", more=100)
    seen, _ = own.run("see", config)
    result, videos = own.run("unsee", config)
    assert seen.metrics["test_r_mean"] > 0.4
    assert min(epoch["l1"] for epoch in result.history) < 0.8 * result.history[0]["l1"]
    assert result.metrics["test_l1"] < result.metrics["test_l1_mean"]
    truth = own.clips[own.rows("test")]
    assert identified(videos["videos"][12:28], truth) > 0.72, "chance is 0.5, three standard deviations are 0.22"
    order = np.random.default_rng(0).permutation(len(own.fmri))
    shuffled = PixelWorld(tmp_path / "other", fmri=own.fmri[order], more=100)
    nothing, _ = shuffled.run("see", config)
    _, guessed = shuffled.run("unsee", config)
    assert abs(nothing.metrics["test_r_mean"]) < 0.15
    assert abs(identified(guessed["videos"][12:28], truth) - 0.5) < 0.22
