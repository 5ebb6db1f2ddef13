"""The card of a prepared data set: in the store once, and wherever a user looks for what a study was trained on."""

import shutil
from pathlib import Path

import mlflow
import pytest

from platform.bundle.reading import checked_bundle, take_in
from platform.bundle.writing import write_bundle
from platform.rebuild import main as rebuild
from platform.record.data_card import DATA_CARD, recorded_card, store_data_card, write_data_card
from platform.record.study_from_store import call_of
from platform.reporting.making import make_report
from platform.run.driver import run_study
from platform.study.ablation_file import load_ablation
from platform.study.study import Study
from platform.study.sweep_file import load_study
from platform.tracking_uri import default_tracking
from storage import layout
from storage.base import Store
from storage.gc import find_garbage, read_contents
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.studies import load_calls, save_call, save_study
from storage.verify import main as verify
from tests.platform.mirrored import runs_of
from tests.platform.noop_studies import inline_in, noop_study
from tests.trainables.prepared.labs import prepare_rows, rows_lab

TEXT = "target: semantic.loss\ntrials: 1\nspace: {semantic.train.lr: {choice: [0.1, 0.2]}}\nbase: {%s}\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return prepare_rows(rows_lab(folder / "lab"), folder / "set").folder


def study_on(data: Path, folder: Path) -> Study:
    file = folder / "on_data.yaml"
    file.write_text(TEXT % f"dataset.kind: prepared, dataset.path: {data}")
    return load_study(file)


def stored(store: Store, study: Study, data: Path, folder: Path) -> None:
    """Store `study` as if it had been run once on `data`; its trials are left to the caller."""
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    save_call(store, study.id, {**call_of(study), **store_data_card(store, study_on(data, folder))}, time=1.0)


def test_the_card_is_stored_once_and_read_back(data: Path, tmp_path: Path) -> None:
    store, study = MemoryStore(), study_on(data, tmp_path)
    facts = store_data_card(store, study)
    assert facts == store_data_card(store, study)
    assert len(list(store.list(""))) == 2
    save_call(store, study.id, {**call_of(study), **facts}, time=1.0)
    paths = write_data_card(store, study.id, tmp_path)
    assert {path.name: path.read_bytes() for path in paths} == {
        "data_card.md": (data / "card.md").read_bytes(),
        "data_card.html": (data / "card.html").read_bytes(),
    }
    assert find_garbage(store, read_contents(store), min_age=0.0) == []


def test_what_has_no_card_stores_none(data: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    file = tmp_path / "phantom.yaml"
    file.write_text(TEXT % "preset: phantom")
    assert store_data_card(store, noop_study(tmp_path, "trials: 1")) == store_data_card(store, load_study(file)) == {}
    copy = Path(shutil.copytree(data, tmp_path / "bare"))
    for card in copy.glob("card.*"):
        card.unlink()
    assert store_data_card(store, study_on(copy, tmp_path)) == {}
    assert list(store.list("")) == []


def test_a_study_of_an_earlier_version_has_no_card(tmp_path: Path) -> None:
    store, study = MemoryStore(), noop_study(tmp_path, "trials: 1")
    assert write_data_card(store, study.id, tmp_path) == []
    save_call(store, study.id, call_of(study), time=1.0)
    assert write_data_card(store, study.id, tmp_path) == []


def test_a_card_that_is_lost_is_left_out(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, study = MemoryStore(), noop_study(tmp_path, "trials: 1")
    stored(store, study, data, tmp_path)
    store.delete(layout.blob(recorded_card(store, study.id)["data_card.md"].digest))
    assert [path.name for path in write_data_card(store, study.id, tmp_path)] == ["data_card.html"]
    assert "data_card.md is left out" in caplog.text


def test_the_driver_records_it_with_the_call(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, on_data = noop_study(tmp_path, "trials: 1"), study_on(data, tmp_path)
    monkeypatch.setattr("platform.run.driver.store_data_card", lambda store, _: store_data_card(store, on_data))
    run_study(study, inline_in(tmp_path / "home"))
    store = LocalStore(tmp_path / "home" / "store")
    assert recorded_card(store, study.id).keys() == {"data_card.md", "data_card.html"}
    run_study(study, inline_in(tmp_path / "home"))
    assert len(load_calls(store, study.id)) == 1, "nothing has changed"
    assert verify([store.uri]) == 0


@pytest.mark.usefixtures("no_figures")
def test_rebuild_shows_it_in_mlflow_with_a_link(data: Path, tmp_path: Path) -> None:
    home, study = tmp_path / "home", noop_study(tmp_path, "trials: 1")
    stored(LocalStore(home / "store"), study, data, tmp_path)
    run_study(study, inline_in(home))
    assert rebuild([study.id, "--home", str(home)]) == 0
    client = mlflow.MlflowClient(default_tracking(home))
    parent, _ = runs_of(client, "noop")
    artifacts = [entry.path for entry in client.list_artifacts(parent.info.run_id)]
    assert {"data_card.html", "data_card.md"} <= {*artifacts}
    page = client.download_artifacts(parent.info.run_id, "data_card.html", str(tmp_path))
    assert Path(page).read_bytes() == (data / "card.html").read_bytes()
    link = f"#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts/data_card.html"
    assert parent.data.tags["mlflow.note.content"].count(f"[Data card]({link})\n\n") == 1


def test_report_and_bundle_have_it(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("primary: [noop.value]\nseeds: 6\nunit: seeds\nconditions: {half: {noop.value: 0.5}}\n")
    store, study = LocalStore(tmp_path / "store"), load_ablation(file)
    stored(store, study, data, tmp_path)
    page, report = make_report(store, study.id, tmp_path / "report")
    assert report.pages == (("Data card", DATA_CARD),)
    assert '<a href="data_card.html">Data card</a>' in page.read_text()
    assert "[Data card](data_card.md)" in page.with_name("report.md").read_text()
    assert page.with_name("data_card.html").read_bytes() == (data / "card.html").read_bytes()
    write_bundle(store, study.id, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "data_card.md").is_file()
    other = LocalStore(tmp_path / "other")
    take_in(checked_bundle(tmp_path / "bundle"), other, cache=tmp_path / "cache")
    assert recorded_card(other, study.id) == recorded_card(store, study.id)
    (tmp_path / "again").mkdir()
    assert len(write_data_card(other, study.id, tmp_path / "again")) == 2
    assert verify([other.uri]) == 0
