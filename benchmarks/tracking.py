"""Metric points per second into an MLflow server, none lost: our view of a study against Ray's MLflowLoggerCallback.

    python -m benchmarks.tracking [--scale small] [--database postgresql+psycopg2://USER@HOST/NAME]

Both write to the same new server, one after the other: ours a made-up study, run by run as its events come, the
callback's pattern (a `get_run`, then one request for each metric of a result) fewer points, since it takes so long.
Afterwards every point is read back and compared. Our time is that of `Tracking` from the first event to the last byte,
the study's summary included; the time without that summary stands beside it.

No report is in the table: `platform.report` reads the store's records and asks MLflow for nothing.
"""

import argparse
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform.definition.study import Study
from platform.definition.study_file import load_study
from platform.events import TrialEvent
from platform.running.records import proposed_body
from platform.views.mlflow_client import connected
from platform.views.server import HOST, answers, end_server, start_server
from platform.views.tracking import Tracking

METRICS = 20
"""Values of each epoch."""


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


def ours(scale: Scale, uri: str, home: Path) -> tuple[float, float]:
    """Mirror a study; return the seconds until all points are there, and until its summary is too."""
    events, study = _events(scale, home)
    connected(uri)  # imports MLflow, as the callback's setup does before its clock starts
    started = time.perf_counter()
    tracking = Tracking(study, home=home, uri=uri, store=(home / "store").as_uri())
    for event in events:
        tracking.see(event)
    left = tracking.drain()
    written = time.perf_counter() - started
    tracking.close()
    assert left == []
    assert tracking.lack == ""
    return written, time.perf_counter() - started


def callback(scale: Scale, uri: str) -> float:
    """Write results as Ray's callback does, by its own code; return the seconds."""
    from ray.air._internal.mlflow import _MLflowLoggerUtil

    logger: Any = _MLflowLoggerUtil()  # type: ignore[no-untyped-call]
    logger.setup_mlflow(tracking_uri=uri, experiment_name="callback")
    run = logger.start_run(run_name="callback").info.run_id
    started = time.perf_counter()
    for step in range(scale.results):
        logger.log_metrics(step, {f"m{number}": _value(0, step, number) for number in range(METRICS)}, run_id=run)
    seconds = time.perf_counter() - started
    _compare(uri, "callback", trials=1, epochs=range(scale.results), prefix="")
    return seconds


def _events(scale: Scale, home: Path) -> tuple[list[TrialEvent], Study]:
    """Return the events of a whole study, epoch by epoch across all trials, as they come from parallel workers."""
    file = home / "points.yaml"
    file.write_text(f"target: noop.value\ntrials: {scale.trials}\nspace: {{noop.value: {{uniform: [0.0, 1.0]}}}}\n")
    study, now = load_study(file), time.time()
    specs = [study.spec(point, 0, {"noop.value": point / scale.trials}) for point in range(scale.trials)]
    events = []
    for point, spec in enumerate(specs):
        values = {"noop.value": point / scale.trials}
        body = proposed_body(spec, point=point, repeat=0, values=values, labels={})
        events += [TrialEvent(spec.trial, 0, "proposed", now, body)]
        events += [TrialEvent(spec.trial, 1, "started", now, {"attempt": 1})]
    for epoch in range(1, scale.epochs + 1):
        for point, spec in enumerate(specs):
            metrics = {f"m{number}": _value(point, epoch, number) for number in range(METRICS)}
            row = {"stage": "noop", "epoch": epoch, "metrics": metrics, "time": now + epoch}
            events.append(TrialEvent(spec.trial, 1 + epoch, "epochs", now + epoch, {"rows": [row]}))
    for point, spec in enumerate(specs):
        end = {"outcome": "COMPLETED", "metrics": {"noop.value": point / scale.trials}, "step": scale.epochs}
        body = {**end, "error": None, "seconds": 1.0, "runs": {}}
        events.append(TrialEvent(spec.trial, 2 + scale.epochs, "finished", now + scale.epochs + 1, body))
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
    for run in children:
        point = int(run.data.tags.get("point", 0))
        for number in range(METRICS):
            history = client.get_metric_history(run.info.run_id, f"{prefix}m{number}")
            got = sorted((metric.step, metric.value) for metric in history)
            assert got == [(epoch, _value(point, epoch, number)) for epoch in epochs], (run.info.run_name, number)


def _table(scale: Scale, uri: str, home: Path) -> Iterator[str]:
    written, whole = ours(scale, uri, home)
    print(f"ours: {whole:.1f} s; now all is read back", file=sys.stderr, flush=True)
    _compare(uri, "mindsweep/points", trials=scale.trials, epochs=range(1, scale.epochs + 1), prefix="epochs/noop.")
    theirs = callback(scale, uri)
    few = scale.results * METRICS
    yield "| way | points | seconds | points per second | against the callback |\n|---|---|---|---|---|"
    yield from (
        f"| {name} | {points} | {seconds:.1f} | {points / seconds:,.0f} | {points / seconds * theirs / few:.0f} x |"
        for name, points, seconds in (
            ("our view", scale.points, written),
            ("our view, with figures and summary of the study", scale.points, whole),
            ("Ray's MLflowLoggerCallback", few, theirs),
        )
    )
    yield "\nEvery point was read back and compared: none lost, doubled or changed."


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--database", help="of the server (default: a new SQLite file)")
    arguments: Any = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "messages.txt", "wb") as messages:
        home = Path(folder)
        database = f"sqlite:///{home}/server.db" if arguments.database is None else arguments.database
        with socket.create_server((HOST, 0)) as probe:
            port = int(probe.getsockname()[1])
        server = start_server(database, artifacts=str(home / "artifacts"), port=port, messages=messages)
        try:
            if not answers(port, server):
                raise SystemExit(f"the server did not start:\n{(home / 'messages.txt').read_text()[-4000:]}")
            for line in _table(SCALES[arguments.scale], f"http://{HOST}:{port}", home):
                print(line)
        finally:
            end_server(server)


if __name__ == "__main__":
    main()
