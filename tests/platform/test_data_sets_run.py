"""A small ablation in two phantom worlds and a prepared data set, run in one process: records, views and report."""

import base64
import json
import zlib
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest

from platform.launch import launch
from platform.mlflow_view.saved_view import saved_views
from platform.record.data_card import recorded_card, store_data_card, write_data_card
from platform.record.study_from_store import call_of, recorded_study
from platform.record.tables import TRIALS
from platform.reporting.making import make_report
from platform.reproduction.selection import choose_trials
from platform.run.driver import run_study
from platform.study.ablation import AblationStudy
from platform.study.ablation_file import load_ablation
from platform.tracking_uri import default_tracking
from storage import layout
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.studies import save_call, save_study
from tests.platform.mirrored import runs_of
from tests.platform.noop_studies import inline_in
from tests.trainables.prepared.labs import prepare_rows, rows_lab

HEAD = """\
primary: structure.test_latent_mse
seeds: 8
unit: seeds
baseline:
  features: {image_variants: 0, text_variants: 0}
  structure.train: {epochs: 1, batch_size: 16}
conditions: {ridge: {structure.kind: ridge}}
datasets:
"""
WORLD = "train_clips: 40, validation_clips: 8, test_clips: 8, block_clips: 2, voxels: 64, subjects: 1"
NAMES = ("phantom", "noisy", "lab")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return prepare_rows(rows_lab(folder / "lab"), folder / "set").folder


def study_in(folder: Path, **datasets: str) -> AblationStudy:
    file = folder / "sets.yaml"
    file.write_text(HEAD + "".join(f"  {name}: {{{fields}}}\n" for name, fields in datasets.items()), encoding="utf-8")
    return load_ablation(file)


def prepared(folder: Path) -> str:
    return f"dataset: {{kind: prepared, path: {folder}}}"


@pytest.mark.long
@pytest.mark.usefixtures("no_figures")
def test_it_runs_to_a_report_with_a_panel_for_each(data: Path, tmp_path: Path) -> None:
    study = study_in(
        tmp_path,
        phantom=f"dataset: {{{WORLD}}}",
        noisy=f"dataset: {{kind: appearing, seed: 5, noise: 1.0, {WORLD}}}",
        lab=f"{prepared(data)}, subjects: [0, 1]",
    )
    home = tmp_path / "home"
    summary = launch(study, inline_in(home, tracking=default_tracking(home)))
    assert (summary.exit_code, summary.trials["completed"]) == (0, 2 * (1 + 1 + 2) * 8)

    store = LocalStore(home / "store")
    page, report = make_report(store, study.id, tmp_path / "report")
    assert report.pages == (("Data card: lab", "data_card_lab"),)
    assert (tmp_path / "report" / "data_card_lab.html").is_file()
    assert all(f"<h2>{name}: Declared comparisons" in page.read_text() for name in NAMES)
    assert report.conclusions[0][1].endswith("of 3 data sets.")

    trials = pq.read_table(home / "store" / layout.record(study.id, TRIALS)).to_pandas()
    assert dict(trials.groupby("dataset").size()) == {"phantom": 16, "noisy": 16, "lab": 32}
    _, runs = runs_of(mlflow.MlflowClient(default_tracking(home)), "sets")
    last = runs["ridge-lab-u1-s7"].data
    assert (last.tags["dataset"], last.params["dataset.kind"]) == ("lab", "prepared")

    chosen = choose_trials(store, study.id).trials
    assert len(chosen) == 2 * len(NAMES), "one of each condition in each data set"
    assert {trial.labels["dataset"] for trial in chosen} == {*NAMES}
    again = recorded_study(store, study.id)
    assert isinstance(again, AblationStudy)
    assert (again.points, again.definition) == (study.points, study.definition)


def test_mlflow_groups_trials_within_a_data_set(data: Path, tmp_path: Path) -> None:
    views = saved_views(study_in(tmp_path, phantom="", lab=prepared(data)), began=0.0, pictures=("clips/a",))
    states = [
        json.loads(zlib.decompress(base64.b64decode(json.loads(value)["state"].removeprefix("deflate;"))))
        for _, value in views
    ]
    assert [each["groupByData"] for each in states[0]["groupBy"]["groupByKeys"]] == ["dataset", "condition"]
    assert "tags.`block` = 'phantom-u0-s0'" in states[1]["searchFilter"]


ALONE = """\
primary: [noop.value]
seeds: 1
unit: seeds
datasets: {one: {noop.value: 1.0}, two: {noop.value: 2.0}}
conditions: {}
"""


def test_several_data_sets_without_a_condition_are_described_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / "alone.yaml"
    file.write_text(ALONE, encoding="utf-8")
    study, home = load_ablation(file), tmp_path / "home"
    run_study(study, inline_in(home))
    _, report = make_report(LocalStore(home / "store"), study.id, tmp_path / "report")
    means = [text for _, text in report.conclusions if "noop: value is" in text]
    assert [text.partition(" over")[0] for text in means] == ["one: noop: value is 1.00", "two: noop: value is 2.00"]
    assert report.sections[0].title == "All data sets"
    assert [grid.title for grid in report.sections[0].grids] == ["Data sets"]


def test_every_data_set_has_its_card(data: Path, tmp_path: Path) -> None:
    other = prepare_rows(rows_lab(tmp_path / "lab", subjects=1), tmp_path / "other").folder
    study, store = study_in(tmp_path, phantom="", lab=prepared(data), other=prepared(other)), MemoryStore()
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    save_call(store, study.id, {**call_of(study), **store_data_card(store, study)}, time=1.0)
    names = {f"data_card_{name}.{ending}" for name in ("lab", "other") for ending in ("md", "html")}
    assert recorded_card(store, study.id).keys() == names
    assert {path.name for path in write_data_card(store, study.id, tmp_path)} == names
    assert (tmp_path / "data_card_other.md").read_bytes() == (other / "card.md").read_bytes()
