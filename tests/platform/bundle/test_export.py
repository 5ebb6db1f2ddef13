"""A study goes into a folder and out into another store, where all works as before; a changed folder goes nowhere."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform.bundle.reading import checked_bundle, take_in
from platform.errors import UserError
from platform.events import Kind
from platform.export import main as export
from platform.rebuild import rebuild
from platform.record.study_from_store import call_of
from platform.record.trial_log import proposed_body
from platform.reporting.making import make_report
from platform.reproduce import main as reproduce
from platform.study.ablation import AblationStudy
from platform.study.ablation_file import load_ablation
from platform.tracking_uri import default_tracking
from storage import layout
from storage.errors import UnavailableError
from storage.events import EventLog
from storage.lease import Lease
from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from storage.studies import list_studies, save_call, save_study
from storage.verify import main as verify
from tests.platform.bundle.attacks import ATTACKS, rewrite
from tests.platform.made_up_events import made_up_event
from tests.platform.noop_ablations import TWO_EPOCHS
from tests.programs import ROOT, program
from tests.stored import unlike_data
from trainables.execute import execute_trial

take = importlib.import_module("platform.import").main  # `import` is a keyword


def execute(study: AblationStudy, store: LocalStore, scratch: Path) -> None:
    """Run all trials of `study` here, and record them as a driver would."""
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    save_call(store, study.id, call_of(study), time=1.0)
    runs = RunStore(store, cache=scratch / "cache")
    for number, spec in enumerate(study.specs):
        point, repeat = divmod(number, study.repeats)
        values = study.points[point]
        done = execute_trial(spec, runs=runs, scratch=scratch, report=lambda row, *, live: None)
        times = {run.stage: {"identity": run.identity, "reused": False, "seconds": 0.5} for run in spec.runs}
        end = {"outcome": "COMPLETED", "metrics": dict(done.metrics), "error": None, "seconds": 0.5, "step": None}
        labels = study.labels(repeat, values)
        bodies: list[tuple[Kind, dict[str, Any]]] = [
            ("proposed", proposed_body(spec, point=point, repeat=repeat, values=values, labels=labels)),
            ("started", {"attempt": 1}),
            ("finished", {**end, "runs": times}),
        ]
        for sequence, (kind, body) in enumerate(bodies):
            event = made_up_event(spec.trial, sequence, kind, 1000.0 + number + sequence / 10, body)
            EventLog(store, study.id).append(spec.trial, sequence, event.to_json())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder whose store holds the ablation `small` of twelve trials."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.yaml").write_text(TWO_EPOCHS)
    study = load_ablation(folder / "small.yaml")
    execute(study, LocalStore(folder / "store"), folder / "scratch")
    return folder


@pytest.fixture(scope="module")
def exported(home: Path) -> Path:
    """A bundle of it with all artifacts."""
    assert export(["small", str(home / "bundle"), "--artifacts", "all", "--home", str(home)]) == 0
    return home / "bundle"


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


def test_a_bundle_holds_all_and_says_what_is_what(exported: Path) -> None:
    done = subprocess.run(["sha256sum", "--quiet", "-c", "checksums.txt"], cwd=exported, check=False)
    assert done.returncode == 0
    trials = pd.read_parquet(exported / "records" / "trials.parquet")
    assert len(trials) == 12
    assert (exported / "small.yaml").read_text() == TWO_EPOCHS
    assert json.loads((exported / "configs" / "half-u0-s3.json").read_text())["noop"]["value"] == 0.5
    assert (exported / "requirements.lock").read_text() == (ROOT / "requirements.lock").read_text()
    assert (exported / "report" / "report.html").is_file()
    told = (exported / "README.txt").read_text()
    for entry in exported.iterdir():
        assert entry.name in told or entry.name in ("README.txt", "small.yaml"), entry
    assert "12 completed" in told
    assert verify([(exported / "store").as_uri()]) == 0
    assert unlike_data(LocalStore(exported / "store")) == []
    assert not [path for path in exported.parent.iterdir() if path.name.startswith(".bundle")]


@pytest.mark.long
@pytest.mark.usefixtures("no_figures")
def test_elsewhere_report_reproduce_and_rebuild_work(
    exported: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    assert take([str(exported), "--home", str(there)]) == 0
    store = LocalStore(there / "store")
    assert verify([store.uri]) == 0
    assert list_studies(store) == ("small",)
    keys = set(LocalStore(home / "store").list("")) - {"leases/"}
    assert {key for key in store.list("") if not key.startswith(("leases/", "studies/small/records"))} == {
        key for key in keys if not key.startswith(("leases/", "checkpoints/"))
    }
    _, report = make_report(store, "small", tmp_path / "report")
    assert report.conclusions == make_report(LocalStore(home / "store"), "small", tmp_path / "here")[1].conclusions
    assert reproduce(["small/half-u0-s2", "--home", str(there)]) == 0
    assert "bit-equal" in capsys.readouterr().out
    assert rebuild(store, "small", home=there, tracking=default_tracking(there)).missing == ""
    assert take([str(exported), "--home", str(there)]) == 0, "a second time nothing is new"
    assert f"0 of {len(checked_bundle(exported).keys)} objects were new" in capsys.readouterr().out


def test_only_what_was_chosen_is_copied(home: Path, tmp_path: Path) -> None:
    assert export(["small", str(tmp_path / "none"), "--artifacts", "none", "--home", str(home)]) == 0
    assert not (tmp_path / "none" / "store" / "blobs").exists()
    known = {path.stem for path in (tmp_path / "none" / "manifests").iterdir()}
    assert known == {path.name for path in (home / "store" / "stages").iterdir()}
    assert take([str(tmp_path / "none"), "--home", str(tmp_path / "there")]) == 0
    assert list(LocalStore(tmp_path / "there" / "store").list("stages/")) == []


def test_by_default_the_evaluations_are_in_it(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(TWO_EPOCHS)
    study, store = load_ablation(tmp_path / "small.yaml"), LocalStore(tmp_path / "store")
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    runs = RunStore(store, cache=tmp_path / "cache")
    spec = study.specs[0]
    made = [{**spec.runs[0].to_json(), "stage": stage, "identity": f"{stage}-00"} for stage in ("motion", "evaluate")]
    for run in made:
        (tmp_path / run["stage"]).mkdir()
        (tmp_path / run["stage"] / "file.json").write_text(run["stage"])
        manifest = Manifest(run["identity"], run["stage"], {}, 0, {}, {}, {}, (), {}, 0.0, 0.0)
        runs.commit(manifest, tmp_path / run["stage"])
    body = {**proposed_body(spec, point=0, repeat=0, values=study.points[0], labels=study.labels(0, study.points[0]))}
    event = made_up_event(spec.trial, 0, "proposed", 1.0, {**body, "runs": made})
    EventLog(store, study.id).append(spec.trial, 0, event.to_json())
    assert export(["small", str(tmp_path / "out"), "--home", str(tmp_path)]) == 0
    assert [path.name for path in (tmp_path / "out" / "store" / "stages").iterdir()] == ["evaluate-00"]
    assert [path.name for path in (tmp_path / "out" / "manifests").iterdir()] == ["motion-00.json"]


def test_mistakes_in_exporting_leave_nothing(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    before = sorted(tmp_path.rglob("*"))
    for arguments, told in (
        (["smal", str(tmp_path / "out")], "holds no study smal; did you mean small?"),
        (["small", str(tmp_path / "full")], "is not an empty folder"),
        (["small", str(tmp_path / "link")], "is not an empty folder"),
        (["small", str(tmp_path / "full" / "file" / "out")], "cannot be written"),
        (
            ["small", str(tmp_path / "out"), "--artifacts", "noob"],
            "no trial of small has a stage noob; did you mean noop",
        ),
    ):
        assert export([*arguments, "--home", str(home)]) == 2
        assert told in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_damage_in_the_store_is_not_exported(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "store", tmp_path / "store")
    blob = next(path for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file())
    rewrite(blob, blob.read_bytes()[:-1] + b"?")
    assert export(["small", str(tmp_path / "out"), "--artifacts", "all", "--home", str(tmp_path)]) == 1
    assert "cannot be exported" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_changed_bundle_is_refused_as_a_whole(
    attack: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, told = ATTACKS[attack]
    change(bundle)
    assert take([str(bundle), "--home", str(tmp_path / "there")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "there").exists()


@pytest.mark.long
@settings(max_examples=40)
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 255))
def test_whichever_byte_is_changed_the_bundle_is_refused(bundle: Path, which: int, where: int, by: int) -> None:
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.stat().st_size > 0)
    path = files[which % len(files)]
    whole = path.read_bytes()
    made = bytearray(whole)
    made[where % len(made)] ^= by
    rewrite(path, bytes(made))
    try:
        with pytest.raises(UserError):
            checked_bundle(bundle)
    finally:
        path.write_bytes(whole)


def test_a_zip_file_is_not_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"PK\x03\x04")
    assert take([str(tmp_path / "bundle.zip"), "--home", str(tmp_path / "there")]) == 2
    assert "is not a bundle: it must be a folder" in capsys.readouterr().err


def test_a_study_that_differs_there_is_left_alone(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(tmp_path / "store")
    save_study(store, "small", {"id": "small", "definition": {"other": True}})
    assert take([str(bundle), "--home", str(tmp_path)]) == 2
    assert "another study under the name small" in capsys.readouterr().err
    store.delete(layout.study("small"))
    EventLog(store, "small").append("half-u0-s0", 7, {})
    assert take([str(bundle), "--home", str(tmp_path)]) == 2
    assert "holds more under the name small" in capsys.readouterr().err
    store.delete(layout.event("small", "half-u0-s0", 7))
    with Lease(store, "study-small"):
        assert take([str(bundle), "--home", str(tmp_path)]) == 2
    assert "a driver works on study small" in capsys.readouterr().err
    assert [key for key in store.list("") if not key.startswith("leases/")] == []


def test_an_interrupted_import_shows_no_study_and_goes_on(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, store = checked_bundle(bundle), LocalStore(tmp_path / "store")
    whole = LocalStore.put
    count = 0

    def put(self: LocalStore, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        nonlocal count
        count += not key.startswith("leases/")
        if key == layout.study("small") and count == len(checked.keys):
            raise UnavailableError("the disk is full")
        whole(self, key, data, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put", put)
        with pytest.raises(UnavailableError):
            take_in(checked, store, cache=tmp_path / "cache")
    assert list_studies(store) == ()
    assert take_in(checked, store, cache=tmp_path / "cache") == 1, "the definition was all that lacked"
    assert list_studies(store) == ("small",)


def test_what_is_damaged_there_is_mended(bundle: Path, tmp_path: Path) -> None:
    checked, store = checked_bundle(bundle), LocalStore(tmp_path / "store")
    take_in(checked, store, cache=tmp_path / "cache")
    damaged = [next(store.list(layout.blobs())), next(store.list(layout.stages()))]
    for key in damaged:
        store.put(key, b"cut", replace=True)
    assert take_in(checked, store, cache=tmp_path / "cache") == 2
    assert verify([store.uri]) == 0


def test_mistakes_are_answered_before_anything_is_imported(tmp_path: Path) -> None:
    for verb in (["platform.export", "small", str(tmp_path / "out")], ["platform.import", str(tmp_path)]):
        command = program("loaded", "platform", "ray,mlflow,optuna,torch", *verb, "--home", tmp_path)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout.splitlines()) == (2, ["[]"]), done.stderr
    command = [sys.executable, "-m", "platform.import", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "usage: python -m platform.import" in done.stdout, "a keyword is a fine name for a verb"
