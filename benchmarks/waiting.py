"""How long a user waits before the first trial and after the last one, against Ray Tune with its own callbacks.

    python -m benchmarks.waiting [--repeats 3] [--home FOLDER]

Two trials that compute nothing, from the command line to its end, each time in a fresh process; ours in a home whose
store and MLflow database exist. Before: from the start of the command to the start of the first trial. After: from the
end of the last trial to the end of the command, report and MLflow included. Ray Tune's script writes no report.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
STUDY = "target: noop.value\ntrials: 2\nseed: {seed}\nspace: {{noop.value: {{uniform: [0.0, 1.0]}}}}\n"
BARE = """
import sys, time
from pathlib import Path

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

home = Path(sys.argv[1])


def objective(config):
    started = time.time()
    tune.report({"value": config["value"]})
    (home / f"{started}.txt").write_text(str(time.time()))


ray.init(num_cpus=2, include_dashboard=False)
callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{home}/mlflow.db", experiment_name="noop")
tune.Tuner(
    objective,
    param_space={"value": tune.uniform(0.0, 1.0)},
    tune_config=tune.TuneConfig(metric="value", mode="min", num_samples=2, search_alg=OptunaSearch()),
    run_config=tune.RunConfig(storage_path=str(home / "tune"), callbacks=[callback], verbose=0),
).fit()
"""


def ours(home: Path, run: int) -> tuple[float, float]:
    """Return the seconds before the first and after the last trial of a study of ours."""
    file = home / f"noop{run}.yaml"
    file.write_text(STUDY.format(seed=run), encoding="utf-8")
    began, ended = _run("-m", "platform.sweep", str(file), "--home", str(home))
    (table,) = home.glob(f"store/studies/noop{run}-*/records/trials.parquet")
    trials = pq.read_table(table).to_pylist()
    starts = [_seconds(row["started"]) for row in trials]
    return min(starts) - began, ended - max(at + row["seconds"] for at, row in zip(starts, trials, strict=True))


def bare(home: Path, run: int) -> tuple[float, float]:
    """Return the same of a script that uses Ray Tune, Optuna and MLflow as their documents show."""
    folder = home / f"bare{run}"
    folder.mkdir()
    (folder / "script.py").write_text(BARE, encoding="utf-8")
    began, ended = _run(str(folder / "script.py"), str(folder))
    marks = {float(path.stem): float(path.read_text()) for path in folder.glob("*.txt")}
    return min(marks) - began, ended - max(marks.values())


WAYS: dict[str, Callable[[Path, int], tuple[float, float]]] = {"ours": ours, "bare Ray Tune": bare}


def _seconds(moment: datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else moment


def _run(*arguments: str) -> tuple[float, float]:
    began = time.time()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return began, time.time()


def main() -> None:
    """Run all ways in turn, and print the median of each and ours as a ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ if __doc__ is not None else "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = given.home if given.home is not None else Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        ours(home, 0)  # the database is made
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        for run in range(1, given.repeats + 1):  # in turn: what else the machine does meets both
            for name, way in WAYS.items():
                found[name].append(way(home, run))
    print(f"{'':16}{'before, s':>12}{'after, s':>12}")
    medians = {name: [statistics.median(part) for part in zip(*rows, strict=True)] for name, rows in found.items()}
    for name, (before, after) in medians.items():
        print(f"{name:16}{before:12.1f}{after:12.1f}    {found[name]}")
    ratios = [own / other for own, other in zip(*medians.values(), strict=True)]
    print(f"{'ratio':16}{ratios[0]:12.2f}{ratios[1]:12.2f}")


if __name__ == "__main__":
    main()
