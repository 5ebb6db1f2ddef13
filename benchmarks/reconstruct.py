"""Clips per second from latents to denoised latents, ours against a loop written as the released code goes about it.

`python -m benchmarks.reconstruct [--device cuda] [--size v1-5] [--precision bf16] [--compile]`, from a bare checkout
with torch, diffusers, transformers and pydantic. Both sides run Stable Diffusion v1-5's architecture with the same
random weights, latents, conditions and noise, by the paper's procedure at the same step counts: DDIM inversion, noise,
DDIM with guidance. The plain loop takes one clip at a time in float32, spells attention out, and lets both halves of
guidance pass on their own. Decoding by the VAE is on neither side. On a CPU the default is a network of the same shape
with few channels.
"""

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from diffusers.utils import logging as diffusers_logging
from torch import Tensor

from trainables.backbones.diffusion import noise_scheduler
from trainables.backbones.load import DTYPES
from trainables.config.video import GeneratorConfig
from trainables.loop import pick_device
from trainables.networks.generator import Prompts, VideoGenerator

FRAMES = 8
TOKENS = {"inversion": 77, "clip": 20}


@dataclass(frozen=True)
class Size:
    """A network of SD v1-5's shape."""

    channels: tuple[int, ...]
    latent: int
    width: int
    """Of the text condition."""


SIZES = {"v1-5": Size((320, 640, 1280, 1280), 64, 768), "small": Size((32, 32, 64, 64), 16, 32)}


@dataclass(frozen=True)
class Material:
    """What both sides are given."""

    latents: Tensor
    conditions: Tensor
    prompts: Prompts

    @property
    def seeds(self) -> range:
        """One for each clip."""
        return range(len(self.latents))


def build(size: Size, device: torch.device) -> Any:
    """Return an untrained network."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=size.latent, block_out_channels=size.channels, cross_attention_dim=size.width
    )
    return unet.eval().requires_grad_(False).to(device)


def random_material(size: Size, clips: int) -> Material:
    """Return latents and conditions of noise."""
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    prompts = Prompts(noise(TOKENS["inversion"], size.width), noise(TOKENS["clip"], size.width))
    latents = noise(clips, FRAMES, 4, size.latent, size.latent)
    return Material(latents, noise(clips, TOKENS["clip"], size.width), prompts)


class SpelledOut:
    """Eq. 10 as matrix products and a softmax."""

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return what the frames of one clip gather from the first and the previous one."""
        previous = [max(frame - 1, 0) for frame in range(self.frames)]
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key, value = (
            attn.head_to_batch_dim(torch.cat([x[[0] * self.frames], x[previous]], dim=1))
            for x in (attn.to_k(hidden_states), attn.to_v(hidden_states))
        )
        weights = (query @ key.transpose(-2, -1) * attn.scale).softmax(-1)
        mixed: Tensor = attn.to_out[0](attn.batch_to_head_dim(weights @ value))
        return mixed


def spell_out(unet: Any, frames: int) -> Any:
    """Give `unet` the attention of the plain loop."""
    names = unet.attn_processors
    unet.set_attn_processor({n: SpelledOut(frames) if ".attn1." in n else AttnProcessor() for n in names})
    return unet


@torch.no_grad()
def plain_loop(unet: Any, schedule: Any, config: GeneratorConfig, material: Material) -> Tensor:
    """Return denoised latents, one clip after the other; eta 0 and the DDIM formulas only."""
    device = next(unet.parameters()).device
    levels = schedule.alphas_cumprod
    made = []
    for latents, condition, seed in zip(material.latents, material.conditions, material.seeds, strict=True):
        frames = len(latents)

        def predict(state: Tensor, when: int, context: Tensor, frames: int = frames) -> Tensor:
            return torch.as_tensor(unet(state, when, encoder_hidden_states=context.expand(frames, -1, -1)).sample)

        state, told = latents.to(device), condition.to(device)
        empty, negative = material.prompts.empty.to(device), material.prompts.negative.to(device)
        ratio = 1000 // config.inversion_steps
        for i in range(config.inversion_steps):
            now, after = i * ratio + 1 - ratio, i * ratio + 1
            state = _moved(state, predict(state, after, empty), levels[max(now, 0)], levels[after])
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(device)
        level = levels[config.noise_timestep]
        state = level**0.5 * state + (1 - level) ** 0.5 * noise
        ratio = 1000 // config.steps
        for i in reversed(range(config.steps)):
            now, after = i * ratio + 1, i * ratio + 1 - ratio
            untold, seen = predict(state, now, negative), predict(state, now, told)
            predicted = untold + config.guidance * (seen - untold)
            state = _moved(state, predicted, levels[now], levels[max(after, 0)])
        made.append(state.cpu())
    return torch.stack(made)


