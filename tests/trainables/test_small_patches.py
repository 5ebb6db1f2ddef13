"""The motion network of the released code for small patches, against its description (mind-animator.md B44)."""

import math

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from trainables.config.decoders import MotionConfig
from trainables.networks.patches import cut, join
from trainables.networks.small_patches import SmallPatchGenerator

PAPER = {"kind": "cmg_small_patch", "width": 512, "heads": 8, "attention_width": 512, "ffn_width": 2048, "depth": 4}
SMALL = MotionConfig(kind="cmg_small_patch", patch_size=4, width=24, attention_width=24, heads=3, ffn_width=20, depth=2)
VIDEO = (5, 2, 8, 8)


@pytest.fixture
def network() -> SmallPatchGenerator:
    torch.manual_seed(0)
    network = SmallPatchGenerator(SMALL, voxels=10, video=VIDEO).eval()
    nn.init.normal_(network.unembed.weight)  # it starts at zero
    return network


@pytest.mark.parametrize(("patch", "millions"), [(4, 24.63), (8, 24.83), (16, 25.62), (32, 28.77), (64, 41.36)])
def test_it_has_the_size_of_the_released_network(patch: int, millions: float) -> None:
    with torch.device("meta"):
        network = SmallPatchGenerator(MotionConfig(**PAPER, patch_size=patch), voxels=4500, video=(8, 4, 64, 64))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


def test_it_equals_a_plain_float64_computation(network: SmallPatchGenerator) -> None:
    """Written from the description: attention without a norm, then fMRI, then GELU; norms without weights."""
    generator = torch.Generator().manual_seed(1)
    frames, fmri = torch.randn(2, 4, 2, 8, 8, generator=generator), torch.randn(2, 10, generator=generator)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    weights = {name: tensor.double() for name, tensor in network.state_dict().items()}

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()

    def attend(name: str, x: torch.Tensor) -> torch.Tensor:
        heads = []
        for head in range(3):
            part = slice(8 * head, 8 * head + 8)
            q, k, v = (linear(f"{name}.{which}", x)[..., part] for which in ("query", "key", "value"))
            scores = (q @ k.transpose(-1, -2) / math.sqrt(8)).masked_fill(~mask, -math.inf)
            heads.append(scores.softmax(-1) @ v)
        return linear(f"{name}.out", torch.cat(heads, -1))

    z = linear("embed", cut(frames.double(), 4)) + network.get_buffer("codes")[:, :4].double()
    token = linear("encoder.1", F.silu(fmri.double()))[:, None, None]
    for block in range(2):
        z = z + attend(f"blocks.{block}.temporal", z)
        z = z + linear(f"blocks.{block}.spatial.out", linear(f"blocks.{block}.spatial.value", token))  # one key
        hidden = F.gelu(linear(f"blocks.{block}.ffn.0", norm(z)), approximate="tanh")
        z = z + linear(f"blocks.{block}.ffn.2", hidden)
    expected = join(linear("unembed", norm(z)), VIDEO[1:])
    with torch.no_grad():
        ours = network.double()(frames.double(), fmri.double(), mask[None])
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-6)  # codes are kept in float32


def test_it_starts_at_zero_with_xavier_weights() -> None:
    torch.manual_seed(0)
    network = SmallPatchGenerator(SMALL, voxels=10, video=VIDEO)
    assert network(torch.randn(1, 3, 2, 8, 8), torch.randn(1, 10)).abs().max() == 0
    bound = math.sqrt(6 / (24 + 20))
    weight = network.get_parameter("blocks.0.ffn.0.weight")
    assert 0.9 * bound < weight.abs().max() <= bound


def test_no_frame_sees_a_later_one(network: SmallPatchGenerator) -> None:
    frames = torch.randn(1, 4, 2, 8, 8, requires_grad=True)
    network(frames, torch.randn(1, 10))[:, 1].sum().backward()
    assert frames.grad is not None
    assert frames.grad[:, :2].abs().max() > 0
    assert frames.grad[:, 2:].abs().max() == 0


def test_patches_are_put_together_again() -> None:
    frames = torch.randn(2, 3, 2, 8, 8)
    assert torch.equal(join(cut(frames, 4), (2, 8, 8)), frames)
    assert torch.equal(cut(frames, 4)[1, 1, 2], frames[1, 2, :, :4, 4:].flatten())


def test_a_width_that_heads_do_not_share_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"width must be a multiple of heads \(8\) and of 4, but got 100"):
        MotionConfig(kind="cmg_small_patch", width=100, heads=8, attention_width=64)
