"""A saved view of the MLflow UI: a study's trials, best first, with the columns that one looks for.

The UI keeps such views as tags of the experiment, compressed as its "Save as new view" does it (MLflow 3.17). A later
MLflow that reads them otherwise lacks the view and nothing else.
"""

import base64
import json
import zlib
from urllib.parse import quote

from platform.mlflow_view.mirror import LAST, key
from platform.study.study import Study

EXPERIMENTS = "mindsweep/"
"""Before the names of the experiments that hold studies."""
TAG = "mlflow.sharedViewState."
"""Before the key of each saved view, in the names of an experiment's tags."""

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's or experiment's description, in Markdown."""
_CONDITION = "condition"
_BY_CONDITION = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": _CONDITION}]}
"""An ablation's trials are shown as their means in each condition, the trials themselves one click away."""


def saved_view(study: Study, *, began: float) -> tuple[str, str]:
    """Return the name and value of the tag that holds the view of `study`, which began at `began` seconds."""
    target = study.targets[0]
    columns = [f"metrics.`{key(metric.name)}`" for metric in study.targets]
    if study.scheduler.name != "fifo":
        columns += [f"metrics.`{key(LAST + metric.name)}`" for metric in study.targets]
    columns += [f"params.`{key(name)}`" for name in study.space.fields]
    state = {
        "searchFilter": f"tags.`mindsweep.study` = '{study.id}' and tags.`mindsweep.kind` = 'trial'",
        "orderByKey": f"metrics.`{key(target.name)}`",
        "orderByAsc": target.goal == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*columns, "tags.`outcome`"],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": _BY_CONDITION if _CONDITION in study.space.fields else None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    stamp = round(began * 1000)
    view = {"name": f"Trials of {study.id}, best first", "createdAt": stamp, "updatedAt": stamp}
    return TAG + study.id, json.dumps({**view, "state": f"deflate;{packed}"})


def run_link(experiment: str, run: str, artifact: str = "") -> str:
    """Return the fragment of a run's page, or of one of its artifacts, as links in descriptions have it."""
    return f"#/experiments/{experiment}/runs/{run}" + (f"/artifacts/{artifact}" if artifact else "")


def view_link(experiment: str, study: str) -> str:
    """Return the path of the view of `study` on an MLflow server."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={quote(study)}"
