"""Train one step of networks of growing size, and print what each took and what was forecast, in bytes, as JSON.

python -m tests.programs.step_peak, with glibc told to give memory back at once (`tests/trainables/test_step_memory.py`)
"""

import ctypes
import gc
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.config.decoders import TrainConfig
from trainables.config.trial import resolve
from trainables.descent import add_l1_gradient, make_optimizer, precision
from trainables.micro_batch import InParts
from trainables.networks.decoders import semantic_decoder
from trainables.networks.motion import MotionGenerator
from trainables.step_memory import forecast

CPU = torch.device("cpu")
Inputs = tuple[Tensor, ...]


def semantic(batch: int) -> tuple[nn.Module, Inputs]:
    config = resolve({"preset": "paper"}).semantic
    return semantic_decoder(config, voxels=900, clip_dim=512, condition=(19, 768)), (torch.randn(batch, 900),)


def motion(batch: int) -> tuple[nn.Module, Inputs]:
    model = MotionGenerator(resolve({"motion.patch_size": 4}).motion, voxels=900, video=(8, 4, 16, 16))
    mask = torch.ones(batch, 7, 7, dtype=torch.bool)
    return model, (torch.randn(batch, 7, 4, 16, 16), torch.randn(batch, 900), mask)


CASES: dict[str, tuple[Callable[[int], tuple[nn.Module, Inputs]], int, dict[str, object]]] = {
    "motion 32": (motion, 32, {}),
    "motion 64": (motion, 64, {}),
    "motion 128": (motion, 128, {}),
    "motion 128, 32 at a time": (motion, 128, {"micro_batch": 32}),
    "motion 128 in bf16": (motion, 128, {"precision": "bf16"}),
    "semantic 64 without l1": (semantic, 64, {}),
    "semantic 64": (semantic, 64, {"l1": 1e-4}),
}


def measured(model: nn.Module, inputs: Inputs, config: TrainConfig) -> int:
    """Return by how much the process grows in a step at most, beside weights and the optimiser's averages."""
    weights = list(model.parameters())
    optimizer = make_optimizer(weights, config)
    forward = model if config.micro_batch is None else InParts(model, model, rows=config.micro_batch)

    def step(batch: Inputs) -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision(config, CPU):
            made = forward(*batch)
        parts = (made,) if isinstance(made, Tensor) else made
        loss = torch.stack([(x.float() - torch.zeros_like(x)).square().mean() for x in parts]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        add_l1_gradient(weights, config.l1)
        optimizer.step()

    step(tuple(x[:2] for x in inputs))  # the averages, and what libraries keep
    optimizer.zero_grad(set_to_none=True)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the highest size from now on
    before = _kilobytes("VmRSS")
    step(inputs)
    return (_kilobytes("VmHWM") - before) * 1024


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Print case to {measured, forecast}."""
    torch.set_num_threads(1)
    found = {}
    for name, (build, batch, overrides) in CASES.items():
        model, inputs = build(batch)
        config = TrainConfig.model_validate({"device": "cpu", **overrides})
        step = forecast(model.train(), inputs, config, rows=config.micro_batch).step
        found[name] = {"measured": measured(model, inputs, config), "forecast": step}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
