"""The inflated UNet against a plain loop over frames, and against the image model it is made of."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from trainables.networks.inflation import FirstAndPreviousFrame, inflate

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


def test_attention_equals_a_plain_loop(unet: UNet2DConditionModel) -> None:
    attn = next(module for name, module in unet.named_modules() if name.endswith("attn1"))
    x = torch.randn(2 * FRAMES, 9, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        fast = FirstAndPreviousFrame(FRAMES)(attn, x)
        for clip in range(2):
            for frame in range(FRAMES):
                first, previous = x[clip * FRAMES], x[clip * FRAMES + max(frame - 1, 0)]
                keys = torch.cat([first, previous])
                q, k, v = attn.to_q(x[clip * FRAMES + frame]), attn.to_k(keys), attn.to_v(keys)
                heads = []
                for part in range(attn.heads):
                    d = slice(part * 4, part * 4 + 4)
                    heads.append(torch.softmax(q[:, d] @ k[:, d].T / 4**0.5, dim=-1) @ v[:, d])
                expected = attn.to_out[0](torch.cat(heads, dim=1))
                torch.testing.assert_close(fast[clip * FRAMES + frame], expected, atol=1e-5, rtol=1e-4)


def test_no_frame_sees_a_later_one(unet: UNet2DConditionModel) -> None:
    latents = torch.randn(FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    context = torch.randn(1, 5, 12).expand(FRAMES, -1, -1)
    inflate(unet, frames=FRAMES)
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
