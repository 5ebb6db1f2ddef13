"""A made-up sweep of the motion stage: a real `Study`, and events as its trials would give, without running any."""

import json
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from platform.events import TrialEvent
from platform.study.domains import AnyDomain, Choice, Integers, LogUniform, Uniform
from platform.study.schedulers import FifoOptions, SchedulerConfig
from platform.study.space import Space
from platform.study.study import Study
from tests.platform.made_up_events import made_up_event
from trainables.config.trial import resolve
from trainables.metrics.registry import METRICS

BEGAN = 1_790_000_000.0
"""Seconds since 1970: when the first trial was proposed."""
EPOCHS = 6
SOURCE = "# A made-up sweep.\ntargets: [motion.rollout_mse]\nsampler: tpe\ntrials: 12\n"
DOMAINS: dict[str, AnyDomain] = {
    "motion.patch_size": Choice(choice=(1, 2, 4)),
    "motion.spatial_fusion": Choice(choice=("cross", "self", "adaln")),
    "motion.mask_ratio": Uniform(uniform=(0.0, 0.9)),
    "motion.depth": Integers(int=(2, 6)),
    "motion.train.lr": LogUniform(log_uniform=(1e-4, 3e-3)),
    "motion.heads": Choice(choice=(2, 4, 8), when={"motion.spatial_fusion": ("cross", "self")}),
}


def made_up_study(*, trials: int = 12, repeats: int = 1, targets: tuple[str, ...] = ("motion.rollout_mse",)) -> Study:
    """Return a study over six fields, one of them conditional."""
    return _FixedId(
        name="cmg",
        space=Space(DOMAINS),
        targets=tuple(METRICS[name] for name in targets),
        sampler="tpe",
        scheduler=SchedulerConfig("fifo", FifoOptions()),
        trials=trials,
        repeats=repeats,
        seed=0,
        source=SOURCE,
        path="search_spaces/cmg.yaml",
    )


class _FixedId(Study):
    """A study whose definition needs no data set or weights to be fingerprinted."""

    id = "cmg-1a2b3c4d"

    @property
    def definition(self) -> dict[str, Any]:
        return {
            "base": {"preset": "phantom"},
            "space": {
                name: json.loads(domain.model_dump_json(exclude_defaults=True)) for name, domain in DOMAINS.items()
            },
            "targets": [target.name for target in self.targets],
            "sampler": self.sampler,
            "scheduler": self.scheduler.to_json(),
            "seed": self.seed,
            "repeats": self.repeats,
        }


def point(index: int) -> dict[str, Any]:
    """Return the values of point `index`, the same at every call."""
    draw = random.Random(index)
    values: dict[str, Any] = {
        "motion.patch_size": draw.choice((1, 2, 4)),
        "motion.spatial_fusion": draw.choice(("cross", "self", "adaln")),
        "motion.mask_ratio": draw.uniform(0.0, 0.9),
        "motion.depth": draw.randint(2, 6),
        "motion.train.lr": 10 ** draw.uniform(-4, -2.5),
    }
    if values["motion.spatial_fusion"] != "adaln":
        values["motion.heads"] = draw.choice((2, 4, 8))
    return values


def rollout_mse(values: Mapping[str, Any], *, repeat: int = 0) -> float:
    """Return what a trial with `values` comes to: mask ratio and learning rate matter most, then patch size."""
    rate = math.log10(values["motion.train.lr"]) + 3.2
    noise = random.Random(f"{sorted(values.items())}{repeat}").uniform(-0.01, 0.01)
    return float(
        0.35
        + 0.5 * (values["motion.mask_ratio"] - 0.6) ** 2
        + 0.12 * rate**2
        + 0.02 * values["motion.patch_size"]
        + noise
    )


