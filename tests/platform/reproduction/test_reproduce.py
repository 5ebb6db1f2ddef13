"""The verb `reproduce`: what was recorded comes out again, and whatever was tampered with or changed is named."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from platform.record.trial_log import proposed_body
from platform.reproduce import main
from platform.reproduction.selection import choose_trials
from storage import layout
from storage.content import sealed, unsealed
from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import Manifest, RunStore
from storage.studies import save_study
from tests.platform.made_up_events import made_up_event
from trainables.backbones.sources import PHANTOM
from trainables.config.trial import TrialConfig, resolve
from trainables.context import StageResult, StageTask
from trainables.execute import execute, execute_trial
from trainables.graph import StageRun, stage_runs
from trainables.spec import TrialSpec

SWEEP = "noop-0123abcd"
Answer = tuple[int, dict[str, Any]]


class Records:
    """A store, and trials that are recorded there as a driver would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder / "store")
        self.runs = RunStore(self.store, cache=folder / "cache")

    def study(self, name: str = SWEEP, target: str = "noop.value") -> None:
        save_study(self.store, name, {"id": name, "definition": {"targets": [target]}})

    def spec(self, trial: str, overrides: Mapping[str, Any], *, seed: int = 0, stage: str = "noop") -> TrialSpec:
        config = resolve(overrides)
        runs = stage_runs(config, seed=seed, targets=[stage])
        return TrialSpec(SWEEP, trial, config.model_dump(mode="json"), seed, runs)

    def run(self, spec: TrialSpec, *, point: int = 0, repeat: int = 0, **labels: str) -> None:
        """Run a trial here and record it."""
        result = execute_trial(spec, runs=self.runs, scratch=self.folder / "scratch", report=lambda row, *, live: None)
        self.write(spec, "COMPLETED", result.metrics, point=point, repeat=repeat, labels=labels)

    def write(
        self, spec: TrialSpec, outcome: str, metrics: Mapping[str, float], *, study: str = SWEEP, **proposed: Any
    ) -> None:
        """Write the events of a trial."""
        proposed = {"point": 0, "repeat": 0, "labels": {}, **proposed}
        end = {"outcome": outcome, "metrics": metrics, "runs": {}, "error": None, "seconds": 1.0, "step": None}
        bodies = {"proposed": proposed_body(spec, values={}, **proposed), "finished": end}
        for number, (kind, body) in enumerate(bodies.items()):
            event = made_up_event(spec.trial, number, kind, 1000.0, body)
            EventLog(self.store, study).append(spec.trial, number, event.to_json())

    def reseal(self, identity: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a manifest as somebody would who knows how it is sealed."""
        key = layout.manifest(identity)
        value = unsealed(key, self.store.get(key))
        change(value)
        self.store.put(key, sealed(value), replace=True)

    def replace_file(self, run: StageRun, name: str, content: Path) -> None:
        """Put another file in the place of one that a stage run made, manifest and all."""
        place = self.folder / "replaced"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        stored = self.runs.open(run.identity)
        for other in stored.manifest.files:
            shutil.copyfile(content if other == name else stored.path(other), place / other)
        self.store.delete(layout.manifest(run.identity))
        self.runs.commit(replace(stored.manifest, files={}), place)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path)
    made.study()
    return made


@pytest.fixture
def reproduce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def call(*arguments: object) -> Answer:
        code = main([*map(str, arguments), "--home", str(tmp_path), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def facts(answer: Answer, trial: int = 0) -> dict[str, tuple[str, str]]:
    return {fact["what"]: (fact["state"], fact["text"]) for fact in answer[1]["trials"][trial]["facts"]}


def verdicts(answer: Answer, trial: int = 0) -> dict[str, str]:
    return {stage["stage"]: stage["verdict"] for stage in answer[1]["trials"][trial]["stages"]}


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_what_is_intact_comes_out_bit_equal_and_leaves_the_store_as_it_was(
    records: Records, reproduce: Callable[..., Answer], tmp_path: Path
) -> None:
    records.run(records.spec("t0000", {"noop.value": 0.5, "noop.epochs": 3}))
    before = snapshot(tmp_path / "store")
    answer = reproduce("t0000")
    assert answer[0] == 0
    assert answer[1]["reproduced"] is True
    assert verdicts(answer) == {"noop": "bit-equal"}
    states = {what: state for what, (state, _) in facts(answer).items()}
    assert {states[what] for what in ("code", "lock", "python", "config", "identities", "seed", "records")} == {
        "restored"
    }
    assert snapshot(tmp_path / "store") == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_dry_run_runs_and_writes_nothing(records: Records, reproduce: Callable[..., Answer], tmp_path: Path) -> None:
    records.run(records.spec("t0000", {"noop.value": 0.5}))
    before = snapshot(tmp_path)
    answer = reproduce("t0000", "--dry-run")
    assert (answer[0], answer[1]["reproduced"], verdicts(answer)) == (0, False, {})
    assert snapshot(tmp_path) == before


def test_records_of_another_machine_and_older_ones_are_told_from_what_is_here(
    records: Records, reproduce: Callable[..., Answer]
) -> None:
    spec = records.spec("t0000", {"noop.value": 0.5})
    records.run(spec)
    other = {"code": "feed" * 4, "commit": "c0ffee" * 6, "dirty": "true", "python": "3.1.4", "device": "cuda:0"}
    records.reseal(spec.runs[0].identity, lambda value: value["info"].update(other))
    answer = reproduce("t0000")
    assert answer[0] == 0, "the same came out all the same"
    found = facts(answer)
    assert {found[what][0] for what in ("code", "commit", "python")} == {"differs"}
    assert found["device"][0] in ("differs", "unknown")
    assert "changes that are in no commit" in found["commit"][1]
    assert "git worktree add" in found["commit"][1]
    records.reseal(spec.runs[0].identity, lambda value: value.update(info={}))
    found = facts(reproduce("t0000", "--dry-run"))
    assert {found[what][0] for what in ("code", "commit", "lock", "python")} == {"unknown"}
    assert "not recorded" in found["code"][1]


def test_a_tampered_file_is_named(records: Records, reproduce: Callable[..., Answer], tmp_path: Path) -> None:
    spec = records.spec("t0000", {"noop.value": 0.5})
    records.run(spec)
    file = records.runs.open(spec.runs[0].identity).manifest.files["value.json"]
    records.store.put(layout.blob(file.digest), b"0.6", replace=True)
    answer = reproduce("t0000")
    assert answer[0] == 1
    assert verdicts(answer) == {"noop": "bit-equal"}, "as it was recorded, which the stored copy is no more"
    state, text = facts(answer)["records"]
    assert state == "differs"
    assert "value.json" in text
    assert "is damaged" in text
    assert "value.json" in answer[1]["trials"][0]["finding"]


def test_a_file_that_was_replaced_with_its_manifest_is_named(
    records: Records, reproduce: Callable[..., Answer], tmp_path: Path
) -> None:
    spec = records.spec("t0000", {"noop.value": 0.5})
    records.run(spec)
    (tmp_path / "other.json").write_text("0.6")
    records.replace_file(spec.runs[0], "value.json", tmp_path / "other.json")
    answer = reproduce("t0000")
    assert (answer[0], verdicts(answer)) == (1, {"noop": "differs"})
    assert "value.json: 0.6 then, 0.5 now" in answer[1]["trials"][0]["finding"]
    assert reproduce("t0000", "--atol", "0.2")[0] == 0


def test_a_tampered_metric_is_named_in_the_manifest_and_in_the_record(
    records: Records, reproduce: Callable[..., Answer]
) -> None:
    spec = records.spec("t0000", {"noop.value": 0.5})
    records.run(spec)
    records.reseal(spec.runs[0].identity, lambda value: value["metrics"].update(value=0.9))
    answer = reproduce("t0000")
    assert (answer[0], verdicts(answer)) == (1, {"noop": "differs"})
    assert "metric value: 0.9 then, 0.5 now" in answer[1]["trials"][0]["stages"][0]["text"]
    assert "noop.value is 0.5 in the record" in facts(answer)["records"][1]


def test_a_missing_manifest_leaves_nothing_to_compare_with(records: Records, reproduce: Callable[..., Answer]) -> None:
    spec = records.spec("t0000", {"noop.value": 0.5})
    records.run(spec)
    records.store.delete(layout.manifest(spec.runs[0].identity))
    answer = reproduce("t0000")
    assert (answer[0], verdicts(answer)) == (1, {"noop": "not recorded"})
    assert "its manifest is missing" in facts(answer)["records"][1]


def test_a_stage_that_fails_now_is_the_finding(
    records: Records, reproduce: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    records.run(records.spec("t0000", {"noop.value": 0.5}))
    monkeypatch.setattr("trainables.stages.noop.FILE", "no/such/folder.json")
    answer = reproduce("t0000")
    assert (answer[0], verdicts(answer)) == (1, {"noop": "failed"})
    assert "FileNotFoundError" in answer[1]["trials"][0]["finding"]


def test_a_changed_backbone_folder_is_named_and_nothing_is_run(
    records: Records, reproduce: Callable[..., Answer], tmp_path: Path
) -> None:
    shutil.copytree(PHANTOM / "clip", tmp_path / "clip")
    spec = records.spec("t0000", {"backbones.clip": str(tmp_path / "clip")}, stage="semantic")
    records.write(spec, "COMPLETED", {})
    (tmp_path / "clip" / "config.json").write_text("{}")
    answer = reproduce("t0000")
    state, text = facts(answer)["identities"]
    assert (answer[0], state, verdicts(answer)) == (1, "differs", {})
    assert text.startswith("features: fingerprint.clip.sha256 was ")
    assert text.endswith("(other identities: features, semantic)")
    shutil.rmtree(tmp_path / "clip")
    answer = reproduce("t0000", "--dry-run")
    assert answer[0] == 1
    assert facts(answer)["identities"][1].startswith("features: its fingerprint cannot be computed: backbones.clip")


def test_a_config_of_other_code_is_named(records: Records, reproduce: Callable[..., Answer]) -> None:
    spec = records.spec("t0000", {})
    records.write(replace(spec, config={**spec.config, "noop": {"colour": 1}}), "COMPLETED", {})
    answer = reproduce("t0000")
    assert (answer[0], facts(answer)["config"][0], verdicts(answer)) == (1, "differs", {})
    assert "noop.colour" in answer[1]["trials"][0]["finding"]


TINY = {
    "features.latent_size": 4,
    "motion.patch_size": 2,
    "structure.hidden": 16,
    **{f"structure.train.{k}": v for k, v in {"epochs": 2, "batch_size": 16, "device": "cpu"}.items()},
}


@pytest.fixture
def decoder(records: Records, tmp_path: Path) -> StageRun:
    """A trained structure decoder, on made-up features and voxels, recorded as a trial."""
    spec = records.spec("t0000", TINY, stage="structure")
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "features": {"latents": torch.randn(70, 2, 4, 4, 4, generator=generator)},
        "voxels": {"fmri": torch.randn(70, 20, generator=generator)},
    }
    *sources, run = spec.runs
    for source in sources:
        folder = tmp_path / source.stage
        folder.mkdir()
        if source.stage in tensors:
            save_file(tensors[source.stage], folder / f"{source.stage}.safetensors")
        if source.stage == "voxels":
            split = ["train"] * 50 + ["validation"] * 10 + ["test"] * 10
            (folder / "voxels.json").write_text(json.dumps({"split": split}))
        made = Manifest(source.identity, source.stage, source.config, 0, source.inputs, {}, {}, (), {}, 0.0, 1.0)
        records.runs.commit(made, folder)
    config = TrialConfig.model_validate(spec.config)
    manifest = execute(run, config, runs=records.runs, scratch=tmp_path / "scratch")
    records.write(spec, "COMPLETED", {f"structure.{name}": value for name, value in manifest.metrics.items()})
    return run


@pytest.mark.parametrize(("nudge", "verdict"), [(0.0, "bit-equal"), (1e-8, "within tolerance"), (0.1, "differs")])
def test_a_decoder_is_trained_again_from_its_recorded_inputs(
    nudge: float, verdict: str, decoder: StageRun, records: Records, reproduce: Callable[..., Answer], tmp_path: Path
) -> None:
    if nudge > 0.0:
        predictions = load_file(records.runs.open(decoder.identity).path("predictions.safetensors"))
        predictions["first_latent"][0] += nudge
        save_file(predictions, tmp_path / "nudged")
        records.replace_file(decoder, "predictions.safetensors", tmp_path / "nudged")
    answer = reproduce("t0000", "--from-inputs", "--stage", "structure", "--keep", tmp_path / "kept")
    assert verdicts(answer) == {"structure": verdict}
    assert answer[0] == (verdict == "differs")
    if nudge > 0.0:
        assert "predictions.safetensors first_latent: up to" in answer[1]["trials"][0]["stages"][0]["text"]
    assert facts(answer)["threads"] == ("restored", "structure 1")
    assert RunStore(LocalStore(tmp_path / "kept"), cache=tmp_path).find(decoder.identity) is not None


def test_what_reads_a_stage_run_that_differs_is_skipped(
    decoder: StageRun, reproduce: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.stages.clips.run", broken)
    answer = reproduce("t0000")
    assert answer[0] == 1
    skipped = dict.fromkeys(("features", "data", "voxels", "structure"), "skipped")
    assert verdicts(answer) == {"clips": "failed", **skipped}
    assert answer[1]["trials"][0]["finding"].startswith("clips (clips-")


def broken(task: object) -> None:
    raise RuntimeError("the disk is full")


def test_a_sweep_is_its_best_point_unless_more_are_asked_for(
    records: Records, reproduce: Callable[..., Answer]
) -> None:
    for number, value in enumerate((0.5, 0.2, 0.9)):
        records.run(records.spec(f"t000{number}", {"noop.value": value}), point=number)
    records.write(records.spec("t0003", {}), "PRUNED", {}, point=3)
    answer = reproduce("noop")
    assert [trial["trial"] for trial in answer[1]["trials"]] == [f"{SWEEP}/t0001"]
    assert answer[1]["why"] == "1 of 3 completed trials: best first, by noop.value"
    assert [trial["trial"][-5:] for trial in reproduce(SWEEP, "--trials", 2)[1]["trials"]] == ["t0001", "t0000"]
    assert len(reproduce("noop", "--all")[1]["trials"]) == 3
    code, said = reproduce("noop/t0003")
    assert code == 2
    assert "ended as pruned" in said["error"]


def test_an_ablation_is_one_trial_for_each_condition(records: Records) -> None:
    point = 0
    for condition, value in {"baseline": 0.1, "half": 0.5}.items():
        for subject in "10":
            for seed in range(2):
                spec = records.spec(f"{condition}-u{subject}-s{seed}", {"noop.value": value}, seed=seed)
                labels = {"condition": condition, "subject": subject, "seed": str(seed), "block": ""}
                outcome = "FAILED" if spec.trial == "half-u1-s0" else "COMPLETED"
                records.write(spec, outcome, {"noop.value": value}, point=point, repeat=seed, labels=labels)
            point += 1
    chosen = choose_trials(records.store, SWEEP)
    assert [trial.result.trial for trial in chosen.trials] == ["baseline-u1-s0", "half-u0-s0"]
    three = choose_trials(records.store, SWEEP, count=3)
    assert [trial.result.trial for trial in three.trials] == ["baseline-u1-s0", "half-u0-s0", "baseline-u0-s0"]
    assert len(choose_trials(records.store, SWEEP, everything=True).trials) == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nop"], f"did you mean {SWEEP} or {SWEEP}.2?"),
        (["t0009"], "t0000"),
        ([f"{SWEEP}/t0009"], "has no trial t0009"),
        (["t0000"], f'"t0000" is ambiguous: it matches {SWEEP}/t0000 and {SWEEP}.2/t0000. Use the full name.'),
        (["noop"], f'"noop" is ambiguous: it matches {SWEEP} and {SWEEP}.2. Use the full name.'),
        ([f"{SWEEP}/t0000", "--all"], "is one trial"),
        ([f"{SWEEP}/t0000", "--stage", "noop"], "--stage needs --from-inputs"),
        ([f"{SWEEP}/t0000", "--from-inputs", "--stage", "nop"], "did you mean noop"),
        ([f"{SWEEP}/t0000", "--keep", "."], "is not an empty folder"),
    ],
)
def test_bad_input_is_answered_with_what_would_be_right(
    arguments: list[str], said: str, records: Records, reproduce: Callable[..., Answer]
) -> None:
    records.write(records.spec("t0000", {}), "COMPLETED", {})
    records.write(records.spec("t0000", {}), "COMPLETED", {}, study=f"{SWEEP}.2")
    code, answer = reproduce(*arguments)
    assert code == 2
    assert said in answer["error"]


def test_an_empty_store_says_where_to_look(reproduce: Callable[..., Answer]) -> None:
    code, answer = reproduce("noop")
    assert code == 2
    assert "--home or --store" in answer["error"]


@pytest.mark.parametrize("outcome", ["PRUNED", "FAILED", "COMPLETED"])
def test_any_recorded_trial_is_run_in_this_process(
    outcome: str, records: Records, reproduce: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trainables.stages.noop as stage

    processes: list[int] = []
    original = stage.run

    def watched(task: StageTask) -> StageResult:
        processes.append(os.getpid())
        return original(task)

    monkeypatch.setattr(stage, "run", watched)
    spec = records.spec("t0000", {"noop.value": 0.5, "noop.epochs": 3})
    records.write(spec, outcome, {})
    before = snapshot(tmp_path / "store")
    code, answer = reproduce(f"{SWEEP}/t0000", "--debug")
    assert (code, answer["outcome"]) == (0, outcome)
    assert answer["stages"] == [
        {"stage": "noop", "identity": spec.runs[0].identity, "metrics": {"value": 0.5}},
    ]
    assert processes == [os.getpid()]
    assert snapshot(tmp_path / "store") == before, "the records stay as they are"


def test_a_debugged_exception_is_shown_from_the_stage_on(
    records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write(records.spec("t0000", {"noop.fail_at": 1}), "FAILED", {})
    opened: list[TracebackType | None] = []
    monkeypatch.setattr("pdb.post_mortem", opened.append)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert main(["t0000", "--debug", "--home", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "t0000 (FAILED when recorded): runs noop-" in captured.out
    frames = [line for line in captured.err.splitlines() if line.startswith("  File")]
    assert "stages/noop.py" in frames[0], "no frame of ours stands before the stage's own"
    assert captured.err.rstrip().endswith("RuntimeError: noop was asked to fail at epoch 1")
    assert opened[0] is not None
    assert opened[0].tb_frame.f_code.co_filename.endswith("noop.py")


def test_a_stage_is_debugged_on_recorded_inputs(
    decoder: StageRun, records: Records, reproduce: Callable[..., Answer]
) -> None:
    code, answer = reproduce("t0000", "--debug", "--stage", "structure")
    assert (code, [stage["stage"] for stage in answer["stages"]]) == (0, ["structure"])
    code, answer = reproduce("t0000", "--debug")
    assert code == 2
    assert "all stage runs of noop-0123abcd/t0000 are stored; choose one with --stage: clips, " in answer["error"]
    records.store.delete(layout.manifest(decoder.inputs["voxels"]))
    code, answer = reproduce("t0000", "--debug", "--stage", "structure")
    assert code == 1, "the made-up records cannot be read by the stage that must run before"
    assert "error" in answer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([SWEEP, "--debug"], f"name one trial as STUDY/TRIAL (those that failed: {SWEEP}/t0000)"),
        ([f"{SWEEP}/t0000", "--debug", "--stage", "nop"], "did you mean noop?"),
        ([f"{SWEEP}/t0000", "--debug", "--all"], "--debug runs one trial"),
    ],
)
def test_what_cannot_be_debugged_is_refused(
    arguments: list[str], said: str, records: Records, reproduce: Callable[..., Answer]
) -> None:
    records.write(records.spec("t0000", {}), "FAILED", {})
    code, answer = reproduce(*arguments)
    assert code == 2
    assert said in answer["error"]
