"""What many trials cost: bookkeeping over the ideal, whether it grows with their number, and planning very many.

    python -m benchmarks.scale [--scale full|small] [--repeats 1]

Three measurements, each in a fresh process, with two CPUs:

- trials that compute nothing, as a study with all its views and as a plain Ray Tune function that logs nowhere; the
  slope is that of a straight line through the cost of each trial against its number, so what grows shows as a slope
- trials of one second, against the ideal (number of trials / CPUs)
- a plan (`--dry-run`) of 100,000 trials, nothing run: wall and peak memory; requests to the store, counted

Ray is up before the clock starts. Beside the slope stands its 95 % interval over ten blocks of trials.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CPUS = 2
BLOCKS = 10
T_95 = 2.306
"""Student's t for the slope's interval: BLOCKS - 2 degrees of freedom."""
SCALES: Mapping[str, Mapping[str, int]] = {
    "full": {"nothing": 1000, "second": 200, "plan": 100_000},
    "small": {"nothing": 100, "second": 22, "plan": 100_000},
}


@dataclass(frozen=True)
class Measured:
    """One way, once."""

    seconds: float
    ends: tuple[float, ...]
    """Seconds after the start at which trials ended, in order."""
    driver: float
    """Seconds of CPU that the driver's own process took, its threads included; what bounds a large cluster."""


def ours(trials: int, sleep: float, home: Path) -> Measured:
    """Run a study as `python -m platform.sweep` does, all views included."""
    import ray

    from platform.launch import launch
    from platform.options import Options
    from platform.study.sweep_file import load_study
    from platform.tracking_uri import default_tracking
    from storage.events import EventLog
    from storage.uri import open_store

    file = home / "noop.yaml"
    space = "space: {noop.value: {uniform: [0.0, 1.0]}}"
    file.write_text(f"target: noop.value\nsampler: random\ntrials: {trials}\nbase: {{noop.sleep: {sleep}}}\n{space}\n")
    study = load_study(file)
    options = Options(home=home, store=(home / "store").as_uri(), tracking=default_tracking(home))
    _start_ray(home)
    started, began, used = time.perf_counter(), time.time(), time.process_time()
    summary = launch(study, options)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    assert summary.trials["completed"] == trials, summary
    ray.shutdown()
    events = EventLog(open_store(options.store), study.id).read()
    ends = sorted(event["time"] - began for event in events if event["kind"] == "finished")
    return Measured(seconds, tuple(ends), used)


def plain_tune(trials: int, sleep: float, home: Path) -> Measured:
    """Run a Ray Tune function with Ray's defaults, which keep results in files of their own and nowhere else."""
    from ray import tune

    def objective(config: dict[str, float]) -> None:
        time.sleep(sleep)
        tune.report({"value": config["value"]})

    class Ends(tune.Callback):
        """Notes when each trial ended."""

        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.seen.append(time.perf_counter())

    _start_ray(home)
    ends = Ends()
    started, used = time.perf_counter(), time.process_time()
    tuner = tune.Tuner(
        objective,
        param_space={"value": tune.uniform(0.0, 1.0)},
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(storage_path=str(home / "tune"), callbacks=[ends], verbose=0),
    )
    results = tuner.fit()
    seconds, used = time.perf_counter() - started, time.process_time() - used
    assert (len(results), results.num_errors) == (trials, 0)
    return Measured(seconds, tuple(end - started for end in ends.seen), used)


WAYS: Mapping[str, Callable[[int, float, Path], Measured]] = {"ours": ours, "plain Ray Tune": plain_tune}


def _start_ray(home: Path) -> None:
    import logging

    import ray

    ray.init(num_cpus=CPUS, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)


def slope(ends: Sequence[float]) -> tuple[float, float]:
    """Return by how many seconds one trial costs more than the one before it, and half the width of its 95 % interval.

    Trials end in bursts, so the line goes through the mean cost of each of BLOCKS equal blocks. The first, in which
    worker processes start, is not like the others and is left to the overhead.
    """
    size = len(ends) // (BLOCKS + 1)
    marks = [ends[size * block - 1] for block in range(1, BLOCKS + 2)]
    costs = [(after - before) / size for before, after in pairwise(marks)]
    numbers = [size * (block + 1.5) for block in range(BLOCKS)]
    fitted = statistics.linear_regression(numbers, costs)
    left = [cost - fitted.intercept - fitted.slope * number for number, cost in zip(numbers, costs, strict=True)]
    spread = sum((number - statistics.fmean(numbers)) ** 2 for number in numbers)
    error = (sum(value**2 for value in left) / (BLOCKS - 2) / spread) ** 0.5
    return fitted.slope, T_95 * error


