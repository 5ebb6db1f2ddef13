"""A saved view of the MLflow UI: the trials of a study, best first, with columns for targets and swept fields.

The UI stores such views as tags of the experiment, compressed as by its "Save as new view" (MLflow 3.17). If a later
version of MLflow cannot read them, only the view is missing.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from platform.mlflow_view.mirror import LAST, key
from platform.study.study import Study

EXPERIMENTS = "mindsweep/"
"""Prefix of the names of experiments with studies."""
TAG = "mlflow.sharedViewState."
"""Prefix of the tag of a saved view in an experiment; the view's key follows."""

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's or experiment's description, in Markdown."""
_SECTION, _GRID = "clips", "mindsweep-clips"
"""Section of the page of charts (the part of the images' keys before the slash), and its id."""
_CONDITION = "condition"
_BY_CONDITION = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": _CONDITION}]}
"""An ablation's trials are grouped by condition and shown as means; a click opens the trials."""


def saved_view(study: Study, *, began: float, pictures: Sequence[str] = ()) -> tuple[str, str]:
    """Return the name and value of the tag with the view of `study`.

    Args:
        study: The study whose trials it shows.
        began: Its start in seconds since 1970.
        pictures: The keys of the images that its trials have in common, for the grid in which they are compared.
    """
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
        **_picture_grid(pictures),
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    stamp = round(began * 1000)
    view = {"name": f"Trials of {study.id}, best first", "createdAt": stamp, "updatedAt": stamp}
    return TAG + study.id, json.dumps({**view, "state": f"deflate;{packed}"})


def _picture_grid(pictures: Sequence[str]) -> dict[str, Any]:
    """Return the part of the state with one grid of all `pictures`: clips as rows, trials as columns.

    MLflow makes a chart of each image by itself, unless there is one, and writes all parameters of a trial above it:
    the image is out of sight. So there are such charts here, marked as deleted.
    """
    if not pictures:
        return {}
    section = {"uuid": _GRID, "name": _SECTION, "display": True, "isReordered": False, "columns": 1, "cardHeight": 560}
    common = {"type": "IMAGE", "runsCountToCompare": 10, "metricSectionId": _GRID, "step": 0, "showRunParams": False}
    together = {**common, "uuid": f"{_GRID}-all", "isGenerated": False, "deleted": False, "imageKeys": list(pictures)}
    alone = [
        {**common, "uuid": f"{_GRID}-{name}", "isGenerated": True, "deleted": True, "imageKeys": [name]}
        for name in pictures
        if len(pictures) > 1
    ]
    return {"compareRunSections": [section], "compareRunCharts": [together, *alone]}


def pictures_of_view(value: str) -> tuple[str, ...]:
    """Return the `pictures` of the value of a view's tag; none if it cannot be read."""
    try:
        state = json.loads(zlib.decompress(base64.b64decode(json.loads(value)["state"].partition(";")[2])))
        charts = state.get("compareRunCharts", [])
        return tuple(next((chart["imageKeys"] for chart in charts if chart["uuid"] == f"{_GRID}-all"), ()))
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return ()


def run_link(experiment: str, run: str, artifact: str = "") -> str:
    """Return the URL fragment of a run's page or of one of its artifacts, for links in descriptions."""
    return f"#/experiments/{experiment}/runs/{run}" + (f"/artifacts/{artifact}" if artifact else "")


def view_link(experiment: str, study: str) -> str:
    """Return the URL path of the view of `study` on an MLflow server."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={quote(study)}"
