"""What sharing stage runs saves: table6's design with three seeds, against every trial on its own.

    python -m benchmarks.reuse [--scale small] [--repeats 1]

`shared` is `python -m platform.ablate ablations/table6.yaml` without its report: Ray, MLflow and all. `alone` is every
trial of the same design from an empty store of its own, on as many processes as Ray gets cores, without Ray, MLflow or
any record: what it takes to train and judge them, and nothing else. Each way runs in a fresh process; Ray is up before
the clock starts. Asserted: `shared` executes exactly the distinct stage runs, `alone` all that trials need.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platform.study.ablation import AblationStudy

ROOT = Path(__file__).resolve().parent.parent
CPUS = 2
SEEDS = ("seeds=3", "unit=clips")
"""Three seeds can earn no star over seeds: the design is then about clips."""
SCALES: Mapping[str, tuple[str, ...]] = {
    "full": (),
    "medium": (
        "dataset.train_clips=600",
        "dataset.validation_clips=40",
        "dataset.test_clips=40",
        "generator.test_clips=20",
    ),
    "small": (
        "dataset.train_clips=240",
        "dataset.validation_clips=20",
        "dataset.test_clips=20",
        "dataset.voxels=200",
        "semantic.train.epochs=5",
        "structure.train.epochs=5",
        "motion.train.epochs=2",
        "generator.test_clips=10",
        "generator.steps=5",
        "evaluate.shuffles=3",
    ),
}


@dataclass(frozen=True)
class Measured:
    """One way, once."""

    seconds: float
    executed: int
    """Stage runs that were really executed."""
    metrics: Mapping[str, Mapping[str, float]]
    """Trial to `stage.metric` to value."""


def shared(study: "AblationStudy", home: Path) -> Measured:
    """Run the study as `platform.ablate` does, all views included."""
    import logging

    import ray

    from platform.analysis.collect import collect_ablation
    from platform.launch import launch
    from platform.options import Options
    from platform.tracking_uri import default_tracking
    from storage.uri import open_store

    options = Options(home=home, store=(home / "store").as_uri(), tracking=default_tracking(home))
    ray.init(num_cpus=CPUS, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    started = time.perf_counter()
    summary = launch(study, options)
    seconds = time.perf_counter() - started
    ray.shutdown()
    assert summary.trials["completed"] == study.trial_count, (summary.trials, summary.interrupted)
    trials = collect_ablation(open_store(options.store), study.id, cache=home / "cache").trials.values()
    return Measured(seconds, summary.stage_runs["executed"], {trial.name: trial.metrics for trial in trials})


def alone(study: "AblationStudy", home: Path) -> Measured:
    """Run every trial from an empty store of its own."""
    specs = [json.dumps(spec.to_json()) for spec in study.specs]
    started = time.perf_counter()
    with ProcessPoolExecutor(CPUS, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_one, specs, [str(home)] * len(specs)))
    seconds = time.perf_counter() - started
    names = [spec.trial for spec in study.specs]
    metrics = dict(zip(names, (metrics for _, metrics in found), strict=True))
    return Measured(seconds, sum(executed for executed, _ in found), metrics)


def _one(spec: str, home: str) -> tuple[int, Mapping[str, float]]:
    """Run one trial; return how many stage runs it executed, and its metrics."""
    from storage.local import LocalStore
    from storage.runs import RunStore
    from trainables.execute import execute_trial
    from trainables.spec import TrialSpec

    with tempfile.TemporaryDirectory(dir=home) as folder:
        place = Path(folder)
        runs = RunStore(LocalStore(place / "store"), cache=place / "cache")
        done = execute_trial(
            TrialSpec.from_json(json.loads(spec)), runs=runs, scratch=place, report=lambda row, *, live: None
        )
        return sum(not run["reused"] for run in done.runs.values()), done.metrics


WAYS: Mapping[str, Callable[["AblationStudy", Path], Measured]] = {"shared": shared, "alone": alone}


def _study(scale: str) -> "AblationStudy":
    from platform.study.ablation_file import load_ablation

    return load_ablation(ROOT / "ablations" / "table6.yaml", (*SEEDS, *SCALES[scale]))


def _measured(way: str, scale: str) -> Measured:
    """Measure one way in a process of its own."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with tempfile.TemporaryDirectory(prefix="reuse-") as home:
        command = [sys.executable, "-m", "benchmarks.reuse", "--way", way, "--scale", scale, "--home", home]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{way} failed:\n{done.stderr[-4000:]}")
        return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _table(scale: str, repeats: int) -> None:
    from platform.study.plan import make_plan
    from storage.uri import open_store

    study = _study(scale)
    stages = make_plan(study, open_store("memory://")).stages
    expected = {"shared": sum(stage.runs for stage in stages), "alone": sum(stage.needed for stage in stages)}
    found: dict[str, list[Measured]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            one = _measured(way, scale)
            assert one.executed == expected[way], f"{way}: {one.executed} stage runs instead of {expected[way]}"
            found[way].append(one)
            print(f"{way}: {one.seconds:.1f} s, {one.executed} stage runs", file=sys.stderr, flush=True)
    seconds = {way: [one.seconds for one in measured] for way, measured in found.items()}
    middle = {way: statistics.median(values) for way, values in seconds.items()}
    print(f"| way | wall in s (median of {repeats}) | range | stage runs | wall against alone |\n|---|---|---|---|---|")
    for way, values in seconds.items():
        ratio = middle[way] / middle["alone"]
        print(f"| {way} | {middle[way]:.1f} | {min(values):.1f}-{max(values):.1f} | {expected[way]} | {ratio:.3f} |")
    print(f"\n{study.trial_count} trials; {_difference(found['shared'][0], found['alone'][0])}")


def _difference(one: Measured, other: Measured) -> str:
    """Say whether sharing changed any result."""
    pairs = [
        (value, other.metrics[trial][name]) for trial, metrics in one.metrics.items() for name, value in metrics.items()
    ]
    equal = sum(mine == theirs for mine, theirs in pairs)
    largest = max((abs(mine - theirs) for mine, theirs in pairs), default=0.0)
    return f"{equal} of {len(pairs)} metrics are bit-equal in both ways; the largest difference is {largest:g}"


def main() -> None:
    """Print the table, or with `--way` one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="full", help="small: minutes instead of hours")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.way is None:
        _table(arguments.scale, arguments.repeats)
    else:
        print(json.dumps(WAYS[arguments.way](_study(arguments.scale), arguments.home).__dict__))


if __name__ == "__main__":
    main()
