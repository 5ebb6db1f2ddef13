"""`reproduce --debug`: any recorded trial runs in this process, on recorded inputs, and shows its own exceptions."""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from platform.reproduce import main
from storage import layout
from tests.platform.reproduction.recorded import SWEEP, Answer, Records, snapshot
from trainables.context import StageResult, StageTask
from trainables.graph import StageRun


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
