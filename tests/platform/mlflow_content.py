"""All that MLflow holds, in a form that two databases can be compared by."""

from collections.abc import Iterator
from typing import Any

import mlflow
from mlflow.entities import Run


def everything(uri: str) -> dict[str, Any]:
    """Return all that MLflow holds, runs by their names since their ids are MLflow's own."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    found: dict[str, Any] = {}
    for experiment in client.search_experiments():
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        names = {run.info.run_id: run.info.run_name for run in runs}
        found[experiment.name] = dict(experiment.tags) if runs else {}
        found |= {f"{experiment.name}/{run.info.run_name}": content(client, run, names) for run in runs}
        assert len(names) == len(set(names.values())), "no run is doubled"
    return found


def content(client: mlflow.MlflowClient, run: Run, names: dict[str, str]) -> dict[str, Any]:
    info = run.info
    metrics = {key: sorted((m.step, m.timestamp, m.value) for m in history) for key, history in curves(client, run)}
    tags = {name: plain_text(value, names) for name, value in run.data.tags.items()}
    return {
        "info": (info.status, info.start_time, info.end_time),
        "metrics": metrics,
        "params": dict(run.data.params),
        "tags": tags,
        "inputs": [] if run.inputs is None else [one.to_dictionary() for one in run.inputs.dataset_inputs],
        "artifacts": sorted(artifacts(client, info.run_id)),
    }


def plain_text(text: str, names: dict[str, str]) -> str:
    """Return `text` with the names of runs in the place of their ids."""
    for run, name in names.items():
        text = text.replace(run, name)
    return text


def curves(client: mlflow.MlflowClient, run: Run) -> Iterator[tuple[str, list[Any]]]:
    for key in run.data.metrics:
        yield key, client.get_metric_history(run.info.run_id, key)


def artifacts(client: mlflow.MlflowClient, run: str, path: str | None = None) -> Iterator[str]:
    for entry in client.list_artifacts(run, path):
        yield from artifacts(client, run, entry.path) if entry.is_dir else [entry.path]


def unlike(now: Any, before: Any, *where: str) -> list[tuple[Any, ...]]:
    """Return every place where two nested dicts differ, with both values."""
    if not isinstance(now, dict) or not isinstance(before, dict):
        return [] if now == before else [(*where, now, before)]
    names = sorted(now.keys() | before.keys())
    return [found for name in names for found in unlike(now.get(name), before.get(name), *where, name)]
