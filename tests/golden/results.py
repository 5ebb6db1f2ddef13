"""What stages and metrics make of the fixed inputs, as a few numbers, and whether that is what was recorded."""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.golden.inputs import config, networks_of_clips, pair_of_clips, write_inputs
from trainables.context import Context, StageTask
from trainables.datasets.phantom.stimuli import COLOURS, SHAPES, object_mask, sample_factors
from trainables.graph import inputs_of, resolve_reference
from trainables.metrics.clip_metrics import CLIP_METRICS, EVALUATE
from trainables.metrics.objects import KnownObject
from trainables.metrics.registry import METRICS
from trainables.metrics.video import Networks, Reading, reading_of
from trainables.stage_table import STAGES

FOLDER = Path(__file__).resolve().parent
RESULTS, SOURCES = FOLDER / "results.json", FOLDER / "sources.json"
COMMAND = "python -m tests.golden"
RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""By how much a number may differ: see the package's docstring."""

Numbers = dict[str, float]


def stage_result(stage: str) -> Numbers:
    """Run `stage` on the fixed inputs, on the CPU; return its metrics and a few numbers of each file it wrote."""
    with tempfile.TemporaryDirectory() as folder, _one_thread_of_the_cpu():
        given, output = Path(folder) / "in", Path(folder) / "out"
        given.mkdir()
        output.mkdir()
        inputs = write_inputs(given)
        trial = config(given)
        needed = {
            name: inputs.get(f"{name}_of_{stage}", inputs[name]) for name in inputs_of(stage, trial.system, trial)
        }
        task = StageTask(trial, 0, needed, Context(output, NoCheckpoints()))
        result = resolve_reference(STAGES[stage].implementation)(task)
        numbers = {f"metric {name}": value for name, value in result.metrics.items()}
        for path in sorted(output.iterdir()):
            numbers |= {f"{path.name} {name}": value for name, value in _numbers_of(path)}
    return dict(sorted(numbers.items()))


@contextmanager
def _one_thread_of_the_cpu() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with patch("torch.cuda.is_available", return_value=False):
            yield
    finally:
        torch.set_num_threads(threads)


class NoCheckpoints:
    def save(self, epoch: int, folder: Path, *, keep_older: bool = False) -> None:
        """Keep nothing."""

    def stored(self) -> Sequence[tuple[int, Path]]:
        """Return that there are none."""
        return ()

    def latest(self) -> tuple[int, Path] | None:
        """Return that there is none."""


def _numbers_of(path: Path) -> Iterator[tuple[str, float]]:
    """Yield numbers that tell other contents: of pages and pictures, nothing but that they are there."""
    if path.suffix == ".safetensors":
        for name, values in load_file(path).items():
            yield from _summary(name, values)
    elif path.suffix == ".parquet":
        table = pq.read_table(path)
        for name in table.column_names:
            column = table.column(name)
            if column.type in ("double", "float", "int64", "int32"):
                yield from _summary(name, np.array(column.to_pylist(), dtype=np.float64))
    elif path.suffix == ".json":
        leaves = np.array(list(_leaves(json.loads(path.read_text("utf-8")))), dtype=np.float64)
        yield from _summary("numbers", leaves)
    else:
        yield "is written", 1.0


def _summary(name: str, values: NDArray[Any]) -> Iterator[tuple[str, float]]:
    """Yield size, mean, deviation, and a weighted sum that depends on the order."""
    flat = values.astype(np.float64).ravel()
    defined = flat[np.isfinite(flat)]
    yield f"{name} size", float(flat.size)
    yield f"{name} defined", float(defined.size)
    if defined.size:
        yield f"{name} mean", float(defined.mean())
        yield f"{name} deviation", float(defined.std())
        yield f"{name} order", float((defined * np.cos(np.arange(defined.size))).mean())


def _leaves(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key])
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, int | float):
        yield float(value)


def metric_results() -> Numbers:
    """Return the value of every metric of clips for one pair of clips."""
    networks = Networks(**networks_of_clips())
    truth, prediction = (reading_of(clip, networks, legacy_flow=True) for clip in pair_of_clips())
    known = Reading(truth.frames, truth.flow, truth.outputs, _known())
    # The stand-ins have too few classes for 50-way accuracy.
    judged = {name: metric for name, metric in CLIP_METRICS.items() if "fifty_way" not in metric.needs}
    return {name: metric.score(known, prediction) for name, metric in judged.items()}


def _known() -> KnownObject:
    factors = sample_factors(np.random.default_rng(1), 2)
    kinds = (len(SHAPES), len(COLOURS))
    return KnownObject(object_mask(factors)[0], int(factors.shape[0]), int(factors.colour[0]), kinds)


def versions() -> dict[str, int]:
    """Return the version of every stage and, as `stage.metric`, of every metric."""
    of_metrics = {metric.name: metric.version for metric in (*METRICS.values(), *CLIP_METRICS.values())}
    return {**{name: stage.version for name, stage in STAGES.items()}, **of_metrics}


def differences(recorded: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    """Return what differs, a line each."""
    lines = [f"{name}: recorded, but not computed any more" for name in recorded.keys() - found.keys()]
    lines += [f"{name}: computed, but not recorded" for name in found.keys() - recorded.keys()]
    for name in recorded.keys() & found.keys():
        if not math.isclose(recorded[name], found[name], rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            lines.append(f"{name}: {found[name]:.6g}, recorded {recorded[name]:.6g}")
    return sorted(lines)


@dataclass(frozen=True)
class Recorded:
    """Results of fixed inputs, with the versions that made them."""

    versions: Mapping[str, int]
    """Of stages and, as `stage.metric`, of metrics."""
    stages: Mapping[str, Mapping[str, float]]
    metrics: Mapping[str, float]

    def write(self) -> None:
        """Write `results.json`."""
        RESULTS.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def recorded() -> Recorded:
    """Read `results.json`; empty where there is none."""
    return Recorded(**json.loads(RESULTS.read_text("utf-8"))) if RESULTS.is_file() else Recorded({}, {}, {})


def computed() -> Recorded:
    """Compute everything anew; takes about half a minute."""
    return Recorded(versions(), {stage: stage_result(stage) for stage in STAGES}, metric_results())


def refusals(before: Recorded, now: Recorded) -> list[str]:
    """Return why `now` may not take the place of `before`: what changed although its version did not."""
    lines = []
    for stage in before.stages.keys() & now.stages.keys():
        if before.versions[stage] == now.versions[stage]:
            lines += [f"{stage}: {line}" for line in differences(before.stages[stage], now.stages[stage])]
            lines += [
                f"{name}: its version was raised, that of the stage {stage} was not"
                for name, version in now.versions.items()
                if name.startswith(f"{stage}.") and before.versions.get(name, version) != version
            ]
    kept = {name for name in before.metrics if before.versions[_full(name)] == now.versions.get(_full(name))}
    old, new = ({name: values[name] for name in kept if name in values} for values in (before.metrics, now.metrics))
    return sorted([*lines, *differences(old, new)])


def _full(short: str) -> str:
    return f"{EVALUATE}.{short}"