def _moved(state: Tensor, noise: Tensor, level: Tensor, other: Tensor) -> Tensor:
    """Take `state` from one noise level to another, along `noise`."""
    clean = (state - (1 - level) ** 0.5 * noise) / level**0.5
    return other**0.5 * clean + (1 - other) ** 0.5 * noise


def ours(unet: Any, schedule: Any, config: GeneratorConfig, material: Material) -> Tensor:
    """Return denoised latents by the project's generator."""
    generator = VideoGenerator(unet, schedule, config, prompts=material.prompts, frames=material.latents.shape[1])
    parts = [slice(first, first + config.batch_clips) for first in range(0, len(material.latents), config.batch_clips)]
    made = [generator(material.latents[p], material.conditions[p], seeds=material.seeds[p]).cpu() for p in parts]
    return torch.cat(made)


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Return how many seconds `work` takes, and what it made (on the CPU, so that the device is done)."""
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def difference(one: Tensor, other: Tensor) -> str:
    """Return the root mean square difference over the root mean square of `other`."""
    return f"{((one - other).square().mean() / other.square().mean()).sqrt().item():.2g}"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Clips per second of the generator, ours against a plain loop.")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--size", choices=SIZES, help="default: v1-5 on CUDA, small on a CPU")
    parser.add_argument("--precision", choices=DTYPES, help="of ours; default: bf16 on CUDA, fp32 on a CPU")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--plain-clips", type=int, default=1, help="clips that the plain loop is timed on")
    parser.add_argument("--batch", type=int, default=8, help="clips that ours takes at a time")
    parser.add_argument("--steps", type=int, default=50, help="of inversion, and as many of denoising")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    diffusers_logging.set_verbosity_error()  # it warns of every cast
    device = pick_device(options.device)
    cuda = device.type == "cuda"
    size = SIZES[options.size if options.size is not None else "v1-5" if cuda else "small"]
    precision = options.precision if options.precision is not None else "bf16" if cuda else "fp32"
    config = GeneratorConfig(inversion_steps=options.steps, steps=options.steps, batch_clips=options.batch)
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"torch {torch.__version__}, {name}; channels {size.channels}, latents {size.latent}x{size.latent},")
    print(f"{FRAMES} frames, {options.steps} + {options.steps} steps, guidance {config.guidance}\n")
    measure(size, config, options, precision=precision, device=device)


def measure(
    size: Size, config: GeneratorConfig, options: argparse.Namespace, *, precision: str, device: torch.device
) -> None:
    """Time both sides, ours once in float32 on the plain loop's clips for the difference, and print the table."""
    unet, schedule = build(size, device), noise_scheduler()
    few, many = random_material(size, options.plain_clips), random_material(size, options.clips)
    short = config.model_copy(update={"inversion_steps": 2, "steps": 2})
    fast = copy.deepcopy(unet).to(DTYPES[precision])
    if options.compile:
        fast.compile()
    ours(fast, schedule, short, many)  # warm-up, and compilation for the shapes to come
    plain = spell_out(copy.deepcopy(unet), FRAMES)
    plain_loop(plain, schedule, short, few)
    ours(unet, schedule, short, few)
    slow_seconds, expected = timed(lambda: plain_loop(plain, schedule, config, few))
    same_seconds, same = timed(lambda: ours(unet, schedule, config, few))
    fast_seconds, made = timed(lambda: ours(fast, schedule, config, many))
    print("| | clips | clips/s | ratio | relative difference |")
    print("|---|--:|--:|--:|--:|")
    slow = options.plain_clips / slow_seconds
    print(f"| plain loop, fp32 | {options.plain_clips} | {slow:.3g} | 1 | 0 |")
    rate = options.plain_clips / same_seconds
    print(f"| ours, fp32 | {options.plain_clips} | {rate:.3g} | {rate / slow:.2f} | {difference(same, expected)} |")
    rate = options.clips / fast_seconds
    # the first clips of `many` are not those of `few`: what reduced precision alone changes is measured on `few`
    reduced = ours(fast, schedule, config, few)
    what = f"ours, {precision}, {options.batch} clips at a time" + (", compiled" if options.compile else "")
    print(f"| {what} | {options.clips} | {rate:.3g} | {rate / slow:.2f} | {difference(reduced, expected)} |")
    if not made.isfinite().all():
        print("\nours made NaN or infinity")


if __name__ == "__main__":
    main()
