import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from storage.memory import MemoryStore
from storage.runs import Checkpoints
from trainables.augment import Sparsifier, draw_keep
from trainables.config.decoders import SparsifyConfig, TrainConfig
from trainables.context import Context, silent
from trainables.descent import add_l1_gradient, compiled, l1_weight, learning_rate
from trainables.distributed import Forward
from trainables.loop import DivergedError, Job, LoopState, train
from trainables.networks.dropout import Dropout
from trainables.randomness import Streams, derived_seed

CUMULATIVE = SparsifyConfig(unit="entries", refresh="epoch", cumulative=True)


class ToyLearner:
    """Regression with dropout, masks and state: all that a resumed run could get wrong."""

    def __init__(self, values: list[float] | None = None, bad_step: int | None = None) -> None:
        with Streams(0, "toy", epoch=0).as_default("init"):
            self.model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
            self.x = torch.randn(50, 6)
            self.y = self.x[:, :2] + self.x[:, 2:4]
        self.values, self.bad_step, self.steps = values, bad_step, 0
        self.sparsifier = Sparsifier(CUMULATIVE, self.x)
        self.evaluations = 0

    @property
    def rows(self) -> int:
        return len(self.x)

    def begin_epoch(self, streams: Streams) -> None:
        self.sparsifier.begin_epoch(streams["sparsify"])

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        self.steps += 1
        noise = torch.randn(len(rows), 6, generator=streams["noise"])
        loss = (forward(self.sparsifier(rows, streams["x"]) + 0.1 * noise) - self.y[rows]).square().mean()
        return torch.as_tensor(loss * math.nan if self.steps == self.bad_step else loss)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        assert not self.model.training
        self.evaluations += 1
        value = (self.model(self.x) - self.y).square().mean().item()
        return {"error": value if self.values is None else self.values[self.evaluations - 1]}

    def state(self) -> dict[str, Tensor]:
        assert self.sparsifier.keep is not None
        return {"keep": self.sparsifier.keep}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.sparsifier.keep = state["keep"]


class Interrupted(Exception):
    pass


def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(MemoryStore(), "toy-0", cache=tmp_path / "cache")


def job(saved: Checkpoints, report: Any = silent, *, goal: Any = "min", **config: Any) -> Job:
    train_config = TrainConfig(**{"epochs": 5, "batch_size": 16, "warmup_steps": 4, "device": "cpu", **config})
    context = Context(output=Path("unused"), checkpoints=saved, report=report)
    return Job("toy", 3, train_config, width=16, monitor="error", goal=goal, context=context)


def run(saved: Checkpoints, report: Any = silent, **config: Any) -> tuple[dict[str, Tensor], LoopState]:
    learner = ToyLearner()
    progress = train(learner, job(saved, report, **config))
    return learner.model.state_dict(), progress


@pytest.mark.parametrize("interrupted_at", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("config", [{}, {"weight_decay": 0.1, "l1": 1e-3, "l1_decay": 0.1, "schedule": "noam"}])
def test_a_resumed_run_is_bit_equal(tmp_path: Path, interrupted_at: int, config: dict[str, Any]) -> None:
    weights, progress = run(checkpoints(tmp_path / "a"), **config)
    saved, seen = checkpoints(tmp_path / "b"), []

    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        seen.append((epoch, metrics["error"]))
        if epoch == interrupted_at:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(saved, stop, **config)
    torch.manual_seed(999)  # another process has other default generators
    resumed_weights, resumed = run(saved, lambda epoch, metrics: seen.append((epoch, metrics["error"])), **config)
    assert resumed == progress
    assert all(torch.equal(resumed_weights[name], weight) for name, weight in weights.items())
    expected = [(epoch, metrics["error"]) for epoch, metrics in enumerate(progress.history, 1)]
    assert sorted(set(seen)) == expected
    # What the checkpoint holds is reported again. Only the last epoch, which needs none, is ever trained twice.
    assert [epoch for epoch, _ in seen] == [*range(1, interrupted_at + 1), 1, 2, 3, 4, 5]


def test_a_resumed_run_of_which_the_best_epoch_is_past_keeps_it(tmp_path: Path) -> None:
    values = [5.0, 1.0, 2.0, 3.0, 4.0]
    whole, saved = ToyLearner(values), checkpoints(tmp_path)
    progress = train(whole, job(checkpoints(tmp_path / "other")))
    assert (progress.best_epoch, progress.best_value) == (2, 1.0)

    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(ToyLearner(values), job(saved, stop))
    resumed = ToyLearner(values[3:])
    assert train(resumed, job(saved)) == progress
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight)


