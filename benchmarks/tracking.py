"""Metric points per second into an MLflow server, none lost: our view of a study against Ray's MLflowLoggerCallback.

    python -m benchmarks.tracking [--scale small] [--database sqlite|postgresql+psycopg2://USER@HOST/NAME]

All write to the same new server with two workers, one after the other, as deploy/compose.yaml has it: on PostgreSQL
with its own defaults, or SQLite where that is not installed. Ours is a made-up study whose events come run by run; the
callback's pattern (a `get_run`, then one request for each metric of a result) writes fewer points, since it takes so
long. The floor is what the server can take: full batches as text made beforehand, sent in a loop by as many threads
as ours, no parameters, tags, files or order of events. Afterwards every point of ours and of the callback is read back
and compared. Our time is that of `Tracking` from the first event to the last byte; with the study's summary it stands
beside it. Where all runs on one machine, processor time of the clients is time that the server lacks.

No report is in the table: `platform.report` reads the store's records and asks MLflow for nothing.
"""

import argparse
import http.client
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from platform.events import Epochs, Finished, Proposed, Started, TrialEvent
from platform.mlflow_view.client import connected
from platform.mlflow_view.tracking import AT_A_TIME, Tracking
from platform.mlflow_view.ui_server import HOST, end_server, start_server, wait_until_ready
from platform.record.trial_log import proposed_body
from platform.study.study import Study
from platform.study.sweep_file import load_study
from tests.servers import postgres

METRICS = 20
"""Values of each epoch."""
FULL = 1000
"""Metrics that MLflow takes in one request."""
WORKERS = 2
"""Of the server, as in deploy/compose.yaml."""


@dataclass(frozen=True)
class Scale:
    """How much is written."""

    trials: int
    epochs: int
    results: int
    """Of the callback, `METRICS` values each."""

    @property
    def points(self) -> int:
        """Metric values of all epochs of our study."""
        return self.trials * self.epochs * METRICS


SCALES = {"small": Scale(trials=10, epochs=100, results=3), "full": Scale(trials=50, epochs=200, results=15)}


@dataclass(frozen=True)
class Cost:
    """What one way took up to a moment."""

    points: int
    seconds: float
    client: float
    """Seconds of processor time of this process."""
    server: float
    """The same of the MLflow server, its database not included."""


class Clock:
    """Counts from when it is made."""

    def __init__(self, server: int) -> None:
        """Watch this process and the server's process group."""
        self._group = server
        self._start = (time.perf_counter(), time.process_time(), _cpu_of_group(server))

    def read(self, points: int) -> Cost:
        """Return what `points` have taken until now."""
        now = (time.perf_counter(), time.process_time(), _cpu_of_group(self._group))
        return Cost(points, *(stop - start for stop, start in zip(now, self._start, strict=True)))


def ours(scale: Scale, uri: str, home: Path, server: int) -> tuple[Cost, Cost]:
    """Mirror a study; return the cost until all points are there, and until its summary is too."""
    events, study = _events(scale, home)
    connected(uri)  # imports MLflow, as the callback's setup does before its clock starts
    clock = Clock(server)
    tracking = Tracking(study, home=home, uri=uri, store=(home / "store").as_uri())
    for event in events:
        tracking.see(event)
    left = tracking.drain()
    written = clock.read(scale.points)
    tracking.close()
    assert left == []
    assert tracking.missing == ""
    return written, clock.read(scale.points)


def callback(scale: Scale, uri: str, server: int) -> Cost:
    """Write results as Ray's callback does, by its own code."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    ray_callback = MLflowLoggerCallback(uri, experiment_name="callback")
    ray_callback.setup()  # type: ignore[no-untyped-call]
    logger: Any = ray_callback.mlflow_util
    run = logger.start_run(run_name="callback").info.run_id
    clock = Clock(server)
    for step in range(scale.results):
        logger.log_metrics(step, {f"m{number}": _value(0, step, number) for number in range(METRICS)}, run_id=run)
    cost = clock.read(scale.results * METRICS)
    _compare(uri, "callback", trials=1, epochs=range(scale.results), prefix="")
    return cost


def floor(scale: Scale, uri: str, server: int) -> Cost:
    """Send as many points as ours in full batches that were made before: what the server itself can take."""
    client = connected(uri)
    experiment = client.create_experiment("floor")
    batches = [_batches(scale, client.create_run(experiment).info.run_id, trial) for trial in range(scale.trials)]
    clock = Clock(server)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(lambda texts: _send(uri, texts), batches))
    return clock.read(scale.points)


def _batches(scale: Scale, run: str, trial: int) -> list[bytes]:
    metrics = [
        {"key": f"m{number}", "value": _value(trial, epoch, number), "timestamp": epoch, "step": epoch}
        for epoch in range(1, scale.epochs + 1)
        for number in range(METRICS)
    ]
    starts = range(0, len(metrics), FULL)
    return [json.dumps({"run_id": run, "metrics": metrics[start : start + FULL]}).encode() for start in starts]


def _send(uri: str, batches: list[bytes]) -> None:
    connection = http.client.HTTPConnection(uri.removeprefix("http://"))
    for body in batches:
        connection.request("POST", "/api/2.0/mlflow/runs/log-batch", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()


def _cpu_of_group(group: int) -> float:
    """Return the seconds of processor time of all living processes of a group (Linux)."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _events(scale: Scale, home: Path) -> tuple[list[TrialEvent], Study]:
    """Return the events of a whole study, epoch by epoch across all trials, as they come from parallel workers."""
    file = home / "points.yaml"
    file.write_text(f"target: noop.value\ntrials: {scale.trials}\nspace: {{noop.value: {{uniform: [0.0, 1.0]}}}}\n")
    study, now = load_study(file), time.time()
    specs = [study.spec(point, 0, {"noop.value": point / scale.trials}) for point in range(scale.trials)]
    events: list[TrialEvent] = []
    for point, spec in enumerate(specs):
        values = {"noop.value": point / scale.trials}
        body = proposed_body(spec, point=point, repeat=0, values=values, labels={})
        events.append(Proposed.read({"trial": spec.trial, "sequence": 0, "time": now}, body))
        events.append(Started(trial=spec.trial, sequence=1, time=now, attempt=1))
    for epoch in range(1, scale.epochs + 1):
        for point, spec in enumerate(specs):
            metrics = {f"m{number}": _value(point, epoch, number) for number in range(METRICS)}
            row = {"stage": "noop", "epoch": epoch, "metrics": metrics, "time": now + epoch}
            events.append(Epochs(trial=spec.trial, sequence=1 + epoch, time=now + epoch, rows=[row]))
    for point, spec in enumerate(specs):
        end = Finished(
            trial=spec.trial,
            sequence=2 + scale.epochs,
            time=now + scale.epochs + 1,
            outcome="COMPLETED",
            metrics={"noop.value": point / scale.trials},
            error=None,
            seconds=1.0,
            runs={},
            step=scale.epochs,
        )
        events.append(end)
    return events, study


