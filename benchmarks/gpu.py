"""What one GPU does for the platform, in at most eight minutes: the same code as on a CPU, and how much faster.

    pip install torch numpy safetensors transformers diffusers pydantic psutil threadpoolctl
    python -m benchmarks.gpu --out gpu.json [--parts parity training] [--minutes 8]

It runs from a bare checkout. Each part is written to the file when it is done, so the same command goes on where it
stopped. Networks have the real architectures and random weights; data are noise.

- parity: one epoch of each decoder on the CPU and on the GPU, from one seed, in float32: how far apart they come out
- products: errors of a matrix product and a convolution against float64, exact (as stages run) and in TF32
- memory: a training step's peak against its forecast, and a share of the GPU that is not exceeded
- training: steps per second against the released code's way, with bf16, fused optimiser, resident data, compiled
- generation: Stable Diffusion v1-5's network, several clips at a time in bf16 against one clip at a time in float32
- judges: CLIP B/32, ViT-B/16 and VideoMAE, frames per second against one core of a CPU

`--size tiny --device cpu` runs the same code without a GPU, as the tests do; its numbers mean nothing.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import reconstruct, train
from storage.memory import MemoryStore
from storage.runs import Checkpoints
from trainables.backbones.diffusion import noise_scheduler
from trainables.config.decoders import TrainConfig
from trainables.config.trial import resolve
from trainables.config.video import GeneratorConfig
from trainables.context import Context
from trainables.descent import add_l1_gradient, make_optimizer, precision
from trainables.failure import cause_of
from trainables.gpu import granted_gpu, stated_products
from trainables.loop import Job
from trainables.loop import train as train_loop
from trainables.networks.motion import MotionGenerator
from trainables.step_memory import forecast

Found = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where and at which sizes the parts run."""

    device: torch.device
    tiny: bool
    """Sizes that a CPU computes in seconds."""

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.device.type == "cuda"


def parity(bench: Bench) -> Found:
    """Train one epoch of each decoder on both devices; return how far they come out apart."""
    found: Found = {}
    for stage in train.STAGES:
        cpu, other = (_one_epoch(stage, device) for device in (torch.device("cpu"), bench.device))
        pairs = zip(cpu[1], other[1], strict=True)
        largest = max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) for a, b in pairs)
        found[stage] = {"loss": cpu[0], "loss_difference": abs(cpu[0] - other[0]), "weights_relative": largest}
    return found


def _one_epoch(stage: str, device: torch.device) -> tuple[float, list[Tensor]]:
    """Return the loss of the epoch, and the weights after it."""
    config = resolve({})
    section = getattr(config, stage).train.model_copy(update={"epochs": 1, "device": device.type, "patience": 0})
    rows = train.random_rows(train.SIZES["phantom"], 192, device)
    rows = replace(rows, features={**rows.features, "decoded_first": rows.features["latents"][:, 0]})
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(MemoryStore(), stage, cache=Path(folder))
        context = Context(Path(folder), checkpoints, lambda epoch, metrics: losses.append(metrics["loss"]))
        job = Job(stage, 0, section, width=1, monitor="loss", goal="min", context=context)
        learner = train.make_learner(stage, config, rows, job)
        with stated_products():
            train_loop(learner, job)  # type: ignore[arg-type]
    return losses[0], [weights.detach().cpu() for weights in learner.model.state_dict().values()]


def products(bench: Bench) -> Found:
    """Return relative errors of products of 32-bit numbers."""
    side = 64 if bench.tiny else 2048
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator, dtype=torch.float64) for _ in range(2))
    image = torch.randn(4, 32, 32, 32, generator=generator, dtype=torch.float64)
    kernel = torch.randn(32, 32, 3, 3, generator=generator, dtype=torch.float64)
    work: Mapping[str, tuple[Callable[..., Tensor], tuple[Tensor, Tensor]]] = {
        "matrix": (torch.matmul, (a, b)),
        "convolution": (nn.functional.conv2d, (image, kernel)),
    }
    found: Found = {}
    for name, (compute, given) in work.items():
        exact = compute(*given)
        for tf32 in (False, True):
            with stated_products(tf32=tf32):
                made = compute(*(x.float().to(bench.device) for x in given)).cpu().double()
            found[f"{name}_{'tf32' if tf32 else 'fp32'}"] = float((made - exact).norm() / exact.norm())
    return found


