"""The verb `reproduce`: what was recorded comes out again, and whatever was tampered with or changed is named."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from platform.reproduction.selection import choose_trials
from storage import layout
from storage.local import LocalStore
from storage.runs import RunStore
from tests.platform.reproduction.recorded import SWEEP, Answer, Records, facts, snapshot, verdicts
from trainables.backbones.sources import PHANTOM
from trainables.graph import StageRun


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
