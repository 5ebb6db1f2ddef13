"""Maps of trials: a page of the report of an ablation or a sweep, and a page and files of each trial in MLflow."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from mlflow import MlflowClient

from platform.ablate import main
from platform.analysis.search_result import SearchResult, read_search
from platform.figures.map_stages import MAP_STAGES, has_maps
from platform.record.trial_record import reduce_events
from platform.report import main as report
from platform.reporting.maps_page import best_trials
from platform.run.driver import run_study
from platform.study.sweep_file import load_study
from platform.tracking_uri import default_tracking
from storage.uri import open_store
from tests.fakes.every_reader import prepare_mosaic
from tests.platform.made_up_study import made_up_study, study_events
from tests.platform.mirrored import runs_of
from tests.platform.noop_studies import inline_in
from trainables.stage_table import STAGES

ENCODING = """
primary: [encoding_accuracy.test_motion_r]
subjects: [0]
seeds: 1
unit: seeds
baseline:
  dataset: {{kind: prepared, path: {path}}}
  features: {{image_variants: 0, text_variants: 0}}
conditions: {{}}
"""


def test_map_stages_exist() -> None:
    assert set(MAP_STAGES) < set(STAGES)
    assert not has_maps(["evaluate", "voxels"])


def study_file(folder: Path, name: str, text: str) -> Path:
    """Prepare a data set in `folder`; return the file of a study of it."""
    (folder / "source").mkdir()
    prepare_mosaic(folder / "source", folder / "data")
    (folder / name).write_text(text.format(path=folder / "data"))
    return folder / name


@pytest.mark.long
def test_report_and_mlflow_show_the_maps(tmp_path: Path) -> None:
    file, home = study_file(tmp_path, "encoding.yaml", ENCODING), tmp_path / "home"
    assert main([str(file), "--inline", "--home", str(home)]) == 0
    report = home / "reports" / "encoding"
    files = {path.name for path in (report / "maps").iterdir()}
    assert {"sub-01.dscalar.nii", "sub-01_regions.png"} <= files
    page = (report / "maps.html").read_text()
    assert "data:image/png;base64," in page
    assert 'href="maps.html"' in (report / "report.html").read_text()
    assert "![sub-01_regions](maps/sub-01_regions.png)" in (report / "maps.md").read_text()
    image: Any = nib.load(report / "maps" / "sub-01.dscalar.nii")
    assert {"noise_ceiling_n", "encoding motion"} <= {*image.header.get_axis(0).name.tolist()}
    assert np.isfinite(image.get_fdata()).any()
    client = MlflowClient(default_tracking(home))
    (trial,) = runs_of(client, "encoding")[1].values()
    logged = [item.path for item in client.list_artifacts(trial.info.run_id, "maps")]
    assert {Path(path).name for path in logged} == files
    assert {"maps.html", "maps.md"} <= {item.path for item in client.list_artifacts(trial.info.run_id)}
    shown = Path(client.download_artifacts(trial.info.run_id, "maps.html", str(tmp_path))).read_text()
    assert shown.count("data:image/png;base64,") == page.count("data:image/png;base64,")


SWEEP = """
target: encoding_accuracy.first_frame_r
trials: 2
sampler: grid
scheduler: fifo
base:
  dataset: {{kind: prepared, path: {path}}}
  features: {{image_variants: 0, text_variants: 0}}
space: {{encoding_accuracy.alphas: {{choice: [[1.0], [1e30]]}}}}
"""


@pytest.mark.long
def test_the_report_of_a_sweep_shows_the_maps_of_its_best_trial(tmp_path: Path) -> None:
    file, home = study_file(tmp_path, "answers.yaml", SWEEP), tmp_path / "home"
    study = load_study(file)
    assert run_study(study, inline_in(home)).trials["completed"] == 2
    assert report(["answers", "--home", str(home), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "maps.html").read_text()
    values = {
        trial.trial: trial.metrics["encoding_accuracy.first_frame_r"]
        for trial in read_search(open_store((home / "store").as_uri()), study.id).trials
    }
    assert len({*values.values()}) == 2
    assert f"the first completed trial of the best point: {max(values, key=lambda name: values[name])}." in page
    assert "data:image/png;base64," in page
    assert 'href="maps.html"' in (tmp_path / "report" / "report.html").read_text()
    assert (tmp_path / "report" / "maps" / "sub-01.dscalar.nii").exists()


def test_the_best_point_comes_first_and_of_it_the_first_repeat() -> None:
    study = made_up_study(trials=4, repeats=2)
    events = reduce_events(study_events(trials=4, repeats=2))
    search = SearchResult(study, tuple(events.values()))
    trials = [*best_trials(search)]
    best = f"t{search.allowed[0].point:04d}"
    assert [trial.name for trial in trials[:2]] == [f"{best}-s0", f"{best}-s1"]
    assert {trial.name for trial in trials} == {t.trial for t in search.trials if t.outcome == "COMPLETED"}
    assert {trial.subject for trial in trials} == {0}