def memory(bench: Bench) -> Found:
    """Return peaks of training steps beside their forecasts, and what asking for more than a share leads to."""
    overrides = {} if bench.tiny else {"preset": "paper"}
    config = resolve({**overrides, "motion.patch_size": 4}).motion
    voxels, video = (900, (8, 4, 16, 16)) if bench.tiny else (4500, (8, 4, 64, 64))
    model = MotionGenerator(config, voxels=voxels, video=video).to(bench.device)
    found: Found = {}
    for rows in (2, 4, 8) if bench.tiny else (8, 16, 32):
        for name in ("fp32", "bf16"):
            section = config.train.model_copy(update={"precision": name})
            inputs = _inputs(rows, voxels, video, bench.device)
            told = forecast(model, inputs, section).step
            found[f"{rows} rows, {name}"] = {"forecast": told, "measured": _peak(model, inputs, section, bench)}
    found["share"] = _exceed(0.1) if bench.cuda else None
    return found


def _inputs(rows: int, voxels: int, video: tuple[int, ...], device: torch.device) -> tuple[Tensor, ...]:
    frames = video[0] - 1
    mask = torch.ones(rows, frames, frames, dtype=torch.bool, device=device)
    return torch.randn(rows, frames, *video[1:], device=device), torch.randn(rows, voxels, device=device), mask


def _peak(model: nn.Module, inputs: tuple[Tensor, ...], config: TrainConfig, bench: Bench) -> int | None:
    """Return the most that torch allocates in a step beside what is there before; None on a CPU."""
    weights = list(model.parameters())
    optimizer = make_optimizer(weights, config)
    for _ in range(2):  # the first step makes the averages
        optimizer.zero_grad(set_to_none=True)
        if bench.cuda:
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if bench.cuda else 0
        with precision(config, bench.device):
            loss = model(*inputs).float().square().mean()
        loss.backward()
        add_l1_gradient(weights, config.l1)
        optimizer.step()
    return torch.cuda.max_memory_allocated() - before if bench.cuda else None


def _exceed(share: float) -> str:
    """Return the cause that a trial has which asks for more than its share of the GPU."""
    with granted_gpu(share):
        try:
            _, total = torch.cuda.mem_get_info()
            torch.empty(int(1.5 * share * total), dtype=torch.uint8, device="cuda")
        except RuntimeError as error:
            return cause_of(error)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    return "nothing: the share was exceeded"


def training(bench: Bench) -> Found:
    """Return steps per second of both ways of training, for each decoder."""
    size = train.SIZES["phantom" if bench.tiny else "paper"]
    steps = 1 if bench.tiny else 30
    found: Found = {}
    for stage in train.STAGES:
        if bench.cuda:
            torch.cuda.reset_peak_memory_stats()
        plain = train.straightforward(stage, size, device=bench.device, steps=steps)
        fast, _ = train.ours(stage, size, device=bench.device, steps=steps)
        peak = torch.cuda.max_memory_allocated() if bench.cuda else None
        found[stage] = {"plain": plain, "ours": fast, "ratio": fast / plain, "peak_bytes": peak}
    return found


def generation(bench: Bench) -> Found:
    """Return clips per second of both ways of generating, at equal numbers of steps."""
    size = reconstruct.SIZES["small" if bench.tiny else "v1-5"]
    steps, many = (2, 2) if bench.tiny else (20, 16)
    config = GeneratorConfig(inversion_steps=steps, steps=steps, batch_clips=8)
    short = config.model_copy(update={"inversion_steps": 2, "steps": 2})
    unet, schedule = reconstruct.build(size, bench.device), noise_scheduler()
    few, all_clips = reconstruct.random_material(size, 1), reconstruct.random_material(size, many)
    plain = reconstruct.spell_out(unet, reconstruct.FRAMES)
    reconstruct.plain_loop(plain, schedule, short, few)
    slow, expected = reconstruct.timed(lambda: reconstruct.plain_loop(plain, schedule, config, few))
    same = reconstruct.ours(unet, schedule, config, few)
    fast_unet = unet.to(torch.bfloat16 if bench.cuda else torch.float32)
    reconstruct.ours(fast_unet, schedule, short, all_clips)
    fast, _ = reconstruct.timed(lambda: reconstruct.ours(fast_unet, schedule, config, all_clips))
    return {
        "plain": 1 / slow,
        "ours": many / fast,
        "ratio": many / fast * slow,
        "difference_fp32": reconstruct.difference(same, expected),
        "peak_bytes": torch.cuda.max_memory_allocated() if bench.cuda else None,
    }


