"""The inflated UNet against a plain loop over frames, and against the image model it is made of."""

import copy
from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

from trainables.networks.inflation import (
    EarlierFrames,
    FirstAndPreviousFrame,
    NormOverFrames,
    TwoPreviousFrames,
    add_temporal_biases,
    inflate,
    normalise_over_frames,
)

FRAMES = 4


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=12,
        attention_head_dim=4,
        norm_num_groups=8,
    ).eval()


def run(unet: UNet2DConditionModel, latents: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(unet(latents, 100, encoder_hidden_states=context).sample)


def test_a_still_clip_is_drawn_as_the_image_model_draws_its_frame(unet: UNet2DConditionModel) -> None:
    """With equal frames, first and previous hold the same keys twice, and softmax over doubled keys changes nothing."""
    frame = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    context = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(2))
    unet.set_default_attn_processor()
    image = run(unet, frame, context)
    video = run(
        inflate(unet, frames=FRAMES), frame.repeat_interleave(FRAMES, 0), context.repeat_interleave(FRAMES, 0)
    ).view(2, FRAMES, *image.shape[1:])
    for index in range(FRAMES):
        torch.testing.assert_close(video[:, index], image, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "earlier"),
    [
        (FirstAndPreviousFrame, lambda frame: (0, max(frame - 1, 0))),
        (TwoPreviousFrames, lambda frame: (max(frame - 2, 0), max(frame - 1, 0))),
    ],
)
def test_attention_equals_a_plain_loop(
    unet: UNet2DConditionModel, kind: type[EarlierFrames], earlier: Callable[[int], tuple[int, int]]
) -> None:
    attn = next(module for name, module in unet.named_modules() if name.endswith("attn1"))
    x = torch.randn(2 * FRAMES, 9, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        fast = kind(FRAMES)(attn, x)
        for clip in range(2):
            for frame in range(FRAMES):
                keys = torch.cat([x[clip * FRAMES + other] for other in earlier(frame)])
                q, k, v = attn.to_q(x[clip * FRAMES + frame]), attn.to_k(keys), attn.to_v(keys)
                heads = []
                for part in range(attn.heads):
                    d = slice(part * 4, part * 4 + 4)
                    heads.append(torch.softmax(q[:, d] @ k[:, d].T / 4**0.5, dim=-1) @ v[:, d])
                expected = attn.to_out[0](torch.cat(heads, dim=1))
                torch.testing.assert_close(fast[clip * FRAMES + frame], expected, atol=1e-5, rtol=1e-4)


def test_a_frame_does_not_depend_on_the_one_before_its_two_previous_ones(unet: UNet2DConditionModel) -> None:
    """By gradients of one layer: frame 4 sees frames 2 and 3 and asks by itself, and not by frame 1."""
    attn = next(module for name, module in unet.named_modules() if name.endswith("attn1"))
    draw = torch.Generator().manual_seed(5)
    for kind, depends in ((TwoPreviousFrames, [0, 1, 1, 1]), (FirstAndPreviousFrame, [1, 0, 1, 1])):
        x = torch.randn(FRAMES, 9, 16, generator=draw).requires_grad_()
        (gradient,) = torch.autograd.grad(kind(FRAMES)(attn, x)[3].square().sum(), x)
        assert [float(frame.abs().sum() > 0) for frame in gradient] == depends


@pytest.mark.parametrize("attention", ["first_and_previous", "two_previous"])
def test_no_frame_sees_a_later_one(unet: UNet2DConditionModel, attention: str) -> None:
    latents = torch.randn(FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    context = torch.randn(1, 5, 12).expand(FRAMES, -1, -1)
    inflate(unet, frames=FRAMES, attention=attention)
    changed = latents.clone()
    changed[-1] += 1.0
    before, after = run(unet, latents, context), run(unet, changed, context)
    torch.testing.assert_close(before[:-1], after[:-1])
    assert not torch.allclose(before[-1], after[-1])


def test_inflation_adds_no_weight_and_keeps_them_all(unet: UNet2DConditionModel) -> None:
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    inflate(unet, frames=FRAMES)
    after = unet.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_rows_that_are_no_whole_clips_are_refused(unet: UNet2DConditionModel) -> None:
    attn = next(module for name, module in unet.named_modules() if name.endswith("attn1"))
    with pytest.raises(ValueError, match="6 rows; they must be a multiple of 4 frames"):
        FirstAndPreviousFrame(FRAMES)(attn, torch.zeros(6, 9, 16))


def test_norms_over_all_frames_equal_the_norm_of_a_clip_as_one_volume() -> None:
    """The released code normalises [clips, channels, frames, h, w]; frames are innermost rows here."""
    torch.manual_seed(4)
    norm = torch.nn.GroupNorm(2, 6)
    torch.nn.init.normal_(norm.weight)
    rows = torch.randn(2 * FRAMES, 6, 3, 5) * torch.arange(1, 2 * FRAMES + 1)[:, None, None, None]
    volume = rows.view(2, FRAMES, 6, 3, 5).transpose(1, 2)
    groups = volume.reshape(2, 2, -1).double()
    mean, variance = groups.mean(-1, keepdim=True), groups.var(-1, unbiased=False, keepdim=True)
    expected = ((groups - mean) / (variance + norm.eps).sqrt()).view(volume.shape)
    expected = expected * norm.weight.view(1, 6, 1, 1, 1) + norm.bias.view(1, 6, 1, 1, 1)
    ours = NormOverFrames(norm, frames=FRAMES)(rows).view(2, FRAMES, 6, 3, 5).transpose(1, 2)
    torch.testing.assert_close(ours.double(), expected, atol=1e-5, rtol=1e-5)


def test_only_norms_of_residual_blocks_and_output_run_over_frames(unet: UNet2DConditionModel) -> None:
    changed = normalise_over_frames(copy.deepcopy(unet), frames=FRAMES)
    over = {name for name, module in changed.named_modules() if isinstance(module, NormOverFrames)}
    expected = {
        name
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.GroupNorm) and (".resnets." in name or name == "conv_norm_out")
    }
    assert over == expected
    assert any(".norm1" in name for name in over)
    assert not any("attentions" in name for name in over)


def test_a_still_clip_is_the_same_with_norms_over_frames_and_a_moving_one_is_not(unet: UNet2DConditionModel) -> None:
    context = torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(2)).repeat_interleave(FRAMES, 0)
    still = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).repeat_interleave(FRAMES, 0)
    moving = torch.randn(FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    changed = normalise_over_frames(copy.deepcopy(unet), frames=FRAMES)
    torch.testing.assert_close(run(changed, still, context), run(unet, still, context), atol=1e-5, rtol=1e-4)
    assert (run(changed, moving, context) - run(unet, moving, context)).abs().max() > 1e-2


def test_temporal_biases_are_one_number_per_channel_and_block(unet: UNet2DConditionModel) -> None:
    latents = torch.randn(FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    context = torch.zeros(FRAMES, 5, 12)
    biased = [add_temporal_biases(copy.deepcopy(unet), seed=seed) for seed in (0, 0, 1)]
    first, again, other = (run(one, latents, context) for one in biased)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.allclose(first, run(unet, latents, context))
    block = next(module for module in biased[0].modules() if isinstance(module, BasicTransformerBlock))
    plain = next(module for module in unet.modules() if isinstance(module, BasicTransformerBlock))
    tokens = torch.randn(FRAMES, 9, 16)
    with torch.no_grad():
        added = block(tokens, encoder_hidden_states=context) - plain(tokens, encoder_hidden_states=context)
    torch.testing.assert_close(added, added[:1, :1].expand_as(added), atol=1e-5, rtol=1e-5)
    assert 0 < added.abs().max() <= 16**-0.5
