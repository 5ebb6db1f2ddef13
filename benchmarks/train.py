"""Training steps per second, ours against a straightforward loop, at phantom and paper size.

`python -m benchmarks.train [--sizes phantom paper] [--device cpu]`, from a bare checkout with torch, pydantic and
safetensors. Both sides train the same networks on the same random data. The straightforward loop is written the way the
released code trains: data on the host, one L1 sum over all parameters in Python at every step (mind-animator.md B10),
masks filled entry by entry, attention spelled out, an optimiser that goes parameter by parameter, and `.item()` at
every step.

The last column is a limit: the ratio that ours would have if it computed nothing but its matrix products and attention,
which both sides need. Their share of a step is what torch's profiler says.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from storage.memory import MemoryStore
from storage.runs import Checkpoints
from trainables.config.decoders import TrainConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context
from trainables.distributed import Forward
from trainables.loop import Job, pick_device, train
from trainables.losses import latent_mse, semantic_loss
from trainables.networks.attention import Attention
from trainables.randomness import Streams
from trainables.stages.decoding import DecoderLearner, SplitRows
from trainables.stages.motion import LEARNERS
from trainables.stages.semantic import SemanticLearner
from trainables.stages.structure import StructureLearner

STAGES = ("semantic", "structure", "motion")
L1 = {"semantic": 0.0, "structure": 4e-6, "motion": 6e-7}
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::convolution", "scaled_dot_product", "gemm")
"""Parts of the names that the profiler gives to matrix products and attention."""
WARM_UP = 2
"""Steps that are not timed."""


@dataclass(frozen=True)
class Size:
    """Shapes of the data, and how many steps are timed on a CPU."""

    voxels: int
    clip_dim: int
    condition: tuple[int, int]
    video: tuple[int, int, int, int]
    cpu_steps: Mapping[str, int]
    preset: str


SIZES = {
    "phantom": Size(900, 64, (20, 96), (8, 4, 16, 16), dict.fromkeys(STAGES, 40), "phantom"),
    "paper": Size(4500, 512, (20, 768), (8, 4, 64, 64), {"semantic": 6, "structure": 10, "motion": 3}, "paper"),
}


def random_rows(size: Size, count: int, device: torch.device) -> SplitRows:
    """Return `count` clips of noise."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator).to(device)

    features = {
        "clip_image": noise(size.clip_dim),
        "clip_text": noise(size.clip_dim),
        "clip_image_variants": noise(4, size.clip_dim),
        "clip_text_variants": noise(8, size.clip_dim),
        "condition": noise(*size.condition),
        "latents": noise(*size.video),
    }
    return SplitRows(torch.arange(count), noise(size.voxels), features)


class Timed:
    """A learner whose steps are timed from the third to the last, and that skips validation."""

    def __init__(self, learner: DecoderLearner, steps: int) -> None:
        self._learner = learner
        self._steps = steps
        self._count = 0
        self._started = 0.0
        self.steps_per_second = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the learner's loss; look at the clock before the first timed and the last step."""
        if self._count in (WARM_UP, WARM_UP + self._steps):
            now = synchronised_time()
            self.steps_per_second = self._steps / (now - self._started)
            self._started = now
        self._count += 1
        loss: Tensor = self._learner.loss(forward, rows, streams)  # type: ignore[attr-defined]
        return loss

    def evaluate(self) -> dict[str, float]:
        """Return nothing of interest."""
        return {"monitor": 0.0}


def synchronised_time() -> float:
    """Return the time at which all that was asked of the device is done, in seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def make_learner(stage: str, config: TrialConfig, rows: SplitRows, job: Job) -> DecoderLearner:
    """Return the learner of `stage`, of which `rows` are training and validation clips."""
    both = {"train": rows, "validation": rows}
    if stage == "semantic":
        return SemanticLearner(config.semantic, both, job)
    if stage == "structure":
        return StructureLearner(config.structure, both, job)
    return LEARNERS[config.motion.kind](config.motion, both, job)


def ours(stage: str, size: Size, *, device: torch.device, steps: int) -> tuple[float, int]:
    """Return the steps per second of the project's own loop, and the number of parameters."""
    config = resolve({"preset": size.preset})
    section: TrainConfig = getattr(config, stage).train
    on_gpu = device.type == "cuda"
    fast: dict[str, Any] = {"precision": "bf16", "compile": True} if on_gpu else {}
    section = section.model_copy(update={"epochs": 1, "batch_size": 64, "device": device.type, "l1": L1[stage], **fast})
    rows = random_rows(size, 64 * (steps + WARM_UP + 1), device)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder), Checkpoints(MemoryStore(), stage, cache=Path(folder)))
        job = Job(stage, 0, section, width=1, monitor="monitor", goal="min", context=context)
        learner = make_learner(stage, config, rows, job)
        timed = Timed(learner, steps)
        train(timed, job)
    return timed.steps_per_second, sum(p.numel() for p in learner.model.parameters())