def judges(bench: Bench) -> Found:
    """Return frames per second of the networks that judge, on one core and on the device."""
    found: Found = {}
    threads = torch.get_num_threads()
    for name, (model, frames) in _judges(tiny=bench.tiny).items():
        try:
            torch.set_num_threads(1)
            alone = _rate(model, frames[:2], torch.device("cpu"))
        finally:
            torch.set_num_threads(threads)
        there = _rate(model, frames, bench.device)
        found[name] = {"one_core": alone, "ours": there, "ratio": there / alone}
    return found


def _judges(*, tiny: bool) -> Mapping[str, tuple[nn.Module, Tensor]]:
    """Return the untrained networks with inputs: images, for the video classifier clips."""
    from transformers import (
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
        VideoMAEConfig,
        VideoMAEForVideoClassification,
        ViTConfig,
        ViTForImageClassification,
    )

    small: Any = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = small if tiny else {}
    count = 2 if tiny else 64
    images, clips = torch.randn(count, 3, 224, 224), torch.randn(max(2, count // 8), 16, 3, 224, 224)
    return {
        "clip_b32": (CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)).eval(), images),
        "vit_b16": (ViTForImageClassification(ViTConfig(num_labels=1000, **sizes)).eval(), images),
        "videomae": (VideoMAEForVideoClassification(VideoMAEConfig(num_labels=400, **sizes)).eval(), clips),
    }


@torch.no_grad()
def _rate(model: nn.Module, inputs: Tensor, device: torch.device) -> float:
    model, inputs = model.to(device), inputs.to(device)
    with stated_products():
        model(pixel_values=inputs)
        started = train.synchronised_time()
        model(pixel_values=inputs)
        seconds = train.synchronised_time() - started
    model.to("cpu")
    return len(inputs) / seconds


PARTS: Mapping[str, tuple[Callable[[Bench], Found], float]] = {
    "parity": (parity, 30),
    "products": (products, 10),
    "memory": (memory, 40),
    "training": (training, 150),
    "generation": (generation, 120),
    "judges": (judges, 60),
}
"""Name to function and a guess of its seconds on a GPU."""


def measure(bench: Bench, out: Path, *, parts: tuple[str, ...], seconds: float) -> Found:
    """Run the parts that `out` does not have, as long as time is left; return all that is known."""
    done: Found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    began = time.monotonic()
    for name in parts:
        work, guess = PARTS[name]
        if name in done:
            continue
        if not bench.tiny and time.monotonic() - began + guess > seconds:
            print(f"{name}: no time is left; the same command runs it")
            continue
        started = time.monotonic()
        if bench.cuda:
            torch.cuda.reset_peak_memory_stats()
        with granted_gpu(1) if bench.cuda else nullcontext():
            found = work(bench)
        done[name] = {**found, "seconds": round(time.monotonic() - started, 1)}
        done["machine"] = {"torch": torch.__version__, "device": _name(bench.device)}
        unfinished = out.with_suffix(".part")
        unfinished.write_text(json.dumps(done, indent=1), encoding="utf-8")
        os.replace(unfinished, out)
        print(f"{name}: {json.dumps(done[name])}", flush=True)
    return done


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def main() -> None:
    """Measure what is missing in the file."""
    parser = argparse.ArgumentParser(description=(__doc__ if __doc__ is not None else "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--size", choices=("real", "tiny"), default="real")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} finds no CUDA device; --size tiny --device cpu runs without one")
    device = torch.device("cuda", 0) if given.device == "cuda" else torch.device("cpu")
    measure(Bench(device, given.size == "tiny"), given.out, parts=tuple(given.parts), seconds=60 * given.minutes)


if __name__ == "__main__":
    main()