class Wider(ToyLearner):
    """A network of other sizes, as of a later version of a plug-in's code that forgot its checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        with Streams(0, "toy", epoch=0).as_default("init"):
            self.model = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 2))


@pytest.mark.parametrize("damage", ["shapes", "progress", "optimizer"])
def test_a_checkpoint_that_does_not_fit_is_not_continued(tmp_path: Path, damage: str) -> None:
    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        raise Interrupted

    fresh = Wider()
    expected = train(fresh, job(checkpoints(tmp_path / "other")))
    saved = checkpoints(tmp_path)
    with pytest.raises(Interrupted):
        train(ToyLearner() if damage == "shapes" else Wider(), job(saved, stop))
    if damage != "shapes":
        latest = saved.latest()
        assert latest is not None
        shutil.copytree(latest[1], tmp_path / "changed")
        name, text = {"progress": ("progress.json", "{}}"), "optimizer": ("optimizer.safetensors", "no tensors")}[
            damage
        ]
        (tmp_path / "changed" / name).chmod(0o600)
        (tmp_path / "changed" / name).write_text(text)
        saved.save(1, tmp_path / "changed")
    again, made = Wider(), job(saved)
    assert train(again, made) == expected
    for name, weight in fresh.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], weight)
    (warning,) = made.context.telemetry.warnings
    assert warning.startswith("toy: the checkpoint of epoch 1 cannot be continued, training starts over: ")


@pytest.mark.parametrize(("epochs", "reported"), [(9, [1, 2]), (3, [1, 2, 3])])
def test_the_epoch_after_which_patience_runs_out_is_not_decided_on(
    tmp_path: Path, epochs: int, reported: list[int]
) -> None:
    """A scheduler would stop what is complete. The row follows from the history of the stage run."""
    seen: list[int] = []
    learner = ToyLearner([1.0, 2.0, 3.0])
    report = lambda epoch, metrics: seen.append(epoch)  # noqa: E731
    progress = train(learner, job(checkpoints(tmp_path), report, patience=2, epochs=epochs))
    assert (seen, len(progress.history)) == (reported, 3)


def test_a_checkpoint_is_made_when_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    due, saved, found = iter([False, True, False, False]), checkpoints(tmp_path), []
    monkeypatch.setattr("trainables.keeping.Pace.due", lambda pace: next(due))

    def look(epoch: int, metrics: Mapping[str, float]) -> None:
        latest = saved.latest()
        found.append(None if latest is None else latest[0])

    run(saved, look)
    assert found == [None, 2, 2, 2, 2]


def test_the_last_weights_are_kept_if_asked_for_also_after_a_resume(tmp_path: Path) -> None:
    values = [5.0, 1.0, 2.0, 3.0, 4.0]
    whole, seen, saved = ToyLearner(values), [], checkpoints(tmp_path)

    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 3:
            raise Interrupted

    def record(epoch: int, metrics: Mapping[str, float]) -> None:
        seen.append({name: tensor.clone() for name, tensor in whole.model.state_dict().items()})

    progress = train(whole, job(checkpoints(tmp_path / "other"), record, keep="last"))
    assert (progress.epoch, progress.best_epoch) == (5, 2)
    assert torch.equal(whole.model.state_dict()["0.weight"], seen[-1]["0.weight"])
    with pytest.raises(Interrupted):
        train(ToyLearner(values), job(saved, stop, keep="last"))
    resumed = ToyLearner(values[3:])
    assert train(resumed, job(saved, keep="last")) == progress
    assert torch.equal(resumed.model.state_dict()["0.weight"], seen[-1]["0.weight"])


def test_training_learns_and_depends_on_the_seed(tmp_path: Path) -> None:
    weights, progress = run(checkpoints(tmp_path), epochs=10, lr=1e-2)
    assert progress.history[-1]["error"] < 0.6 * progress.history[0]["error"]
    other = Job(**{**job(checkpoints(tmp_path / "b"), epochs=10, lr=1e-2).__dict__, "seed": 4})
    learner = ToyLearner()
    train(learner, other)
    assert not torch.equal(learner.model.state_dict()["0.weight"], weights["0.weight"])


def test_default_generators_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(checkpoints(tmp_path))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("goal", "values"), [("min", [3.0, 2.0, 2.5, 2.0, 9.0]), ("max", [1.0, 4.0, 3.0, 3.5, 0.0])])
def test_patience_ends_training_with_the_best_weights(tmp_path: Path, goal: str, values: list[float]) -> None:
    learner = ToyLearner(values)
    progress = train(learner, job(checkpoints(tmp_path), goal=goal, patience=2, epochs=50))
    assert (progress.epoch, progress.best_epoch) == (4, 2)
    two = ToyLearner(values)
    train(two, job(checkpoints(tmp_path / "b"), goal=goal, epochs=2))
    assert torch.equal(learner.model.state_dict()["0.weight"], two.model.state_dict()["0.weight"])


def test_a_nan_loss_names_stage_epoch_and_step(tmp_path: Path) -> None:
    learner = ToyLearner(bad_step=4 + 3)  # four steps an epoch
    with pytest.raises(DivergedError, match=r"toy: the loss is nan at epoch 2, step 3 of 4"):
        train(learner, job(checkpoints(tmp_path)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    with pytest.raises(DivergedError, match=r"toy: error is (nan|inf) after epoch 2"):
        train(ToyLearner([1.0, value]), job(checkpoints(tmp_path)))


def test_any_metric_that_is_not_finite_ends_training(tmp_path: Path) -> None:
    """A rank is finite whatever the network gives, so it is not enough to look at the monitored metric."""

    class Ranked(ToyLearner):
        def evaluate(self) -> dict[str, float]:
            return {"error": 1.0, "validation_loss": math.nan if self.steps > 4 else 1.0}

    with pytest.raises(DivergedError, match="toy: validation_loss is nan after epoch 2"):
        train(Ranked(), job(checkpoints(tmp_path)))


def test_report_comes_after_the_checkpoint_is_safe(tmp_path: Path) -> None:
    saved, found = checkpoints(tmp_path), []

    def look(epoch: int, metrics: Mapping[str, float]) -> None:
        latest = saved.latest()
        assert latest is not None
        found.append((epoch, latest[0]))
        assert {path.suffix for path in latest[1].iterdir()} <= {".safetensors", ".json"}

    run(saved, look)
    assert found == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4)]


def test_best_weights_are_stored_only_where_they_are_not_the_latest(tmp_path: Path) -> None:
    saved, files = checkpoints(tmp_path), []

    def look(epoch: int, metrics: Mapping[str, float]) -> None:
        latest = saved.latest()
        assert latest is not None
        files.append((latest[1] / "best.safetensors").exists())
        with safe_open(latest[1] / "optimizer.safetensors", framework="pt") as file:
            assert any(key.endswith("exp_avg_sq") for key in file.keys())  # noqa: SIM118

    train(ToyLearner([3.0, 2.0, 2.5, 1.0, 1.0]), job(saved, look))
    assert files[:4] == [False, False, True, False]


def rates(**config: Any) -> list[float]:
    train_config = TrainConfig(**{"lr": 0.5, "warmup_steps": 4, **config})
    return [learning_rate(train_config, step=step, epoch=(step + 1) // 2, width=16384) for step in range(1, 9)]


def test_schedules() -> None:
    assert rates() == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert rates(warmup_steps=0) == pytest.approx([0.5] * 8)
    decayed = rates(schedule="exponential", gamma=0.5, warmup_steps=0)
    assert decayed == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625])
    assert rates(schedule="noam", lr=0.1) == rates(schedule="noam", lr=0.9)


def test_noam_has_the_released_code_s_peak() -> None:
    """Peak 1.105e-3 at step 50; 1.17e-4 after 70 epochs of 63 steps; 5.7e-5 after 300 (mind-animator.md B08)."""
    config = TrainConfig(schedule="noam", warmup_steps=50)

    def rate(step: int) -> float:
        return learning_rate(config, step=step, epoch=1, width=16384)

    assert rate(50) == pytest.approx(1.105e-3, rel=1e-3)
    assert max(map(rate, range(1, 500))) == rate(50)
    assert rate(70 * 63) == pytest.approx(1.17e-4, rel=0.01)
    assert rate(300 * 63) == pytest.approx(5.7e-5, rel=0.01)


def test_l1_decay_compounds() -> None:
    """The released code multiplies the weight by exp(-r e) after epoch e, counted from 0."""
    config, weight = TrainConfig(l1=2.0, l1_decay=0.3), 2.0
    for epoch in range(6):
        assert l1_weight(config, epoch + 1) == pytest.approx(weight)
        weight *= math.exp(-0.3 * epoch)


def test_l1_gradient_equals_that_of_the_penalty() -> None:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight[0, 0] = 0.0
    x = torch.randn(5, 4)
    loss = layer(x).square().mean()
    (loss + 0.1 * sum(p.abs().sum() for p in layer.parameters())).backward()
    expected = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    layer.zero_grad()
    layer(x).square().mean().backward()
    add_l1_gradient(list(layer.parameters()), 0.1)
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_bf16_and_compile_are_switches(tmp_path: Path) -> None:
    exact, _ = run(checkpoints(tmp_path / "a"), epochs=2)
    rough, _ = run(checkpoints(tmp_path / "b"), epochs=2, precision="bf16")
    assert not torch.equal(exact["0.weight"], rough["0.weight"])
    torch.testing.assert_close(exact["0.weight"], rough["0.weight"], atol=0.02, rtol=0.1)
    assert rough["0.weight"].dtype == torch.float32


def gradients(forward: Forward, network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Return, on the CPU, the gradients of two steps with dropout."""
    network.zero_grad()
    with Streams(0, "toy", epoch=1).as_default("dropout"):
        first, second = forward(x), forward(x)
    (first.square().mean() + second.square().mean()).backward()
    return [parameter.grad.cpu().clone() for parameter in network.parameters() if parameter.grad is not None]


