"""A saved view of the MLflow UI: the trials of a study, best first, with columns for targets and swept fields.

The UI stores such views as tags of the experiment, compressed as by its "Save as new view" (MLflow 3.17). If a later
version of MLflow cannot read them, only the view is missing.
"""

import base64
import json
import zlib
from urllib.parse import quote

from platform.mlflow_view.mirror import LAST, key
from platform.study.study import Study

EXPERIMENTS = "mindsweep/"
"""Prefix of the names of experiments with studies."""
TAG = "mlflow.sharedViewState."
"""Prefix of the tag of a saved view in an experiment; the view's key follows."""

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's or experiment's description, in Markdown."""
_CONDITION = "condition"
_BY_CONDITION = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": _CONDITION}]}
"""An ablation's trials are grouped by condition and shown as means; a click opens the trials."""


def saved_view(study: Study, *, began: float) -> tuple[str, str]:
    """Return the name and value of the tag with the view of `study`; `began` is its start in seconds since 1970."""
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
    """Return the URL fragment of a run's page or of one of its artifacts, for links in descriptions."""
    return f"#/experiments/{experiment}/runs/{run}" + (f"/artifacts/{artifact}" if artifact else "")


def view_link(experiment: str, study: str) -> str:
    """Return the URL path of the view of `study` on an MLflow server."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={quote(study)}"