def _measured(way: str, trials: int, sleep: float) -> Measured:
    """Measure one way in a process of its own."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with tempfile.TemporaryDirectory(prefix="scale-") as home:
        command = [sys.executable, "-m", "benchmarks.scale", "--way", way, "--trials", str(trials)]
        command += ["--sleep", str(sleep), "--home", home]
        environment = {**os.environ, **settings, "RAY_AIR_NEW_OUTPUT": "0"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{way} failed:\n{done.stderr[-4000:]}")
        one = json.loads(done.stdout.splitlines()[-1])
        return Measured(one["seconds"], tuple(one["ends"]), one["driver"])


def _rows(trials: int, sleep: float, repeats: int) -> None:
    ideal = trials * sleep / CPUS
    for way in WAYS:
        found = [_measured(way, trials, sleep) for _ in range(repeats)]
        middle = sorted(found, key=lambda one: one.seconds)[(repeats - 1) // 2]
        grown, half = slope(middle.ends)
        over = f"{(middle.seconds - ideal) / ideal:+.1%}" if ideal else "-"
        each = (middle.seconds - ideal) / trials * 1000
        print(
            f"| {trials} x {sleep:g} s | {way} | {middle.seconds:.1f} | {ideal:.0f} | {over} | {each:.0f} | "
            f"{middle.driver / trials * 1000:.0f} | "
            f"{grown * 1e6:+.1f} ± {half * 1e6:.1f} |",
            flush=True,
        )


def _plan(trials: int) -> None:
    """Print what a plan of `trials` takes: of a sampler, which knows no point beforehand, and of a grid with seeds."""
    steps, seeds = 10_000, trials // 10_000
    texts = {
        "tpe": f"target: motion.rollout_mse\ntrials: {trials}\nspace: {{motion.mask_ratio: {{uniform: [0.0, 0.9]}}}}",
        "grid": f"target: noop.value\nsampler: grid\nrepeats: {seeds}\n"
        f"space: {{noop.value: {{uniform: [0.0, {1 - 1 / steps}], step: {1 / steps}}}}}",
    }
    print(f"\n| plan of {trials} trials | wall in s | CPU in s | peak memory in MB |\n|---|--:|--:|--:|")
    for name, text in texts.items():
        with tempfile.TemporaryDirectory(prefix="scale-") as home:
            file = Path(home) / f"{name}.yaml"
            file.write_text(text)
            command = [sys.executable, "-m", "platform.sweep", str(file), "--dry-run", "--json", "--home", home]
            began = time.perf_counter()
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            plan = json.loads(process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
        assert (status, plan["trials"]) == (0, trials), (status, plan["trials"])
        used = usage.ru_utime + usage.ru_stime
        print(f"| {name} | {wall:.1f} | {used:.1f} | {usage.ru_maxrss / 1000:.0f} |", flush=True)


def _requests(epochs: int = 10) -> None:
    """Print the requests that a worker sends to the store for one stage run with a checkpoint after each epoch."""
    from storage.memory import MemoryStore
    from storage.runs import RunStore
    from trainables.config.trial import resolve
    from trainables.execute import execute_trial
    from trainables.graph import stage_runs
    from trainables.spec import TrialSpec

    sent: Counter[str] = Counter()

    class Counting(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name in ("put", "get", "exists", "list", "delete"):
                sent[name] += 1
            return super().__getattribute__(name)

    config = resolve({"noop.epochs": epochs, "noop.checkpoint_share": 1.0})
    runs = stage_runs(config, seed=0, targets=["noop"])
    spec = TrialSpec("study", "t0000", config.model_dump(mode="json"), 0, runs, ("noop.value",))
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Counting(), cache=Path(folder))
        execute_trial(spec, runs=store, scratch=Path(folder), report=lambda row, *, live: None)
    each = ", ".join(f"{count} {name}" for name, count in sorted(sent.items()))
    print(f"\nstore requests of one stage run of {epochs} epochs with a checkpoint each: {sent.total()} ({each})")


def _table(scale: str, repeats: int) -> None:
    sizes = SCALES[scale]
    growth = "growth of a trial's cost in µs per trial"
    overhead = "overhead of each in ms | driver's CPU of each in ms"
    print(f"| trials | way | wall in s | ideal | over it | {overhead} | {growth} |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    _rows(sizes["nothing"], 0.0, repeats)
    _rows(sizes["second"], 1.0, repeats)
    _plan(sizes["plan"])
    _requests()


def main() -> None:
    """Print the tables, or with `--way` one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="full", help="small: two minutes instead of a quarter hour")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sleep", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.way is None:
        _table(arguments.scale, arguments.repeats)
    else:
        print(json.dumps(asdict(WAYS[arguments.way](arguments.trials, arguments.sleep, arguments.home))))


if __name__ == "__main__":
    main()
