"""Generation in both profiles against `video_references`: the inflated UNet, and the whole procedure.

The UNet is compared in float64 to 1e-6 of the largest value: diffusers computes the sines of the time in float32. The
state of the diffusion is float32 too, so a procedure of several steps is compared to 1e-5.
"""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

from tests.parity import video_references as references
from tests.parity.references import Doubles
from tests.parity.test_parity import PROFILES, close, doubles, random, shaken
from tests.trainables.stable_diffusion_folder import SCHEDULER
from trainables.config.trial import resolve
from trainables.config.video import GeneratorConfig
from trainables.networks.generator import Prompts, VideoGenerator

CLIPS, FRAMES, TOKENS, WIDTH, GROUPS, HEADS = 2, 3, 4, 12, 4, 2
SEEDS = (5, 9)


def unet_of_v1_5() -> UNet2DConditionModel:
    """Return a small UNet of its kinds of blocks, with random weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=HEADS,
        norm_num_groups=GROUPS,
    )
    return shaken(unet).double()


def temporal_biases(unet: UNet2DConditionModel, seed: int) -> dict[str, Doubles]:
    """mind-animator.md B16, drawn as torch's own layers are: uniform within 1 / sqrt(channels)."""
    generator = torch.Generator().manual_seed(seed)
    blocks = [name for name, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)]
    widths = [unet.get_submodule(f"{name}.norm1").weight.shape[0] for name in blocks]
    draws = [(2 * torch.rand(width, generator=generator) - 1) / width**0.5 for width in widths]
    return {name: draw.double().numpy() for name, draw in zip(blocks, draws, strict=True)}


def config_of(profile: str, **fields: Any) -> GeneratorConfig:
    """Return the procedure of a profile with few steps."""
    short = {"steps": 3, "inversion_steps": 4, **fields}
    return resolve({"profile": profile, "generation": "paper", "generator": short}).generator


class Both:
    """Our generator and the reference with the same weights, prompts and inputs."""

    def __init__(self, config: GeneratorConfig) -> None:
        unet = unet_of_v1_5()
        biases = None if config.temporal_bias is None else temporal_biases(unet, config.temporal_bias)
        own, over = config.attention == "own_frame", config.norm == "all_frames"
        self.reference = references.Unet(doubles(unet), GROUPS, HEADS, over, own, biases)
        self.empty, self.negative = random(7, WIDTH, seed=1).double(), random(TOKENS, WIDTH, seed=2).double()
        self.latents, self.conditions = random(CLIPS, FRAMES, 4, 8, 8), random(CLIPS, TOKENS, WIDTH, seed=3).double()
        prompts = Prompts(self.empty, self.negative)
        self.ours = VideoGenerator(unet, DDIMScheduler.from_config(SCHEDULER), config, prompts=prompts, frames=FRAMES)
        self.config = config

    def expected(self, clip: int) -> Doubles:
        """Return what the equations of A.4 make of a clip."""
        config, x = self.config, self.latents[clip].double().numpy()
        empty, negative, condition = (prompt.numpy() for prompt in (self.empty, self.negative, self.conditions[clip]))
        first, *later = self.draws(clip)
        latest = 1000
        if config.procedure == "inversion":
            x = references.inverted(x, lambda x, time: self.reference(x, time, empty), steps=config.inversion_steps)
            x = references.noised(x, first, config.noise_timestep)
        else:
            latest = config.noise_timestep
            x = references.noised(x, first, max(time for time in references.times(config.steps) if time <= latest))

        def predict(x: Doubles, time: int) -> Doubles:
            unconditional, conditional = (self.reference(x, time, prompt) for prompt in (negative, condition))
            return references.guided(unconditional, conditional, config.guidance)

        return references.denoised(x, predict, steps=config.steps, latest=latest, eta=config.eta, noise=later)

    def draws(self, clip: int) -> list[Doubles]:
        """Return the noise of a clip: of the start, and of each step."""
        generator = torch.Generator().manual_seed(SEEDS[clip])
        frames = 1 if self.config.noise == "shared" else FRAMES
        drawn = [torch.randn(frames, 4, 8, 8, generator=generator).double().numpy() for _ in range(9)]
        return [np.broadcast_to(noise, (FRAMES, 4, 8, 8)) for noise in drawn]


@pytest.mark.parametrize(
    ("profile", "fields"), [("paper", {}), ("released_code", {}), ("paper", {"attention": "own_frame"})]
)
@torch.no_grad()
def test_inflated_unet(profile: str, fields: dict[str, Any]) -> None:
    both = Both(config_of(profile, **fields))
    context = both.conditions.repeat_interleave(FRAMES, dim=0)
    rows = both.latents.flatten(0, 1).double()
    predicted = both.ours.unet(rows, 481, encoder_hidden_states=context).sample.view(CLIPS, FRAMES, 4, 8, 8)
    for clip in range(CLIPS):
        expected = both.reference(rows.view(CLIPS, FRAMES, 4, 8, 8)[clip].numpy(), 481, both.conditions[clip].numpy())
        assert close(predicted[clip], expected, 1e-6)


@torch.no_grad()
def test_the_profiles_differ_by_norm_and_bias() -> None:
    """Each of the two alone changes the reference by far more than the tolerance: the tests above can tell."""
    both = Both(config_of("released_code"))
    x, condition = both.latents[0].double().numpy(), both.conditions[0].numpy()
    reference = both.reference(x, 481, condition)
    for other in ({"over_frames": False}, {"biases": None}, {"own_frame": True}):
        changed = references.Unet(**{**vars(both.reference), **other})
        assert not close(changed(x, 481, condition), reference, 1e-3), other


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "fields",
    [
        {"procedure": "inversion", "guidance": 12.5},
        {"procedure": "img2img", "guidance": 3.0, "noise_timestep": 600, "noise": "shared"},
        {"procedure": "img2img", "guidance": 1.0, "noise_timestep": 600, "eta": 0.7},
    ],
    ids=["inversion", "img2img", "new noise in each step"],
)
def test_procedure(profile: str, fields: dict[str, Any]) -> None:
    both = Both(config_of(profile, **fields))
    ours = both.ours(both.latents, both.conditions, seeds=SEEDS)
    for clip in range(CLIPS):
        assert close(ours[clip], both.expected(clip), 1e-5)


def test_times_and_signal_are_those_of_the_paper() -> None:
    assert references.times(50)[:2] == [1, 21]
    assert references.times(50)[-1] == 981
    schedule = DDIMScheduler.from_config(SCHEDULER)
    assert np.abs(schedule.alphas_cumprod.numpy() / references.SIGNAL - 1).max() < 1e-5, "diffusers computes in float32"
