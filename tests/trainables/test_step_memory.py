"""The memory of a training step, forecast without taking it, and the rows that fit into what is free."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from tests.programs import ROOT, program
from tests.trainables.test_loop import ToyLearner, checkpoints, job
from trainables import loop
from trainables.config.decoders import TrainConfig
from trainables.config.trial import resolve
from trainables.failure import cause_of
from trainables.networks.dropout import Dropout
from trainables.networks.motion import MotionGenerator
from trainables.step_memory import StepMemory, TooLargeError, forecast, inputs_of_step, rows_that_fit

CONFIG = TrainConfig(device="cpu")
WIDE = nn.Sequential(nn.Linear(8, 1024), nn.ReLU(), nn.Linear(1024, 8))
BATCH = (torch.randn(256, 8),)


@pytest.mark.long
def test_the_forecast_is_within_a_tenth_of_what_a_step_takes() -> None:
    """At three sizes, in parts, in half precision, and of a network whose weights need more than what a step saves."""
    returned = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # or freed memory counts as taken
    done = subprocess.run(
        program("step_peak"), cwd=ROOT, env={**os.environ, **returned}, capture_output=True, text=True, check=True
    )
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    ratios = {name: numbers["forecast"] / numbers["measured"] for name, numbers in found.items()}
    assert all(0.9 < ratio < 1.1 for ratio in ratios.values()), ratios
    assert found["motion 128"]["measured"] > 3 * found["motion 32"]["measured"], "sizes that differ"


def test_a_forecast_takes_nothing_and_changes_nothing() -> None:
    """Not the random state either, from which dropout would draw."""
    model = nn.Sequential(nn.Linear(8, 16), Dropout(0.5), nn.Linear(16, 8))
    before, state = [p.clone() for p in model.parameters()], torch.random.get_rng_state()
    forecast(model, BATCH, CONFIG)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None and torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_what_is_held_and_what_a_step_saves() -> None:
    """By hand: a hidden layer is saved once (ReLU keeps its result), and its gradient comes in the backward pass."""
    weights = sum(p.numel() for p in WIDE.parameters()) * 4
    found = forecast(WIDE, BATCH, CONFIG)
    hidden = 256 * 1024 * 4
    assert found.held == 4 * weights
    assert 2 * hidden < found.step < 4 * hidden + weights
    assert found.total == found.held + found.step


def test_the_patch_4_cmg_at_the_papers_width_fits_a_card_in_parts() -> None:
    """At a width of 16,384, 64 clips at once take more than 139 GiB, which the forecast says without such a card."""
    config = resolve({"preset": "paper", "motion.patch_size": 4, "motion.width": 16_384}).motion
    with torch.device("meta"):
        model = MotionGenerator(config, voxels=4500, video=(8, 4, 64, 64))
    inputs = tuple(torch.empty(shape, device="meta") for shape in ((64, 7, 4, 64, 64), (64, 4500)))
    mask = torch.empty((64, 7, 7), dtype=torch.bool, device="meta")
    card = 139 * 2**30
    assert forecast(model, (*inputs, mask), config.train).total > card
    assert rows_that_fit(model, (*inputs, mask), config.train, free=card - 2**30) == 32
    assert rows_that_fit(model, (*inputs, mask), config.train, free=80 * 10**9) == 16


def test_what_is_frozen_has_no_averages_and_no_gradients() -> None:
    half = nn.Sequential(nn.Linear(8, 1024).requires_grad_(False), nn.ReLU(), nn.Linear(1024, 8))
    all_weights = sum(p.numel() for p in half.parameters()) * 4
    frozen = sum(p.numel() for p in half[0].parameters()) * 4
    found = forecast(half, BATCH[:1], CONFIG)
    assert found.held == 4 * all_weights - 2 * frozen
    assert found.step < forecast(WIDE, BATCH[:1], CONFIG).step


@pytest.mark.parametrize(("share", "rows"), [(2.0, None), (0.8, 128), (0.5, 64)])
def test_rows_are_halved_until_they_fit(share: float, rows: int | None) -> None:
    whole: StepMemory = forecast(WIDE, BATCH, CONFIG)
    assert rows_that_fit(WIDE, BATCH, CONFIG, free=int(share * whole.total)) == rows


def test_what_fits_in_no_way_is_refused_with_the_numbers() -> None:
    with pytest.raises(TooLargeError, match=r"one row at a time needs 0\.00 GB .* 0\.00 GB are free") as refused:
        rows_that_fit(WIDE, BATCH, CONFIG, free=1000)
    assert cause_of(refused.value) == "ERROR", "another attempt with half the rows would not fit either"


def test_the_inputs_of_a_step_are_those_that_the_loss_gives() -> None:
    seen = inputs_of_step(lambda network: network(BATCH[0], torch.ones(3)).sum())
    assert seen[0] is BATCH[0]
    assert seen[1].shape == (3,)
    with pytest.raises(ValueError, match="did not call the network"):
        inputs_of_step(lambda network: torch.zeros(()))


def real(tensor: Tensor) -> bool:
    """Return whether `tensor` has values: none that a forecast made."""
    return not isinstance(tensor, FakeTensor)


class Wide(ToyLearner):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(6, 2048), nn.ReLU(), Dropout(0.3), nn.Linear(2048, 2))


@pytest.mark.parametrize(("rows", "said"), [(None, False), (4, True)])
def test_a_training_takes_the_rows_that_fit(
    rows: int | None, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU whose free memory is as given: it says so, and trains what it trains at once, up to rounding."""

    def trained(folder: str, free: int | None) -> tuple[dict[str, Tensor], list[str], list[int]]:
        learner, sizes = Wide(), []
        learner.model.register_forward_hook(
            lambda module, inputs, made: sizes.append(len(made)) if real(made) else None
        )
        of = job(checkpoints(tmp_path / folder), epochs=2)
        monkeypatch.setattr(loop, "free_on_gpu", lambda device: free)
        loop.train(learner, of)
        return learner.model.state_dict(), list(of.context.telemetry.warnings), sizes

    whole, _, at_once = trained("whole", None)
    needed: Any = forecast(Wide().model, (torch.randn(16, 6),), CONFIG, rows=rows).total
    found, warnings, sizes = trained("parts", int(1.1 * needed))
    assert max(at_once) == 50, "validation is at once"
    assert max(size for size in sizes if size != 50) == (16 if rows is None else rows)
    assert bool(warnings) == said
    assert all("rows are computed at a time" in text for text in warnings)
    assert all(torch.allclose(whole[name], found[name], atol=1e-5) for name in whole)
