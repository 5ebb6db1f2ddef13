"""What the platform costs per trial: a study of trials that compute nothing, against three usual ways to do the same.

    python -m benchmarks.overhead [--trials 40] [--wrapped-trials 4] [--repeats 3] [--only ours plugin]

`plugin` is the same study with a stage that a plug-in brings: what it costs more than a built-in one.

All run on this machine, one after the other, each in a fresh process, each logging every trial into a fresh MLflow
SQLite database. Ray is up before the clock starts; everything else is in the time: the first trials, which wait for
worker processes to start, and the last MLflow write. The imports of `ray.tune`, `optuna` or `mlflow` are in the second
column only. Ours imports MLflow in another process and while trials start, so both columns contain that.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CPUS = 2
SETTLING = 3.0
"""Seconds for which processes of a new cluster still load their modules after `ray.init` has returned."""


PLUGIN = '''
"""A stage that computes nothing, as the built-in noop."""

import json

from trainables.api import Config, Metric, NewStage, Plugin, StageResult


class Settings(Config):
    """Settings of the stage."""

    value: float = 0.0
    """Value that it reports."""


def run(task):
    value = task.config.own.value
    task.context.report(1, {"value": value})
    (task.context.output / "value.json").write_text(json.dumps(value))
    return StageResult({"value": value}, history=({"value": value},))


PLUGIN = Plugin(
    api=1,
    stages=(NewStage(name="own", run=run, inputs=(), settings=Settings, seeded=True),),
    metrics=(Metric("own.value", title="value", goal="min", low=-1.0, high=2.0, source="a benchmark"),),
)
'''


@dataclass(frozen=True)
class Seconds:
    """How long one way took."""

    run: float
    imports: float
    """Before that, for imports."""


def ours(trials: int, home: Path) -> Seconds:
    """Run a study as `python -m platform.sweep` does, all views included."""
    return _study(
        f"target: noop.value\ntrials: {trials}\nspace: {{noop.value: {{uniform: [0.0, 1.0]}}}}\n", trials, home
    )


def plugin(trials: int, home: Path) -> Seconds:
    """Run the same study with the stage of a plug-in."""
    (home / "own.py").write_text(PLUGIN, encoding="utf-8")
    space = "space: {own.value: {uniform: [0.0, 1.0]}}"
    return _study(f"plugins: [own.py]\ntarget: own.value\ntrials: {trials}\n{space}\n", trials, home)


def _study(text: str, trials: int, home: Path) -> Seconds:
    _start_ray()
    began = time.perf_counter()
    from platform.launch import launch
    from platform.options import Options
    from platform.study.sweep_file import load_study
    from platform.tracking_uri import default_tracking

    file = home / "noop.yaml"
    file.write_text(text, encoding="utf-8")
    study = load_study(file)
    options = Options(home=home, store=(home / "store").as_uri(), tracking=default_tracking(home))
    started = time.perf_counter()
    summary = launch(study, options)
    seconds = time.perf_counter() - started
    assert summary.trials["completed"] == trials, summary
    return Seconds(seconds, imports=started - began)


def plain_tune(trials: int, home: Path) -> Seconds:
    """Run a Ray Tune function with Ray's own Optuna searcher and MLflow callback, as their documentation shows."""
    _start_ray()
    began = time.perf_counter()
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    def objective(config: dict[str, float]) -> None:
        tune.report({"value": config["value"]})

    started = time.perf_counter()
    callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{home}/mlflow.db", experiment_name="noop")
    tuner = tune.Tuner(
        objective,
        param_space={"value": tune.uniform(0.0, 1.0)},
        tune_config=tune.TuneConfig(metric="value", mode="min", num_samples=trials, search_alg=OptunaSearch()),
        run_config=tune.RunConfig(storage_path=str(home / "tune"), callbacks=[callback], verbose=0),
    )
    results = tuner.fit()
    seconds = time.perf_counter() - started
    assert len(results) == trials
    assert results.num_errors == 0
    return Seconds(seconds, imports=started - began)


