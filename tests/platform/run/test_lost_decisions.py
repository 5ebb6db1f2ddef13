"""A killed driver loses rows of epochs and decisions on them; the next one stops the same trials at the same step."""

import json
from pathlib import Path

import pytest

from platform.events import Epochs, Finished, TrialEvent
from platform.run.driver import run_study
from platform.study.study import Study
from storage import layout
from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import RunStore
from tests.platform.noop_studies import inline_in, noop_study

RULES = {
    "asha": "{asha: {grace_epochs: 2, reduction_factor: 2}}",
    "median": "{median: {grace_epochs: 2, min_trials: 2}}",
}


def events(study: Study, store: LocalStore) -> list[TrialEvent]:
    return [TrialEvent.from_json(value) for value in EventLog(store, study.id).read()]


def outcomes(study: Study, store: LocalStore) -> dict[str, tuple[str, int | None, dict[str, float]]]:
    ends = {event.trial: event for event in events(study, store) if isinstance(event, Finished)}
    return {trial: (end.outcome, end.step, dict(end.metrics)) for trial, end in sorted(ends.items())}


@pytest.mark.long
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lost", ["decision", "rows", "rows with the checkpoint left"])
def test_a_lost_decision_is_made_again(rule: str, lost: str, tmp_path: Path) -> None:
    text = f"sampler: random\nscheduler: {RULES[rule]}\nbase: {{noop.epochs: 6}}"
    (tmp_path / "whole").mkdir()
    whole = noop_study(tmp_path, f"trials: 10\n{text}")
    run_study(whole, inline_in(tmp_path / "whole"))
    expected = outcomes(whole, LocalStore(tmp_path / "whole" / "store"))
    trial = [name for name, (outcome, *_) in expected.items() if outcome == "PRUNED"][1]
    until, store = noop_study(tmp_path, f"trials: {int(trial[1:]) + 1}\n{text}"), LocalStore(tmp_path / "store")
    run_study(until, inline_in(tmp_path))
    assert until.id == whole.id
    for event in [event for event in events(until, store) if event.trial == trial]:
        if isinstance(event, Finished) or (lost != "decision" and isinstance(event, Epochs)):
            store.delete(layout.event(until.id, trial, event.sequence))
    if "checkpoint" in lost:
        _leave_checkpoint(until, store, trial, step=expected[trial][1], folder=tmp_path)
    run_study(whole, inline_in(tmp_path))
    assert outcomes(whole, store) == expected


def _leave_checkpoint(study: Study, store: LocalStore, trial: str, *, step: int | None, folder: Path) -> None:
    """Leave what the stage saved after the epoch at which its trial was stopped."""
    assert step is not None
    body = next(event for event in events(study, store) if event.trial == trial).body
    value, (run,) = body["config"]["noop"]["value"], body["runs"]
    made = folder / "checkpoint"
    made.mkdir()
    (made / "history.json").write_text(json.dumps([{"value": value + 1.0 - epoch / 6} for epoch in range(1, step + 1)]))
    RunStore(store, cache=folder / "cache").checkpoints(run["identity"]).save(step, made)