def share_of_products(stage: str, size: Size, *, device: torch.device) -> float:
    """Return the share of our training's time that matrix products and attention take, from the profiler."""
    from torch.profiler import profile

    with profile() as profiler:
        ours(stage, size, device=device, steps=8 if size is SIZES["phantom"] else 1)
    on_gpu = device.type == "cuda"
    times = {
        row.key: row.self_device_time_total if on_gpu else row.self_cpu_time_total for row in profiler.key_averages()
    }
    products = sum(time for key, time in times.items() if any(name in key for name in PRODUCTS))
    return float(products / sum(times.values()))


def straightforward(stage: str, size: Size, *, device: torch.device, steps: int) -> float:
    """Return the steps per second of a loop that is written like the released code's."""
    config = resolve({"preset": size.preset})
    host = torch.device("cpu")
    rows = random_rows(size, 64 * (steps + WARM_UP + 1), host)
    section: TrainConfig = getattr(config, stage).train.model_copy(update={"device": "cpu"})
    job = Job(stage, 0, section, width=1, monitor="", goal="min", context=Context(Path(), None))  # type: ignore[arg-type]
    model = make_learner(stage, config, rows, job).model.to(device)
    for module in model.modules():
        if isinstance(module, Attention):
            module.forward = spelled_out(module)  # type: ignore[method-assign]
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, foreach=False)
    total, started = 0.0, 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            started = synchronised_time()
        picked = random.sample(range(len(rows)), 64)
        loss = host_loss(stage, config, model, rows, picked=picked, device=device)
        penalty = sum(parameter.abs().sum() for parameter in model.parameters())
        if L1[stage] > 0:  # the released semantic decoder computes the sum and drops it
            loss = loss + L1[stage] * penalty
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
    return steps / (synchronised_time() - started)


def host_loss(
    stage: str, config: TrialConfig, model: nn.Module, rows: SplitRows, *, picked: list[int], device: torch.device
) -> Tensor:
    """Return the loss of clips `picked`, each copied from the host and stacked."""

    def batch(tensor: Tensor) -> Tensor:
        return torch.stack([tensor[i] for i in picked]).to(device)

    fmri = batch(rows.fmri)
    features = rows.features
    if stage == "structure":
        return latent_mse(model(fmri), batch(features["latents"])[:, 0])
    if stage == "semantic":
        names = ("clip_text", "clip_image", "condition")
        text, image, condition = (batch(features[name]) for name in names)
        scale: Any = model.logit_scale
        return semantic_loss(config.semantic, model(fmri), (text, image, condition[:, 1:]), scale)
    latents = batch(features["latents"])
    mask = python_masks(len(picked), latents.shape[1] - 1, config.motion.mask_ratio).to(device)
    return latent_mse(model(latents[:, :-1], fmri, mask), latents[:, 1:])


def python_masks(batch: int, frames: int, ratio: float) -> Tensor:
    """Fill masks [batch, frames, frames] entry by entry."""
    masks = [
        [[j == i or (j < i and random.random() >= ratio) for j in range(frames)] for i in range(frames)]
        for _ in range(batch)
    ]
    return torch.tensor(masks)


def spelled_out(attention: Attention) -> Callable[..., Tensor]:
    """Return what `attention` computes, written as matrix products and a softmax."""

    def forward(tokens: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        def split(x: Tensor) -> Tensor:
            return x.view(x.shape[0], x.shape[1], attention.heads, -1).transpose(1, 2)

        query = split(attention.query(tokens))
        key, value = split(attention.key(source)), split(attention.value(source))
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -1e9)
        weights = attention.dropout(scores.softmax(-1))
        out: Tensor = attention.out((weights @ value).transpose(1, 2).flatten(2))
        return out

    return forward


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Training steps per second, ours against a straightforward loop.")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args()
    device = pick_device(options.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {name}, batch 64\n")
    print("| size | stage | parameters | straightforward, steps/s | ours, steps/s | ratio | products alone |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for size_name in options.sizes:
        size = SIZES[size_name]
        for stage in options.stages:
            steps = 60 if device.type == "cuda" else size.cpu_steps[stage]
            plain = straightforward(stage, size, device=device, steps=steps)
            fast, parameters = ours(stage, size, device=device, steps=steps)
            counted = f"{parameters / 1e6:.2f} M"
            limit = fast / plain / share_of_products(stage, size, device=device)
            cells = (size_name, stage, counted, f"{plain:.3g}", f"{fast:.3g}", f"{fast / plain:.2f}", f"{limit:.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
