"""One execution for each identity, resumed where it stopped, healed where it is damaged."""

import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from storage import layout
from storage.errors import IntegrityError
from storage.local import LocalStore
from storage.runs import RunStore
from trainables.attempt import attempt
from trainables.config.trial import TrialConfig, resolve
from trainables.context import StageResult, StageTask
from trainables.execute import Row, execute, execute_trial, finite, missing_runs
from trainables.graph import StageRun, stage_runs
from trainables.provenance import code_facts
from trainables.spec import TrialSpec
from trainables.telemetry import Telemetry


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def runs(store: LocalStore, tmp_path: Path) -> RunStore:
    return RunStore(store, cache=tmp_path / "cache")


def noop(**fields: Any) -> tuple[StageRun, TrialConfig]:
    config = resolve({f"noop.{name}": value for name, value in fields.items()})
    (run,) = stage_runs(config, seed=0, targets=["noop"])
    return run, config


class Stop(SystemExit):
    """As Tune ends a trial: through the report."""


def test_a_run_is_executed_once(runs: RunStore, tmp_path: Path) -> None:
    run, config = noop(value=0.5, epochs=4)
    epochs: list[int] = []
    first = execute(run, config, runs=runs, scratch=tmp_path, report=lambda epoch, metrics: epochs.append(epoch))
    again = execute(run, config, runs=runs, scratch=tmp_path, report=lambda epoch, metrics: epochs.append(epoch))
    assert epochs == [1, 2, 3, 4]
    assert again == first
    assert first.metrics == {"value": 0.5}
    assert [row["value"] for row in first.history] == [1.25, 1.0, 0.75, 0.5]
    assert {"python", "host", "cores", "system"} <= set(first.info)
    assert runs.open(run.identity).json("value.json") == 0.5


def test_what_a_stage_frees_is_kept_while_it_runs(runs: RunStore, tmp_path: Path) -> None:
    run, config = noop(value=0.5, epochs=2)
    inside: list[bool] = []
    told: list[bool] = []

    @contextmanager
    def kept() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    with patch("trainables.execute.freed_memory_kept", kept):
        execute(run, config, runs=runs, scratch=tmp_path, report=lambda epoch, metrics: told.append(bool(inside)))
    assert told == [True, True]
    assert not inside


def test_what_was_stopped_goes_on_from_its_checkpoint(runs: RunStore, tmp_path: Path) -> None:
    run, config = noop(value=0.5, epochs=6, checkpoint_share=1.0)
    whole = execute(run, config, runs=RunStore(LocalStore(tmp_path / "other"), cache=tmp_path), scratch=tmp_path)
    seen: list[int] = []

    def stop_at_three(epoch: int, metrics: Any) -> None:
        seen.append(epoch)
        if epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        execute(run, config, runs=runs, scratch=tmp_path / "scratch", report=stop_at_three)
    assert runs.find(run.identity) is None
    assert list((tmp_path / "scratch").iterdir()) == []
    resumed = execute(run, config, runs=runs, scratch=tmp_path, report=lambda epoch, metrics: seen.append(epoch))
    assert seen == [1, 2, 3, 1, 2, 3, 4, 5, 6], "what it continues is reported again"
    assert resumed.info["continued_after"] == "3"
    assert resumed.history == whole.history
    assert resumed.digest == whole.digest
    assert runs.checkpoints(run.identity).latest() is None


