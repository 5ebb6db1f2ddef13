"""Pictures of clips in MLflow: logged once per trial, and shown side by side by the view of a study's trials."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

from platform.mlflow_view.client import connected
from platform.mlflow_view.runs import StudyRuns
from platform.mlflow_view.saved_view import CLIPS, TAG, pictures_of_view, saved_views
from tests.platform.mlflow_view.pictured_trials import KEYS, pictured
from tests.platform.noop_ablations import build
from tests.platform.noop_studies import noop_study


def state_of(value: str) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(
        zlib.decompress(base64.b64decode(json.loads(value)["state"].removeprefix("deflate;")))
    )
    return state


def test_the_clips_of_an_ablation_have_a_view_without_groups(tmp_path: Path) -> None:
    """One trial of each condition: among the best ten of all trials there may be ten seeds of one condition."""
    client = connected(f"sqlite:///{tmp_path}/mlflow.db")
    study = build()
    (before,) = saved_views(study, began=0.0)
    assert state_of(before[1])["groupBy"] is not None
    experiment = pictured(client, study, tmp_path, trials=2)
    tags = client.get_experiment(experiment).tags
    grouped, clips = state_of(tags[TAG + study.id]), state_of(tags[TAG + study.id + CLIPS])
    assert grouped["groupBy"] is not None
    assert "compareRunCharts" not in grouped
    assert clips["groupBy"] is None
    assert pictures_of_view(tags[TAG + study.id + CLIPS]) == KEYS
    shown = client.search_runs([experiment], clips["searchFilter"])
    assert sorted(run.data.params["condition"] for run in shown) == ["baseline", "half"]
    StudyRuns(client, study, artifacts=None, store="", began=1.0)._open_parent()
    assert client.get_experiment(experiment).tags[TAG + study.id + CLIPS] == tags[TAG + study.id + CLIPS]


def test_the_view_has_one_grid_of_all_pictures_and_no_chart_of_one_alone(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 2")
    ((_, value),) = saved_views(study, began=0.0, pictures=KEYS)
    state = state_of(value)
    charts = state["compareRunCharts"]
    assert [chart["imageKeys"] for chart in charts if not chart["deleted"]] == [list(KEYS)]
    assert [chart["imageKeys"] for chart in charts if chart["deleted"]] == [[key] for key in KEYS]
    assert not any(chart["showRunParams"] for chart in charts)
    assert pictures_of_view(value) == KEYS
    assert pictures_of_view(saved_views(study, began=0.0)[0][1]) == ()
    assert pictures_of_view("") == pictures_of_view("{}") == pictures_of_view('{"state": "deflate;AAAA"}') == ()


def test_pictures_are_logged_once_and_a_later_call_keeps_the_grid(tmp_path: Path) -> None:
    client = connected(f"sqlite:///{tmp_path}/mlflow.db")
    study = noop_study(tmp_path, "trials: 2")
    for _ in range(2):
        experiment = pictured(client, study, tmp_path, trials=1)
    (run,) = client.search_runs([experiment], "attributes.run_name = 't0000'")
    names = [Path(file.path).name for file in client.list_artifacts(run.info.run_id, "images")]
    logged = sorted(name.partition("+")[0].replace("~", "/") for name in names if name.endswith(".png"))
    assert logged == sorted(KEYS)
    view = client.get_experiment(experiment).tags[TAG + study.id]
    assert pictures_of_view(view) == KEYS
    StudyRuns(client, study, artifacts=None, store="", began=1.0)._open_parent()
    assert client.get_experiment(experiment).tags[TAG + study.id] == view
