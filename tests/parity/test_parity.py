"""Networks, losses, masks, schedules and metrics against plain float64 computations from the equations.

The references use numpy alone and are written from docs/mind-animator.md, A to C, for both profiles. Tolerance of
float32 against float64: 1e-5 of the largest value for one network, 1e-4 for a roll-out of several steps. What has no
rounding but its own is compared to 1e-14.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.parity import references
from trainables.config.trial import TrialConfig, resolve
from trainables.descent import l1_weight, learning_rate
from trainables.losses import info_nce, latent_mse, semantic_loss
from trainables.metrics.nway import NWay
from trainables.metrics.pixels import hue_cos_legacy, psnr, ssim
from trainables.metrics.video_semantics import clip_pcc, vifi
from trainables.networks.masks import draw_masks, inference_mask
from trainables.networks.motion import MotionGenerator
from trainables.networks.semantic import SemanticDecoder
from trainables.networks.structure import StructureDecoder

Doubles = NDArray[np.float64]
PROFILES = ("paper", "released_code")
VOXELS, VIDEO = 30, (5, 4, 8, 8)
SIZES = {
    "features.latent_size": 8,
    "semantic.hidden": 24,
    "semantic.head_hidden": (20, 28),
    "structure.hidden": 32,
    "motion.patch_size": 8,
    "motion.width": 256,
    "motion.attention_width": 32,
    "motion.ffn_width": 24,
    "motion.encoder_hidden": 16,
    "motion.fmri_tokens": 1,
}


def config_of(profile: str) -> TrialConfig:
    return resolve({**SIZES, "profile": profile})


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def doubles(network: nn.Module) -> Mapping[str, Doubles]:
    return {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}


def shaken(network: nn.Module) -> nn.Module:
    """Give every parameter, those of norms too, random values of about the size that it has."""
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.add_(0.2 * parameter.abs().mean() * random(*parameter.shape, seed=number))
    return network.eval()


def close(ours: Any, reference: Any, tolerance: float = 1e-5) -> bool:
    difference = np.abs(np.asarray(ours, np.float64) - reference).max()
    return bool(difference <= tolerance * np.abs(reference).max())


@pytest.mark.parametrize("profile", PROFILES)
@torch.no_grad()
def test_semantic_decoder(profile: str) -> None:
    torch.manual_seed(0)
    network = shaken(SemanticDecoder(config_of(profile).semantic, voxels=VOXELS, clip_dim=24, condition=(5, 6)))
    fmri = random(7, VOXELS)
    embedding, condition = network(fmri)
    f, c = references.semantic(doubles(network), fmri.double().numpy(), trunk_blocks=3, head_layers=3)
    assert close(embedding, f)
    assert close(condition.flatten(1), c)


@torch.no_grad()
def test_structure_decoder() -> None:
    torch.manual_seed(0)
    network = shaken(StructureDecoder(VOXELS, VIDEO[1:], hidden=32, residual_layers=2, dropout=0.2))
    fmri = random(7, VOXELS)
    assert close(network(fmri).flatten(1), references.structure(doubles(network), fmri.double().numpy()))


@pytest.mark.parametrize("profile", PROFILES)
@torch.no_grad()
def test_motion_generator_step_and_greedy_roll_out(profile: str) -> None:
    config = config_of(profile).motion
    torch.manual_seed(0)
    network = MotionGenerator(config, voxels=VOXELS, video=VIDEO)
    shaken(network)
    unbiased = profile == "released_code"
    fmri, first = random(3, VOXELS), random(3, *VIDEO[1:], seed=2)
    frames = random(3, 4, *VIDEO[1:], seed=3)
    mask = inference_mask(config, frames=4, device=torch.device("cpu"))
    reference = references.Motion(doubles(network), heads=config.heads, unbiased=unbiased)
    tokens = frames.double().numpy().reshape(3, 4, -1)
    step = reference.step(tokens, fmri.double().numpy(), references.inference_mask(4, first_only=unbiased))
    assert np.array_equal(mask[0].numpy(), references.inference_mask(4, first_only=unbiased))
    assert close(network(frames, fmri).flatten(2), step)
    rolled = reference.roll_out(first.double().numpy().reshape(3, -1), fmri.double().numpy(), VIDEO[0], unbiased)
    assert close(network.roll_out(first, fmri).flatten(2), rolled, 1e-4)


def test_losses_in_float64() -> None:
    f, text, image = (random(6, 10, seed=seed).double() for seed in (1, 2, 3))
    condition, target = random(6, 4, 5, seed=4).double(), random(6, 4, 5, seed=5).double()
    scale = torch.tensor(1.3, dtype=torch.float64)
    ours = info_nce(f, text, scale).item()
    assert ours == pytest.approx(references.info_nce(f.numpy(), text.numpy(), 1.3), rel=1e-14)
    for alpha in (0.0, 0.25, 1.0):
        config = resolve({"semantic.alpha": alpha}).semantic
        singles = text.float(), image.float(), target.float()
        total = semantic_loss(config, (f.float(), condition.float()), singles, scale.float()).item()
        prediction, targets = (f.numpy(), condition.numpy()), (text.numpy(), image.numpy(), target.numpy())
        expected = references.combined(prediction, targets, scale=1.3, alpha=alpha)
        assert total == pytest.approx(expected, rel=1e-6), alpha
    assert latent_mse(f.float(), text).item() == pytest.approx(((f - text) ** 2).mean().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("profile", "hidden"), [("paper", 0.6), ("released_code", 0.4)], ids=["paper", "released_code"]
)
def test_shares_of_hidden_past_entries(profile: str, hidden: float) -> None:
    config = config_of(profile).motion
    masks = draw_masks(config, frames=7, batch=4000, generator=torch.Generator().manual_seed(0)).double().mean(0)
    can = references.can_be_hidden(7, released=profile == "released_code")
    causal = np.tril(np.ones((7, 7)))
    assert np.abs(masks.numpy() - causal * (1 - hidden * can)).max() < 4 * (0.25 / 4000) ** 0.5


def test_schedules_and_decay_of_l1() -> None:
    motion = resolve({"profile": "released_code", "preset": "paper"}).motion.train
    rates = [learning_rate(motion, step=step, epoch=1, width=16384) for step in range(1, 19000)]
    noam = [16384**-0.5 * min(step**-0.5, step * 50**-1.5) for step in range(1, 19000)]
    assert np.abs(np.array(rates) / noam - 1).max() <= 1e-14
    assert max(rates) == rates[49] == pytest.approx(1.1048e-3, rel=1e-4)
    structure = resolve({"profile": "released_code", "preset": "paper"}).structure.train
    for config, start, rate in ((motion, 6e-7, 1e-3), (structure, 4e-6, 5e-5)):
        weight = start
        for epoch in range(1, 301):
            assert l1_weight(config, epoch) == pytest.approx(weight, rel=1e-12), epoch
            weight *= np.exp(-rate * (epoch - 1))
        closed = start * np.exp(-rate * 70 * 69 / 2)
        assert abs(l1_weight(config, 71) / closed - 1) <= 1e-14
    assert l1_weight(motion, 71) == pytest.approx(5.36e-8, rel=2e-3)
    assert learning_rate(structure, step=999, epoch=75, width=1) == pytest.approx(1e-6 * 0.999**74, rel=1e-14)


def test_metrics_of_pixels_and_semantics() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (3, 20, 24, 3)).astype(np.uint8)
    other = np.clip(truth.astype(int) + rng.integers(-40, 40, truth.shape), 0, 255).astype(np.uint8)
    assert ssim(truth, other) == pytest.approx(references.ssim(truth, other), abs=1e-8)
    assert psnr(truth, other) == pytest.approx(references.psnr(truth, other), abs=1e-11)
    assert psnr(truth, truth) == references.psnr(truth, truth) == 100.0
    # OpenCV's tables of integers put the hue of a few pixels into the neighbouring unit of two degrees.
    assert hue_cos_legacy(truth, other) == pytest.approx(references.hue_cosine(truth, other), abs=1e-3)
    a, b = rng.normal(size=(2, 8, 16))
    assert vifi(a, b) == pytest.approx(references.cosine(a.mean(0), b.mean(0)), abs=1e-15)
    adjacent = np.mean([references.cosine(b[i], b[i + 1]) for i in range(7)])
    assert clip_pcc(b, vifi_score=0.61) == pytest.approx(adjacent, abs=1e-15)
    assert clip_pcc(b, vifi_score=0.6) == 0.0


@pytest.mark.parametrize("n", [2, 5])
def test_n_way_accuracy_is_the_share_of_all_draws(n: int) -> None:
    rng = np.random.default_rng(1)
    truth, prediction = rng.normal(size=(2, 6, 9))
    expected = [references.n_way(*pair, n=n) for pair in zip(truth, prediction, strict=True)]
    assert NWay(n=n).exact(truth, prediction) == pytest.approx(np.array(expected), abs=1e-12)
