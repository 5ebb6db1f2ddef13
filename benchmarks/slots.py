"""How well 2 to 64 slots are kept busy on one machine, by trials that sleep.

    python -m benchmarks.slots [--slots 2 8 16 32 64] [--sleep 10] [--rounds 4]

Trials only sleep, so they need no CPU: one machine can run many, if Ray is started with one CPU for each slot. That
leaves the cost of the driver, of Ray and of starting workers. Each study has `rounds` trials for each slot.

- Busy: the share of the slots' time, from the start of the first trial to the end of the last, in which a trial slept.
- Filled: seconds from the start of the first trial until every slot runs one. By then each slot has its worker process.
- Later rounds: the same share as "busy", after that moment, up to the first slot that finds no trial left.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Measured:
    """One study."""

    spans: tuple[tuple[float, float], ...]
    """When each trial slept, in seconds since 1970."""
    driver: float
    """Seconds of CPU of the driver's process, its threads included."""


def main() -> None:
    """Print a row for each number of slots, or with `--home` the measurement of one as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 8, 16, 32, 64])
    parser.add_argument("--sleep", type=float, default=10.0, help="seconds of a trial")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.home is not None:
        print(json.dumps(asdict(_study(given.home, given.slots[0], given.sleep, given.rounds))))
        return
    print(
        "| slots | trials | ideal in s | wall in s | busy | filled after s | later rounds | driver's CPU, ms a trial |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for slots in given.slots:
        print(_row(_measured(slots, given.sleep, given.rounds), slots, given.sleep, given.rounds), flush=True)


def _study(home: Path, slots: int, sleep: float, rounds: int) -> Measured:
    """Run a study as `python -m platform.sweep` does, all views included, on a Ray cluster that counts `slots` CPUs."""
    import logging

    import ray

    from platform.launch import launch
    from platform.options import Options
    from platform.study.sweep_file import load_study
    from platform.tracking_uri import default_tracking

    file = home / "noop.yaml"
    trials = slots * rounds
    space = "space: {noop.value: {uniform: [0.0, 1.0]}}"
    file.write_text(f"target: noop.value\nsampler: random\ntrials: {trials}\nbase: {{noop.sleep: {sleep}}}\n{space}\n")
    study = load_study(file)
    options = Options(home=home, store=(home / "store").as_uri(), tracking=default_tracking(home))
    ray.init(num_cpus=slots, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    used = time.process_time()
    summary = launch(study, options)
    used = time.process_time() - used
    assert summary.trials["completed"] == trials, summary
    ray.shutdown()
    (table,) = home.glob(f"store/studies/{study.id}/records/trials.parquet")
    rows = pq.read_table(table, columns=["started", "seconds"]).to_pylist()
    ends = [row["started"].timestamp() + row["seconds"] for row in rows]
    return Measured(tuple((end - sleep, end) for end in ends), used)


def _measured(slots: int, sleep: float, rounds: int) -> Measured:
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with tempfile.TemporaryDirectory(prefix="slots-") as home:
        command = [sys.executable, "-m", "benchmarks.slots", "--home", home, "--slots", str(slots)]
        command += ["--sleep", str(sleep), "--rounds", str(rounds)]
        environment = {**os.environ, **settings, "RAY_AIR_NEW_OUTPUT": "0"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{slots} slots failed:\n{done.stderr[-4000:]}")
    one = json.loads(done.stdout.splitlines()[-1])
    return Measured(tuple((start, end) for start, end in one["spans"]), one["driver"])


def _row(measured: Measured, slots: int, sleep: float, rounds: int) -> str:
    spans = sorted(measured.spans)
    first, last = spans[0][0], max(end for _, end in spans)
    busy, filled = _busy(spans, first, last, slots), spans[slots - 1][0]
    emptied = sorted(end for _, end in spans)[-slots]  # the first slot that finds no trial left
    later = _busy(spans, filled, emptied, slots)
    cost = measured.driver / len(spans) * 1000
    return (
        f"| {slots} | {len(spans)} | {rounds * sleep:g} | {last - first:.1f} | {busy:.1%} | "
        f"{filled - first:.1f} | {later:.1%} | {cost:.0f} |"
    )


def _busy(spans: Sequence[tuple[float, float]], begin: float, end: float, slots: int) -> float:
    slept = sum(max(min(stop, end) - max(start, begin), 0.0) for start, stop in spans)
    return slept / (slots * (end - begin)) if end > begin else float("nan")


if __name__ == "__main__":
    main()