def tune_over_train(trials: int, home: Path) -> Seconds:
    """Let every Tune trial drive a TorchTrainer with one worker: the pattern that Ray documents for tuning trainers."""
    _start_ray()
    began = time.perf_counter()
    import ray.train
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    def train(config: dict[str, float]) -> None:
        ray.train.report({"value": config["value"]})

    def drive(config: dict[str, float]) -> None:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        callback: Any = TuneReportCallback()  # type: ignore[no-untyped-call]
        trainer = TorchTrainer(
            train,
            train_loop_config=config,
            scaling_config=ScalingConfig(num_workers=1),
            run_config=RunConfig(storage_path=str(home / "train"), callbacks=[callback]),
        )
        trainer.fit()

    started = time.perf_counter()
    tuner = tune.Tuner(
        tune.with_resources(drive, {"cpu": 0.01}),
        param_space={"value": tune.uniform(0.0, 1.0)},
        tune_config=tune.TuneConfig(metric="value", mode="min", num_samples=trials, max_concurrent_trials=CPUS),
        run_config=tune.RunConfig(storage_path=str(home / "tune"), verbose=0),
    )
    results = tuner.fit()
    seconds = time.perf_counter() - started
    assert results.num_errors == 0
    return Seconds(seconds, imports=started - began)


def plain_optuna(trials: int, home: Path) -> Seconds:
    """Run an Optuna study in a loop that logs each trial into MLflow; no processes, nothing in parallel."""
    began = time.perf_counter()
    import mlflow
    import optuna

    def objective(trial: optuna.Trial) -> float:
        with mlflow.start_run(nested=True):
            value = trial.suggest_float("value", 0.0, 1.0)
            mlflow.log_params(trial.params)
            mlflow.log_metric("value", value, step=1)
        return value

    started = time.perf_counter()
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    mlflow.set_experiment("noop")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=f"sqlite:///{home}/optuna.db", study_name="noop")
    with mlflow.start_run(run_name="noop"):
        study.optimize(objective, n_trials=trials)
    return Seconds(time.perf_counter() - started, imports=started - began)


WAYS: dict[str, tuple[str, Callable[[int, Path], Seconds]]] = {
    "ours": ("this platform: store, MLflow, Optuna journal, progress", ours),
    "plugin": ("this platform, the stage is a plug-in's", plugin),
    "a": ("(a) Ray Tune function + OptunaSearch + MLflowLoggerCallback", plain_tune),
    "b": ("(b) Ray Tune over TorchTrainer, one worker, no MLflow", tune_over_train),
    "c": ("(c) Optuna + MLflow in a loop, one process", plain_optuna),
}


def _start_ray() -> None:
    import ray

    ray.init(num_cpus=CPUS, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    time.sleep(SETTLING)


def _measured(way: str, trials: int) -> Seconds:
    """Return the seconds of one way in a process of its own."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {**os.environ, **settings, "RAY_AIR_NEW_OUTPUT": "0", "RAY_TRAIN_V2_ENABLED": "1"}
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "benchmarks.overhead", "--way", way, "--trials", str(trials), "--home", home]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800)
        if done.returncode != 0:
            raise SystemExit(f"{way} failed:\n{done.stderr[-4000:]}")
        return Seconds(**json.loads(done.stdout.splitlines()[-1]))


def _table(arguments: argparse.Namespace) -> None:
    taken: dict[str, list[Seconds]] = {way: [] for way in WAYS if way in {"ours", *arguments.only}}
    counts = {way: arguments.wrapped_trials if way == "b" else arguments.trials for way in taken}
    for _ in range(arguments.repeats):
        for way, seconds in taken.items():
            seconds.append(_measured(way, counts[way]))
            print(f"{way}: {seconds[-1].run:.2f} s, imports {seconds[-1].imports:.2f} s", file=sys.stderr, flush=True)
    run = {way: [one.run / counts[way] for one in seconds] for way, seconds in taken.items()}
    both = {way: [(one.run + one.imports) / counts[way] for one in seconds] for way, seconds in taken.items()}
    print("| way | seconds per trial (median, range) | against ours | with imports | against ours |")
    print("|---|---|---|---|---|")
    for way in taken:
        cells = [cell for values in (run, both) for cell in (_median(values[way]), _ratio(values[way], values["ours"]))]
        print(f"| {' | '.join([WAYS[way][0], *cells])} |")


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _ratio(values: list[float], ours: list[float]) -> str:
    return f"{statistics.median(values) / statistics.median(ours):.2f} x"


def main() -> None:
    """Print the table, or with `--way` the seconds of one way as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--wrapped-trials", type=int, default=4, help="of (b), each takes many seconds")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), help="ways to measure; `ours` always is")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.way is None:
        _table(arguments)
        return
    result = WAYS[arguments.way][1](arguments.trials, arguments.home)
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
