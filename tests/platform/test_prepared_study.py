"""From published files to a data set, and from it to a trial: one sweep for all data sets of pickled betas."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from platform.launch import launch
from platform.prepare import main
from platform.record.data_card import write_data_card
from platform.run.driver import run_study
from platform.study.sweep_file import load_study
from platform.tracking_uri import default_tracking
from storage.local import LocalStore
from storage.s3 import S3Store
from tests.fakes.algonauts2021 import write_algonauts2021
from tests.fakes.bmd import Videos, write_annotations, write_bmd
from tests.platform.mirrored import runs_of
from tests.platform.noop_studies import inline_in
from tests.trainables.prepared.labs import prepare_rows, rows_lab
from trainables.datasets.prepared.stored_set import upload

VIDEOS = Videos(train=20, test=2)
SMALL = ("--frames", "8", "--resolution", "32")
STUDY = """
target: structure.latent_mse
trials: 1
sampler: random
scheduler: fifo
base: {{dataset.kind: prepared, dataset.path: {path}, structure.train.epochs: 1, structure.train.batch_size: 8}}
space: {{structure.dropout: {{choice: [0.0, 0.2]}}}}
"""


@pytest.mark.long
def test_pickled_betas_from_files_to_a_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bmd = write_bmd(tmp_path / "bmd", subjects=(1,), videos=VIDEOS)
    algonauts = write_algonauts2021(tmp_path / "algonauts", subjects=(1,), videos=VIDEOS)
    write_annotations(algonauts / "annotations.json", VIDEOS)
    captions = ("--caption", str(algonauts / "annotations.json"))
    given = {"bmd": [str(bmd), "--betas", "MNI152"], "algonauts2021": [str(algonauts), *captions]}
    for reader, words in given.items():
        out = tmp_path / "prepared" / reader
        assert main([reader, *words, "--out", str(out), *SMALL]) == 0
        assert "22 clips, 1 subject(s), split by given (" in capsys.readouterr().out
        assert main(["validate", str(out)]) == 0
        assert "Data card: " in (out / "card.md").read_text()
        file = tmp_path / f"{reader}.yaml"
        file.write_text(STUDY.format(path=out))
        summary = run_study(load_study(file), inline_in(tmp_path / "home"))
        assert summary.trials["completed"] == 1
        executed = {"bmd": 5, "algonauts2021": 3}  # the latter finds clips and features in the store
        assert summary.stage_runs["executed"] == executed[reader]


@pytest.mark.long
def test_a_sweep_on_a_set_in_a_store_is_that_on_its_folder_and_shows_the_card(
    tmp_path: Path,
    s3_store: S3Store,
    s3_endpoint: str,
    aws: Callable[[str], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, uri = prepare_rows(rows_lab(tmp_path / "lab"), tmp_path / "set").folder, s3_store.uri
    file, home = tmp_path / "stored.yaml", tmp_path / "home"
    with aws(s3_endpoint):
        upload(data, uri)
        file.write_text(STUDY.format(path=uri))
        study, options = load_study(file), inline_in(home, tracking=default_tracking(home))
        assert not list((tmp_path / "cache" / "mindsweep" / "datasets").glob("*/clips")), "a plan reads tables alone"
        assert launch(study, options).trials["completed"] == 1
    file.write_text(STUDY.format(path=data))
    assert load_study(file).id == study.id
    parent, _ = runs_of(MlflowClient(default_tracking(home)), "stored")
    assert "[Data card](" in parent.data.tags["mlflow.note.content"]
    assert write_data_card(LocalStore(home / "store"), study.id, tmp_path)
    assert (tmp_path / "data_card.html").read_bytes() == (data / "card.html").read_bytes()