def network_with_dropout() -> nn.Module:
    with Streams(0, "toy", epoch=0).as_default("init"):
        return nn.Sequential(nn.Linear(6, 8), Dropout(0.5), nn.GELU(), nn.Linear(8, 2), Dropout(0.3))


@pytest.mark.long
def test_a_compiled_network_draws_the_dropout_of_the_uncompiled_one() -> None:
    network, x = network_with_dropout(), torch.randn(5, 6)
    expected = gradients(network, network, x)
    torch.testing.assert_close(gradients(compiled(network), network, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_dropout_of_the_cpu() -> None:
    network, x = network_with_dropout(), torch.randn(5, 6)
    expected = gradients(network, network, x)
    network.to("cuda")
    torch.testing.assert_close(gradients(network, network, x.cuda()), expected, rtol=1e-4, atol=1e-6)


def test_all_random_numbers_are_drawn_on_the_cpu() -> None:
    streams = Streams(0, "toy", epoch=1)
    assert {streams[name].device.type for name in ("order", "mask")} == {"cpu"}
    keep = draw_keep(SparsifyConfig(voxel_fraction=0.5, zero_fraction=0.5), (3, 4), streams["sparsify"])
    assert keep.device.type == "cpu"
    with streams.as_default("dropout"), torch.device("meta"):
        dropped = Dropout(0.5)(torch.ones(4, 3))
    assert dropped.device.type == "meta", "the factors follow their input"


def test_seeds_depend_on_every_name_and_their_order() -> None:
    seeds = {derived_seed(*names) for names in [(1, "a", 2), (1, "a", 3), (2, "a", 1), (1, "b", 2), (12, "a")]}
    assert len(seeds) == 5
    assert derived_seed(1, "a", 2) == derived_seed(1, "a", 2)
    streams = Streams(0, "x", epoch=3)
    later = Streams(0, "x", epoch=4)
    assert torch.equal(torch.rand(3, generator=streams.lasting("m")), torch.rand(3, generator=later.lasting("m")))
    assert not torch.equal(torch.rand(3, generator=streams["m"]), torch.rand(3, generator=later["m"]))