def trial_events(index: int, *, repeat: int = 0, repeats: int = 1, outcome: str = "COMPLETED") -> Iterator[TrialEvent]:
    """Yield all events of one trial; trials start 40 s after each other."""
    trial = f"t{index:04d}" if repeats == 1 else f"t{index:04d}-s{repeat}"
    began = BEGAN + 40.0 * (index * repeats + repeat)
    values = point(index)
    yield made_up_event(trial, 0, "proposed", began, proposed(index, repeat, values))
    yield made_up_event(trial, 1, "started", began + 5, {"attempt": 1})
    final = rollout_mse(values, repeat=repeat)
    count = {"COMPLETED": EPOCHS, "PRUNED": 2, "FAILED": 1}[outcome]
    curve = [final + 0.5 * math.exp(-0.9 * epoch) * (EPOCHS - epoch) / EPOCHS for epoch in range(1, EPOCHS + 1)]
    for epoch, value in enumerate(curve[:count], start=1):
        metrics = {"loss": value * 1.1, "rollout_mse": value, "teacher_forced_mse": value * 0.8}
        row = {"stage": "motion", "epoch": epoch, "metrics": metrics, "time": began + 5 + 4 * epoch}
        yield made_up_event(trial, 1 + epoch, "epochs", began + 5.1 + 4 * epoch, {"rows": [row]})
    body = finished(outcome, final if outcome == "COMPLETED" else curve[count - 1], count)
    yield made_up_event(trial, 2 + count, "finished", began + 8 + 4 * count, body)


def proposed(index: int, repeat: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a `proposed` event."""
    config = resolve(values).model_dump(mode="json")
    shared = [_run(stage, 7) for stage in ("data", "features", "voxels", "structure")]
    runs = [*shared, _run("motion", 1000 + index * 10 + repeat)]
    return {"point": index, "repeat": repeat, "seed": repeat, "values": dict(values), "config": config, "runs": runs}


def finished(outcome: str, value: float, epochs: int) -> dict[str, Any]:
    """Return the body of a `finished` event."""
    metrics = {"motion.rollout_mse": value, "motion.teacher_forced_mse": value * 0.8}
    if outcome == "COMPLETED":
        metrics |= {
            "motion.rollout_mse_static": 0.62,
            "motion.rollout_mse_mean": 0.55,
            "structure.latent_mse": 0.5 + value / 9,
        }
    error = (
        "Traceback (most recent call last):\n  File x\nValueError: the loss is not finite"
        if outcome == "FAILED"
        else None
    )
    stages = {"structure": (True, 31.0), "motion": (False, 4.0 * epochs)}
    runs = {s: {"identity": f"{s}-{7:016x}", "reused": reused, "seconds": t} for s, (reused, t) in stages.items()}
    return {
        "outcome": outcome,
        "metrics": {} if outcome == "FAILED" else metrics,
        "step": epochs,
        "error": error,
        "seconds": 4.0 * epochs + 3,
        "runs": runs,
    }


def study_events(*, trials: int = 12, repeats: int = 1, pruned: int = 2, failed: int = 1) -> list[TrialEvent]:
    """Return the events of a whole study: some early trials stopped early, one failed."""
    ends = {3 + 2 * i: "PRUNED" for i in range(pruned)} | {4 + 2 * i: "FAILED" for i in range(failed)}
    indices = [(index, repeat) for index in range(trials) for repeat in range(repeats)]
    chains = (trial_events(i, repeat=r, repeats=repeats, outcome=ends.get(i, "COMPLETED")) for i, r in indices)
    return [event for chain in chains for event in chain]


def later(event: TrialEvent, *, trial: str | None = None, **body: Any) -> TrialEvent:
    """Return `event` with other parts of its body, perhaps for another trial."""
    name = event.trial if trial is None else trial
    return made_up_event(name, event.sequence, event.kind, event.time, {**event.body, **body})


def _run(stage: str, number: int) -> dict[str, Any]:
    return {"stage": stage, "identity": f"{stage}-{number:016x}", "seed": 0, "config": {}, "inputs": {}}
