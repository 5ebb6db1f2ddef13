"""Whether MLflow holds of a study what the store's records hold: all of it, once."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlflow import MlflowClient

from platform.events import TrialEvent

Points = Counter[tuple[str, str, int]]
"""How often each (trial, metric, epoch) is there."""


def recorded(events: Iterable[TrialEvent]) -> Points:
    """Return the metric values of all epochs by the store's records."""
    rows = [(event.trial, row) for event in events if event.kind == "epochs" for row in event.body["rows"]]
    return Counter((trial, f"{row['stage']}.{name}", row["epoch"]) for trial, row in rows for name in row["metrics"])


def mirrored(client: MlflowClient, trials: Mapping[str, Any]) -> Points:
    """Return the same by the runs of `trials` in MLflow."""

    def points() -> Iterator[tuple[str, str, int]]:
        for trial, run in trials.items():
            for key in run.data.metrics:
                if key.startswith("epochs/"):
                    history = client.get_metric_history(run.info.run_id, key)
                    yield from ((trial, key.removeprefix("epochs/"), point.step) for point in history)

    return Counter(points())


def runs_of(client: MlflowClient, experiment: str) -> tuple[Any, dict[str, Any]]:
    """Return the study's run and those of its trials, each of which has one."""
    found = client.get_experiment_by_name(f"mindsweep/{experiment}")
    assert found is not None
    runs = client.search_runs([found.experiment_id], max_results=1000)
    (parent,) = (run for run in runs if run.data.tags["mindsweep.kind"] == "study")
    children = {run.info.run_name: run for run in runs if run is not parent}
    assert len(children) == len(runs) - 1, "a trial has two runs"
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    return parent, children
