"""A saved view of the MLflow UI: the trials of a study, best first, with columns for targets and swept fields.

The UI stores such views as tags of the experiment, compressed as by its "Save as new view" (MLflow 3.17). If a later
version of MLflow cannot read them, only the view is missing.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from platform.mlflow_view.mirror import LAST, key
from platform.study.ablation import AblationStudy
from platform.study.study import Study

EXPERIMENTS = "mindsweep/"
"""Prefix of the names of experiments with studies."""
TAG = "mlflow.sharedViewState."
"""Prefix of the tag of a saved view in an experiment; the view's key follows."""
CLIPS = ".clips"
"""End of the key of an ablation's view of clips; a study's name has no such end."""

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's or experiment's description, in Markdown."""
_SECTION, _GRID = "clips", "mindsweep-clips"
"""Section of the page of charts (the part of the images' keys before the slash), and its id."""
_CONDITION = "condition"
_GROUPED_BY = ("dataset", _CONDITION)
"""An ablation's trials are grouped by condition, of several data sets within each, and shown as means; a click opens
the trials."""


def saved_views(study: Study, *, began: float, pictures: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Return names and values of the tags with the views of `study`: its trials, and for an ablation its clips.

    MLflow shows no image of runs that it groups. So the clips of an ablation have a view of their own, with the trials
    of the first block: one of each condition, all of one subject and one seed.

    Args:
        study: The study whose trials it shows.
        began: Its start in seconds since 1970.
        pictures: The keys of the images that its trials have in common, for the grid in which they are compared.
    """
    target = study.targets[0]
    best_first = {"orderByKey": f"metrics.`{key(target.name)}`", "orderByAsc": target.goal == "min"}
    name = f"Trials of {study.id}, best first"
    if not isinstance(study, AblationStudy):
        return (_view(study, TAG + study.id, name, began, {**best_first, **_picture_grid(pictures)}),)
    trials = _view(study, TAG + study.id, name, began, {**best_first, "groupBy": _grouped(study)})
    if not pictures:
        return (trials,)
    block = study.labels(0, study.points[0])["block"]
    name = f"Clips of {study.id}, conditions of {block} side by side"
    state = {"orderByKey": f"params.`{_CONDITION}`", "orderByAsc": True, **_picture_grid(pictures)}
    return trials, _view(study, TAG + study.id + CLIPS, name, began, state, only=f" and tags.`block` = '{block}'")


def _grouped(study: Study) -> Mapping[str, Any]:
    fields = [field for field in _GROUPED_BY if field in study.space.fields]
    return {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": field} for field in fields],
    }


def _view(
    study: Study, tag: str, name: str, began: float, state: Mapping[str, Any], *, only: str = ""
) -> tuple[str, str]:
    """Return name and value of a tag. `only` is added to the filter of trials."""
    columns = [f"metrics.`{key(metric.name)}`" for metric in study.targets]
    if study.scheduler.name != "fifo":
        columns += [f"metrics.`{key(LAST + metric.name)}`" for metric in study.targets]
    columns += [f"params.`{key(name)}`" for name in study.space.fields]
    whole = {
        "searchFilter": f"tags.`mindsweep.study` = '{study.id}' and tags.`mindsweep.kind` = 'trial'{only}",
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
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        **state,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(whole).encode())).decode()
    stamp = round(began * 1000)
    return tag, json.dumps({"name": name, "createdAt": stamp, "updatedAt": stamp, "state": f"deflate;{packed}"})


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
