"""A check for tests: Ray Train's TorchTrainer trains a stage to the result that one process gives.

It holds for every trained stage that ships here (`tests/trainables/test_on_workers.py`), and authors of further stages
can call it in a test of their own. The stage must train with `trainables.loop.train`, or share its work among
`Context.world_size` processes in another way.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isclose
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from storage.studies import save_call
from trainables.config.trial import TrialConfig, config_from_json
from trainables.execute import UNDER_RAY_TRAIN, execute
from trainables.graph import StageRun, stage_runs
from trainables.on_ray import SharedRun
from trainables.plugins.active import active_plugins
from trainables.plugins.recorded import digests_to_text, recorded_plugins

_TIMEOUT = 600.0
_STUDY = "check"
"""The study in whose records the workers find the source of plug-ins."""


def check_under_ray_train(
    stage: str,
    config: TrialConfig,
    *,
    folder: Path,
    workers: Sequence[int] = (1, 2),
    tolerance: float = 1e-4,
    ranks: Collection[str] = (),
) -> None:
    """Check that `stage` gives one result: in this process, and under TorchTrainer with each number of `workers`.

    Its inputs are computed first, with `config`, in a store below `folder`; several stages can share the folder. Ray
    must run, with as many free CPUs as workers. The metrics of all epochs and the final ones are compared.

    A stage of a plug-in is checked in the block of `load_plugins([...]).active()`. The workers get the source of active
    plug-ins from the store, as those of a study do.

    Args:
        stage: The name of a trained stage.
        config: A small one: a few clips, two epochs, batches that the workers cannot share evenly.
        folder: On a local disk.
        workers: Each number of workers is a training of its own, of some seconds.
        tolerance: The largest relative difference of a metric. Several workers add numbers in another order.
        ranks: Beginnings of the names of metrics that are not compared: ranks, as in a retrieval, may change by one
            where two clips are almost equal.

    Raises:
        AssertionError: A metric differs, or Ray Train did not run the stage.
        Exception: The stage failed.

    In a test, after `ray.init(num_cpus=2)`:

        small = {"dataset.train_clips": 10, "motion.train.epochs": 2, "motion.train.batch_size": 7}
        check_under_ray_train("motion", resolve(small), folder=tmp_path)
    """
    store = LocalStore(folder / "store")
    runs = RunStore(store, cache=folder / "cache")
    save_call(store, _STUDY, recorded_plugins(active_plugins()), time=time.time())
    *inputs, run = stage_runs(config, seed=0, targets=[stage])
    for needed in inputs:
        execute(needed, config, runs=runs, scratch=folder / "scratch")
    alone = execute(_renamed(run), config, runs=runs, scratch=folder / "scratch")
    with _coordinator(bundles=max(workers)) as coordinator:
        for count in workers:
            arguments = _renamed(run), _on_workers(config, stage, count)
            stored = runs.find(_executed_by(coordinator, *arguments, settings=_settings(folder)))
            assert stored is not None, f"{stage}: no result with {count} worker(s)"
            assert stored.info.get(UNDER_RAY_TRAIN) == f"{count} worker(s)", f"{stage}: Ray Train did not run it"
            wrong = list(_differences(alone, stored, tolerance=tolerance, ranks=tuple(ranks)))
            assert not wrong, f"{stage} with {count} worker(s) of Ray Train, against one process: {'; '.join(wrong)}"


def _renamed(run: StageRun) -> StageRun:
    """Return `run` under another name, as the number of workers is not in its identity."""
    return replace(run, identity=f"{run.identity}-{uuid4().hex[:8]}")


def _on_workers(config: TrialConfig, stage: str, count: int) -> TrialConfig:
    values = config.model_dump(mode="json")
    training = values[stage].get("train", values[stage])
    training |= {"workers": count, "use_ray_train": "always"}
    return config_from_json(values)


@contextmanager
def _coordinator(*, bundles: int) -> Iterator[Any]:
    """Yield an actor that executes stage runs on workers in its placement group, as it does for a study."""
    group = placement_group([{"CPU": 1}] * bundles)
    inside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    try:
        yield ray.remote(SharedRun).options(num_cpus=0, scheduling_strategy=inside).remote()
    finally:
        remove_placement_group(group)


def _settings(folder: Path) -> dict[str, str]:
    """Return the settings of a worker."""
    folders = {name: str(folder / name) for name in ("scratch", "cache")}
    digests = digests_to_text(active_plugins().digests)
    return {"store": (folder / "store").as_uri(), "study": _STUDY, "pulse": "inf", "plugins": digests, **folders}


def _executed_by(coordinator: Any, run: StageRun, config: TrialConfig, *, settings: Mapping[str, str]) -> str:
    """Execute `run` and return its identity."""
    result = coordinator.run.remote(run.to_json(), config.model_dump(mode="json"), settings)
    return str(ray.get(result, timeout=_TIMEOUT))


def _differences(one: Manifest, other: Manifest, *, tolerance: float, ranks: tuple[str, ...]) -> Iterator[str]:
    """Yield what differs in the epochs and in the final metrics of two executions of a stage run."""
    if len(one.history) != len(other.history):
        yield f"{len(one.history)} epochs and {len(other.history)}"
        return
    rows = [*zip(one.history, other.history, strict=True), (one.metrics, other.metrics)]
    for number, (expected, found) in enumerate(rows, start=1):
        when = f"epoch {number}" if number <= len(one.history) else "in the end"
        yield from (f"{what}, {when}" for what in _unequal(expected, found, tolerance=tolerance, ranks=ranks))


def _unequal(
    expected: Mapping[str, float], found: Mapping[str, float], *, tolerance: float, ranks: tuple[str, ...]
) -> Iterator[str]:
    if expected.keys() != found.keys():
        yield f"other metrics ({', '.join(sorted(expected.keys() ^ found.keys()))})"
        return
    for name, value in expected.items():
        close = isclose(value, found[name], rel_tol=tolerance, abs_tol=1e-9)
        if not close and not name.startswith(ranks):
            yield f"{name} is {found[name]:.6g} and not {value:.6g}"
