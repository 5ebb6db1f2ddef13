"""The MLflow view, against a real SQLite database: what it shows of a study."""

import base64
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from platform.evaluate import FILES
from platform.evaluate import main as evaluate
from platform.mlflow_view.attached_report import attach_report
from platform.mlflow_view.registry import load_best
from platform.mlflow_view.saved_view import saved_views
from platform.tracking_uri import default_tracking
from storage.content import File, file_at
from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from tests.examples import failures
from tests.platform.made_up_study import BEGAN, EPOCHS, later, made_up_study, rollout_mse, study_events, trial_events
from tests.platform.mirrored import mirror, rows, runs_by_name
from tests.platform.noop_studies import noop_study
from trainables.config.trial import resolve
from trainables.networks.motion import PerFrameMlps
from trainables.networks.structure import StructureDecoder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder into which one whole study was mirrored."""
    folder = tmp_path_factory.mktemp("home")
    mirror(folder, made_up_study(), study_events(), stage_runs=stage_runs(folder))
    return folder


def best_trial() -> int:
    values = {i: rollout_mse(next(trial_events(i)).body["values"]) for i in range(12) if i not in (3, 4, 5)}
    return min(values, key=values.__getitem__)


def stage_runs(home: Path) -> RunStore:
    """The store's runs of the best trial's decoders, as small as they go."""
    runs = RunStore(LocalStore(home / "store"), cache=home / "cache")
    config = resolve({"structure.hidden": 6, "motion.kind": "per_frame_mlp", "motion.mlp_hidden": 6})
    structure = StructureDecoder(5, (2, 4, 4), hidden=6, residual_layers=config.structure.residual_layers, dropout=0.0)
    motion = PerFrameMlps(config.motion, voxels=5, video=(3, 2, 4, 4))
    made = {run["stage"]: run["identity"] for run in next(trial_events(best_trial())).body["runs"]}
    commit(runs, made["voxels"], {}, {}, info={"voxels": "5"})
    for stage, model, shape in (("structure", structure, (2, 4, 4)), ("motion", motion, (3, 2, 4, 4))):
        predictions = {"first_latent" if stage == "structure" else "latents": torch.zeros(7, *shape)}
        files = {"model": model.state_dict(), "predictions": predictions}
        section = {stage: getattr(config, stage).model_dump(mode="json")}
        commit(runs, made[stage], files, section, inputs={"voxels": made["voxels"]})
    return runs


def commit(
    runs: RunStore, identity: str, files: Mapping[str, Mapping[str, torch.Tensor]], config: Any, **facts: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, tensors in files.items():
            save_file(dict(tensors), Path(folder) / f"{name}.safetensors")
        empty = Manifest(identity, identity.partition("-")[0], config, 0, {}, {}, {}, (), {}, 0.0, 0.0)
        runs.commit(replace(empty, **facts), Path(folder))


def test_study_is_a_parent_run_and_trials_its_children(home: Path) -> None:
    runs = runs_by_name(home)
    study = made_up_study()
    assert set(runs) == {study.id, *(f"t{index:04d}" for index in range(12))}
    parent = runs[study.id]
    assert all(
        run.data.tags["mlflow.parentRunId"] == parent.info.run_id for name, run in runs.items() if name != study.id
    )
    assert parent.info.status == "FINISHED"
    assert {name: runs[name].info.status for name in ("t0000", "t0003", "t0004")} == {
        "t0000": "FINISHED",
        "t0003": "KILLED",
        "t0004": "FAILED",
    }


def test_child_has_readable_params_tags_and_the_data_set(home: Path) -> None:
    run = runs_by_name(home)["t0002"]
    assert run.data.params["motion.patch_size"] == str(later(next(trial_events(2))).body["values"]["motion.patch_size"])
    assert run.data.params["study.sampler"] == "tpe"
    assert run.data.params["preset"] == "phantom"
    assert not any(name.startswith(("semantic.", "noop.")) for name in run.data.params), "sections of stages not run"
    tags = run.data.tags
    assert tags["mindsweep.study"] == "cmg-1a2b3c4d"
    assert (tags["point"], tags["repeat"], tags["seed"], tags["outcome"]) == ("2", "0", "0", "completed")
    assert tags["stage.motion"].startswith("motion-")
    assert tags["data.digest"] == "data-0000000000000007"
    assert tags["version.mlflow"] == mlflow.__version__
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("phantom", "data-0000000000000007")


def test_metrics_per_epoch_and_final_ones_are_apart(home: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=default_tracking(home))
    run = runs_by_name(home)["t0002"]
    history = client.get_metric_history(run.info.run_id, "epochs/motion.rollout_mse")
    assert [metric.step for metric in history] == list(range(1, EPOCHS + 1))
    assert history[0].timestamp == round((BEGAN + 80 + 5 + 4) * 1000)
    values = dict(next(trial_events(2)).body["values"])
    assert run.data.metrics["motion.rollout_mse"] == pytest.approx(rollout_mse(values), abs=0)
    assert run.info.start_time == round((BEGAN + 80 + 5) * 1000), "the trial's start, not its proposal"


def test_trials_stopped_early_have_curves_and_a_last_value_but_no_final_one(home: Path) -> None:
    metrics = runs_by_name(home)["t0003"].data.metrics
    assert "epochs/motion.rollout_mse" in metrics
    assert "motion.rollout_mse" not in metrics
    reached = next(event for event in trial_events(3, outcome="PRUNED") if event.sequence == 3).body["rows"][0]
    assert metrics["last/motion.rollout_mse"] == reached["metrics"]["rollout_mse"]


def test_the_experiment_has_a_view_of_the_trials_best_first(home: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=default_tracking(home))
    experiment = client.get_experiment_by_name("mindsweep/cmg")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.cmg-1a2b3c4d"])
    state = json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`motion.rollout_mse`", True)
    assert "params.`motion.train.lr`" in state["selectedColumns"]
    found = client.search_runs(["1"], state["searchFilter"], order_by=[f"{state['orderByKey']} ASC"])
    assert len(found) == 12
    assert found[0].info.run_name == runs_by_name(home)["cmg-1a2b3c4d"].data.tags["best.trial"]


def test_traceback_is_an_artifact_and_its_last_line_a_tag(home: Path) -> None:
    run = runs_by_name(home)["t0004"]
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "error.txt").read_text().endswith("ValueError: the loss is not finite")
    assert run.data.tags["error"] == "ValueError: the loss is not finite"
    assert json.loads((artifacts / "config.json").read_text())["motion"]["depth"] >= 2
    assert artifacts.is_relative_to(home / "mlartifacts")


def test_parent_holds_what_the_study_came_to(home: Path) -> None:
    run = runs_by_name(home)[made_up_study().id]
    best = best_trial()
    value = rollout_mse(next(trial_events(best)).body["values"])
    assert run.data.tags["best.trial"] == f"t{best:04d}"
    assert run.data.metrics["best.motion.rollout_mse"] == pytest.approx(value, abs=0)
    assert run.data.metrics["best.motion.rollout_mse_static"] == 0.62
    assert (run.data.tags["trials.completed"], run.data.tags["trials.pruned"], run.data.tags["trials.failed"]) == (
        "9",
        "2",
        "1",
    )
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    names = {str(file.relative_to(artifacts)) for file in artifacts.rglob("*") if file.is_file()}
    assert names >= {"summary.md", "summary.json", "figures.html", "study/cmg.yaml", "study/resolved.yaml"}
    assert names >= {f"figures/{name}.png" for name in ("history", "importance", "slices", "parallel")}
    assert f"t{best:04d}" in (artifacts / "summary.md").read_text()
    model = json.loads((artifacts / "best_model.json").read_text())
    assert model["uri"] == (home / "store" / model["blob"]).as_uri()
    assert file_at(home / "store" / model["blob"]) == File(model["sha256"], model["size"])
    assert model["trial"] == f"t{best:04d}"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("phantom", "data-0000000000000007")
    assert (artifacts / "study" / "cmg.yaml").read_text() == made_up_study().source


def test_the_best_model_is_registered_and_loads_without_a_pickle(home: Path) -> None:
    client = mlflow.MlflowClient(tracking_uri=default_tracking(home))
    run = runs_by_name(home)[f"t{best_trial():04d}"]
    (version,) = client.search_model_versions("name = 'mindsweep.cmg-1a2b3c4d'")
    assert version.run_id == run.info.run_id
    assert version.source == f"{run.info.artifact_uri}/model"
    assert version.tags["stage.motion"] == run.data.tags["stage.motion"]
    files = Path(run.info.artifact_uri.removeprefix("file://")) / "model"
    assert {path.name for path in files.rglob("*") if path.is_file()} == {"model.safetensors", "config.json"}
    loaded = load_best("cmg-1a2b3c4d", tracking=default_tracking(home))
    assert sorted(loaded) == ["motion", "structure"]
    fmri = torch.ones(2, 5)
    assert loaded["structure"](fmri).shape == (2, 2, 4, 4)
    assert loaded["motion"](fmri).shape == (2, 3, 2, 4, 4)
    stored = load_file(files / "motion" / "model.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in loaded["motion"].state_dict().items())
    assert failures(load_best, tracking=default_tracking(home)) == 0, "its example"


def test_seeing_all_again_changes_nothing(home: Path) -> None:
    before = rows(home)
    mirror(home, made_up_study(), study_events(), stage_runs=RunStore(LocalStore(home / "store"), cache=home / "cache"))
    assert rows(home) == before


def test_the_page_of_the_evaluate_stage_run_becomes_an_artifact(
    new_home: Callable[[str], Path], tmp_path: Path
) -> None:
    runs = RunStore(LocalStore(tmp_path / "store"), cache=tmp_path / "cache")
    (tmp_path / "made").mkdir()
    for name in ("page.html", "contact.png", "per_clip.parquet"):
        (tmp_path / "made" / name).write_text(f"this is {name}")
    there, absent = ("evaluate-0123456789abcdef", "evaluate-ffffffffffffffff")
    runs.commit(Manifest(there, "evaluate", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0), tmp_path / "made")
    folder, study, events = new_home("home"), made_up_study(trials=2), []
    for index, identity in enumerate((there, absent)):
        first, *rest = trial_events(index)
        run = {**first.body["runs"][-1], "stage": "evaluate", "identity": identity}
        events += [later(first, runs=[*first.body["runs"], run]), *rest]
    for _ in range(2):
        mirror(folder, study, events, stage_runs=runs)
    artifacts = {
        name: Path(run.info.artifact_uri.removeprefix("file://")) for name, run in runs_by_name(folder).items()
    }
    assert {path.name for path in artifacts["t0000"].iterdir()} == {"config.json", "page.html", "contact.png"}
    assert (artifacts["t0000"] / "page.html").read_text() == "this is page.html"
    assert {path.name for path in artifacts["t0001"].iterdir()} == {"config.json"}


ANSWERS = {
    "comparisons": [
        {"condition": "half", "metric": "noop.value", "difference": 0.25, "declared": True}
        | {"verdict": "inconclusive", "reason": "floor"},
        {"condition": "none", "metric": "noop.value", "difference": None, "declared": False}
        | {"verdict": "inconclusive", "reason": ""},
    ],
    "controls": [{"metric": "noop.value", "standing": "at"}],
}


def test_a_report_becomes_artifacts_of_the_study(
    new_home: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, study, folder = new_home("reported"), made_up_study(), tmp_path / "report"
    (folder / "figures").mkdir(parents=True)
    (folder / "report.html").write_text("first")
    attach_report(folder / "report.html", study, uri=default_tracking(home))
    assert re.search("the report .* is not in MLflow", caplog.text)
    mirror(home, study, study_events()[:3])
    for text in ("second", "third"):
        (folder / "report.html").write_text(text)
        (folder / "figures" / "effects.svg").write_text("<svg/>")
        (folder / "answers.json").write_text(json.dumps(ANSWERS), encoding="utf-8")
        attach_report(folder / "report.html", study, uri=default_tracking(home))
    run = runs_by_name(home)[study.id]
    link = f"[Report](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/report/report.html)"
    assert run.data.tags["mlflow.note.content"].count(link) == 1
    place = Path(run.info.artifact_uri.removeprefix("file://")) / "report"
    assert (place / "report.html").read_text() == "third"
    assert run.data.metrics == {"difference.half.noop.value": 0.25}, "paired, and nothing for what cannot be compared"
    assert run.data.tags["verdict.half.noop.value"] == "inconclusive (floor)"
    assert run.data.tags["controls.noop.value"] == "the baseline is not shown to be better than its controls"
    assert "verdict.none.noop.value" not in run.data.tags
    assert (place / "figures" / "effects.svg").is_file()


def test_an_evaluation_becomes_a_run_with_its_means_and_files(
    new_home: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = new_home("home")
    monkeypatch.setenv("MINDSWEEP_HOME", str(home))
    draw = np.random.default_rng(0)
    for folder in ("truth", "ours"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            clip = draw.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
            np.save(tmp_path / folder / f"{name}.npy", clip, allow_pickle=False)
    arguments = [tmp_path / "ours", "--truth", tmp_path / "truth", "--json"]
    for _ in range(2):
        assert evaluate(list(map(str, arguments))) == 0
    client = mlflow.MlflowClient(tracking_uri=default_tracking(home))
    experiment = client.get_experiment_by_name("mindsweep/evaluate")
    assert experiment is not None
    run, _ = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("ours", "FINISHED")
    report = json.loads((home / "evaluate" / "ours" / "scores.json").read_text())
    means = {(row["metric"], row["control"]): row["mean"] for row in report["rows"]}
    assert run.data.metrics["ours/ssim"] == pytest.approx(means["ssim", ""])
    assert run.data.metrics["ours/epe_static"] == pytest.approx(means["epe", "static"])
    assert run.data.params["folder.ours"] == str(tmp_path / "ours")
    assert (run.data.params["frames"], run.data.params["height"]) == ("3", "16")
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert {path.name for path in artifacts.iterdir()} == set(FILES)


@pytest.mark.parametrize(("scheduler", "shown"), [("fifo", False), ("{asha: {grace_epochs: 1}}", True)])
def test_the_view_shows_last_values_where_trials_may_be_stopped(tmp_path: Path, scheduler: str, shown: bool) -> None:
    ((_, value),) = saved_views(noop_study(tmp_path, f"trials: 2\nscheduler: {scheduler}"), began=0.0)
    state = json.loads(zlib.decompress(base64.b64decode(json.loads(value)["state"].removeprefix("deflate;"))))
    assert ("metrics.`last/noop.value`" in state["selectedColumns"]) is shown
