"""An ablation as people see it in the MLflow UI: a headless Chromium looks at what a server on PostgreSQL shows."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from platform.events import TrialEvent
from platform.mlflow_view.attached_report import attach_report
from platform.mlflow_view.client import connected
from platform.mlflow_view.saved_view import CLIPS, run_link, view_link
from platform.mlflow_view.tracking import Tracking
from platform.reporting.making import make_report
from platform.reporting.texts import PAGE
from storage.events import EventLog
from storage.memory import MemoryStore
from tests.platform.mlflow_view.pictured_trials import KEYS, pictured
from tests.platform.noop_ablations import build, play, register
from tests.platform.noop_studies import noop_study
from tests.servers.browser import Browser
from tests.servers.mlflow import MlflowServer

NAME = "seen"
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: MINDSWEEP_SCREENSHOTS, for who wants to look at them."""
    named = os.environ.get("MINDSWEEP_SCREENSHOTS")
    folder = Path(named) if named is not None else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(exist_ok=True, parents=True)
    return folder


def tracked(server: MlflowServer, home: Path) -> tuple[str, str]:
    """Play an ablation on paper, mirror and report it; return its experiment's id and its run's."""
    study, store = build(path=f"{NAME}.yaml"), MemoryStore()
    register(study, store)
    play(study, store)
    tracking = Tracking(study, home=home, uri=server.uri, store="s3://mindsweep/lab")
    for value in EventLog(store, study.id).read():
        tracking.see(TrialEvent.from_json(value))
    tracking.close()
    assert tracking.missing == ""
    page, _ = make_report(store, study.id, home / "report")
    attach_report(page, study, uri=server.uri)
    client = connected(server.uri)
    experiment = client.get_experiment_by_name(f"mindsweep/{NAME}")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`mindsweep.kind` = 'study'")
    assert not any(tag.startswith("best.") for tag in run.data.tags), "no arm of an ablation is chosen"
    return experiment.experiment_id, run.info.run_id


@pytest.mark.usefixtures("no_figures")
def test_an_ablation_in_the_browser(mlflow_server: MlflowServer, browser: Browser, tmp_path: Path, shots: Path) -> None:
    experiment, run = tracked(mlflow_server, tmp_path)
    browser.open(f"{mlflow_server.uri}/#/experiments")
    browser.wait(f"mindsweep/{NAME}")

    browser.open(mlflow_server.uri + view_link(experiment, NAME))
    browser.wait("Group by: condition", "Group: baseline", "Group: half")
    browser.screenshot(shots / "grouped.png")

    client = connected(mlflow_server.uri)
    pair = [
        client.search_runs([experiment], f"attributes.run_name = '{trial}'")[0].info.run_id
        for trial in ("baseline-u0-s0", "half-u0-s0")
    ]
    both = f"runs={quote(json.dumps(pair))}&experiments={quote(json.dumps([experiment]))}"
    browser.open(f"{mlflow_server.uri}/#/compare-runs?{both}")
    browser.wait("Comparing 2 Runs", "baseline-u0-s0", "half-u0-s0", "noop.value")
    browser.screenshot(shots / "compared.png")

    browser.open(f"{mlflow_server.uri}/{run_link(experiment, run)}")
    browser.wait("Report", "difference.half.noop.value", "baseline-u0, mean of 6 seeds")
    browser.screenshot(shots / "study.png")
    browser.open(f"{mlflow_server.uri}/{browser.link('Report')}")  # it opens another window
    browser.wait(PAGE)
    browser.enter_frame()
    browser.wait("half", "baseline")
    browser.screenshot(shots / "report.png")


@pytest.mark.parametrize("kind", ["sweep", "ablation"])
def test_clips_of_trials_stand_side_by_side(
    mlflow_server: MlflowServer, browser: Browser, tmp_path: Path, shots: Path, kind: str
) -> None:
    """MLflow shows no images of grouped runs, and it groups the trials of an ablation by condition."""
    ablation = build(path="pictured_conditions.yaml")
    study = noop_study(tmp_path, "trials: 2", name="pictured") if kind == "sweep" else ablation
    experiment = pictured(connected(mlflow_server.uri), study, tmp_path, trials=2)
    view = study.id if kind == "sweep" else study.id + CLIPS
    browser.open(f"{mlflow_server.uri}{view_link(experiment, view)}&compareRunsMode=CHART")
    text = browser.wait("Image grid", *KEYS, "t0000", "t0001")
    assert "noop.epochs=" not in text, "the parameters of a trial hide its pictures"
    shown = "return [...document.querySelectorAll('img')].filter(i => i.src.includes('clips') && i.width > 60).length"
    browser.until(lambda: browser.run(shown) == 4, "four pictures are not shown")
    browser.screenshot(shots / f"clips_{kind}.png")