def _value(point: int, epoch: int, number: int) -> float:
    return point + epoch / 1000 + number / 1_000_000


def _compare(uri: str, experiment: str, *, trials: int, epochs: range, prefix: str) -> None:
    """Read everything back. Raises `AssertionError` if a point is missing, doubled or another."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id], "attributes.status != 'KILLED'", max_results=1000)
    children = [run for run in runs if run.data.tags.get("mindsweep.kind") != "study"]
    assert len(children) == trials

    def compare(place: tuple[Any, int]) -> None:
        run, number = place
        point = int(run.data.tags.get("point", 0))
        history = client.get_metric_history(run.info.run_id, f"{prefix}m{number}")
        got = sorted((metric.step, metric.value) for metric in history)
        assert got == [(epoch, _value(point, epoch, number)) for epoch in epochs], (run.info.run_name, number)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(compare, product(children, range(METRICS))))


def _table(scale: Scale, uri: str, home: Path, server: int) -> Iterator[str]:
    written, whole = ours(scale, uri, home, server)
    print(f"ours: {whole.seconds:.1f} s; now all is read back", file=sys.stderr, flush=True)
    _compare(uri, "mindsweep/points", trials=scale.trials, epochs=range(1, scale.epochs + 1), prefix="epochs/noop.")
    theirs = callback(scale, uri, server)
    ways = {
        "our view": written,
        "our view, with figures and summary of the study": whole,
        "Ray's MLflowLoggerCallback": theirs,
        f"the floor: full batches made before, {AT_A_TIME} threads": floor(scale, uri, server),
    }
    yield "| way | points | seconds | points per second | against the callback | CPU seconds, client | server |"
    yield "|---|---|---|---|---|---|---|"
    for name, cost in ways.items():
        rate = cost.points / cost.seconds
        ratio = f"{rate * theirs.seconds / theirs.points:.0f} x"
        cpu = f"{cost.client:.1f} | {cost.server:.1f}"
        yield f"| {name} | {cost.points} | {cost.seconds:.1f} | {rate:,.0f} | {ratio} | {cpu} |"
    yield "\nEvery point of ours and of the callback was read back and compared: none lost, doubled or changed."


@contextmanager
def _database(named: str | None, home: Path) -> Iterator[str]:
    """Give the URI of a database: the one that was `named`, else a new one."""
    programs = postgres.installed()
    if named == "sqlite" or (named is None and programs is None):
        yield f"sqlite:///{home}/server.db"
    elif named is not None or programs is None:
        yield str(named)
    else:
        with postgres.running(programs) as database:
            yield database.create("mlflow").replace("postgresql:", "postgresql+psycopg2:")


@contextmanager
def _server(database: str, home: Path) -> Iterator[tuple[str, int]]:
    """Start an MLflow server; give its URI and process group."""
    with socket.create_server((HOST, 0)) as probe:
        port = int(probe.getsockname()[1])
    with (home / "messages.txt").open("wb") as messages:
        artifacts = str(home / "artifacts")
        process = start_server(database, artifacts=artifacts, port=port, messages=messages, workers=WORKERS)
        try:
            if not wait_until_ready(port, process):
                raise SystemExit(f"the server did not start:\n{(home / 'messages.txt').read_text()[-4000:]}")
            yield f"http://{HOST}:{port}", process.pid
        finally:
            end_server(process)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--database", help="of the server: sqlite, or a URI (default: a new PostgreSQL)")
    arguments: Any = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(_database(arguments.database, home))
        uri, server = stack.enter_context(_server(database, home))
        print(f"MLflow server with {WORKERS} workers on {database.partition(':')[0]}\n")
        for line in _table(SCALES[arguments.scale], uri, home, server):
            print(line)


if __name__ == "__main__":
    main()