def test_other_code_starts_over(runs: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = noop(value=0.5, epochs=6)

    def stop(epoch: int, metrics: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        execute(run, config, runs=runs, scratch=tmp_path, report=stop)
    monkeypatch.setattr("trainables.execute.code_facts", lambda: {"code": "another"})
    again = execute(run, config, runs=runs, scratch=tmp_path)
    assert again.info["continued_after"] == "0"
    assert list(runs.store.list("checkpoints/")) == []


def test_only_the_scratch_folder_is_written(runs: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    run, config = noop(value=0.5, epochs=3, checkpoint_share=1.0)
    found: list[tuple[int, Path]] = []

    def look(epoch: int, metrics: Any) -> None:
        found.extend(runs.checkpoints(run.identity, code=code_facts()["code"]).stored())

    execute(run, config, runs=runs, scratch=tmp_path / "scratch", report=look)
    assert found, "checkpoints were made"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_failing_run_leaves_no_manifest(runs: RunStore, tmp_path: Path) -> None:
    run, config = noop(fail_at=2, epochs=3)
    with pytest.raises(RuntimeError, match="fail at epoch 2"):
        execute(run, config, runs=runs, scratch=tmp_path / "scratch")
    assert runs.find(run.identity) is None
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_damaged_run_is_done_again(runs: RunStore, store: LocalStore, tmp_path: Path) -> None:
    run, config = noop(value=0.5)
    manifest = execute(run, config, runs=runs, scratch=tmp_path)
    store.delete(layout.blob(manifest.files["value.json"].digest))
    assert missing_runs([run], runs) == {run.identity}
    healed = execute(run, config, runs=runs, scratch=tmp_path)
    assert healed.digest == manifest.digest
    assert missing_runs([run], runs) == frozenset()


def test_an_input_that_is_only_subtly_damaged_counts_as_missing_for_what_reads_it(
    runs: RunStore, store: LocalStore, tmp_path: Path
) -> None:
    source, config = noop(value=0.5)
    manifest = execute(source, config, runs=runs, scratch=tmp_path)
    reader = StageRun("noop", "noop-reader", 0, {}, {"noop": source.identity})
    assert missing_runs([source, reader], runs) == {"noop-reader"}
    store.put(layout.blob(manifest.files["value.json"].digest), b"0.6", replace=True)  # the size is the same
    fresh = RunStore(store, cache=tmp_path / "fresh")
    assert missing_runs([source], fresh) == frozenset()
    assert missing_runs([source, reader], fresh) == {source.identity, "noop-reader"}
    healed = execute(source, config, runs=fresh, scratch=tmp_path)
    assert fresh.open(healed.identity).json("value.json") == 0.5


def test_another_config_under_the_same_identity_is_an_error(runs: RunStore, tmp_path: Path) -> None:
    run, config = noop(value=0.5)
    execute(run, config, runs=runs, scratch=tmp_path)
    other, other_config = noop(value=0.6)
    with pytest.raises(IntegrityError, match=r"0\.6"):
        execute(replace(other, identity=run.identity), other_config, runs=runs, scratch=tmp_path)


def test_a_trial_yields_rows_and_metrics_also_when_all_is_reused(runs: RunStore, tmp_path: Path) -> None:
    run, config = noop(value=0.5, epochs=3)
    spec = TrialSpec("study", "t0000", config.model_dump(mode="json"), 0, (run,), ("noop.value",))
    spec = TrialSpec.from_json(spec.to_json())
    seen: list[tuple[Row, bool]] = []
    for reused in (False, True):
        seen.clear()
        result = execute_trial(spec, runs=runs, scratch=tmp_path, report=lambda row, *, live: seen.append((row, live)))
        assert result.metrics == {"noop.value": 0.5}
        assert result.runs["noop"]["identity"] == run.identity
        assert result.runs["noop"]["reused"] is reused
        assert [(row["stage"], row["epoch"], live) for row, live in seen] == [
            ("noop", epoch, not reused) for epoch in (1, 2, 3)
        ]
        assert [row["metrics"]["value"] for row, _ in seen] == pytest.approx([7 / 6, 5 / 6, 0.5])


def test_values_that_json_does_not_know_are_left_out() -> None:
    assert finite({"a": 1, "b": math.nan, "c": math.inf, "d": -2.5}) == {"a": 1.0, "d": -2.5}


def warn_twice(task: StageTask) -> StageResult:
    """Stand for a stage that warns: twice the same, and once more as a fact."""
    for _ in range(2):
        logging.getLogger("trainables.stages.noop").warning("12 captions\nare one")
    (task.context.output / "file").touch()
    return StageResult(info={"warnings": "a fact\n12 captions are one"})


def as_trial(run: StageRun, config: TrialConfig) -> TrialSpec:
    return TrialSpec("study", "t0000", config.model_dump(mode="json"), 0, (run,), ())


def test_warnings_of_a_stage_run_reach_each_trial_that_reads_it(
    runs: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.stages.noop.run", warn_twice)
    run, config = noop(value=0.5)
    for reused in (False, True):
        result = attempt(
            as_trial(run, config),
            runs=runs,
            scratch=tmp_path / "scratch",
            report=lambda row, *, live: None,
            telemetry=Telemetry(),
        )
        assert result["runs"]["noop"]["reused"] is reused
        assert result["warnings"] == ("noop: a fact", "noop: 12 captions are one")
    manifest = runs.find(run.identity)
    assert manifest is not None
    assert manifest.info["warnings"] == "a fact\n12 captions are one"


def test_warnings_of_an_attempt_that_fails_are_kept(
    runs: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(task: StageTask) -> StageResult:
        logging.getLogger("storage.cache").warning("the disk is slow")
        logging.getLogger("someone.else").warning("deprecated")
        raise RuntimeError("broken")

    monkeypatch.setattr("trainables.stages.noop.run", fails)
    spec = as_trial(*noop(value=0.5))
    result = attempt(spec, runs=runs, scratch=tmp_path, report=lambda row, *, live: None, telemetry=Telemetry())
    assert (result["outcome"], result["warnings"]) == ("FAILED", ["the disk is slow"])


def test_what_other_code_made_is_said_when_it_is_read(
    runs: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = noop(value=0.5)
    spec = as_trial(run, config)
    facts = {"code": "0123456789abcdef", "commit": "f" * 40, "dirty": "true"}
    with monkeypatch.context() as patch:
        patch.setattr("trainables.execute.code_facts", lambda: facts)
        first = execute_trial(spec, runs=runs, scratch=tmp_path, report=lambda row, *, live: None)
        again = execute_trial(spec, runs=runs, scratch=tmp_path, report=lambda row, *, live: None)
    assert "made_by" not in {**first.runs["noop"], **again.runs["noop"]}
    later = execute_trial(spec, runs=runs, scratch=tmp_path, report=lambda row, *, live: None)
    now = code_facts()["code"]
    assert (
        later.runs["noop"]["made_by"] == f"code 0123456789abcdef, commit ffffffffffff with changes; this is code {now}"
    )
