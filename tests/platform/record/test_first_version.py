"""A store that the first version of the events wrote, kept as data, is still read, event by event and as a whole."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from platform.events import Finished, TrialEvent
from platform.record.results import results_from_events
from platform.record.study_from_store import recorded_study
from platform.record.tables import rewrite_tables
from platform.record.trial_log import Records
from platform.screen.status import study_status
from storage.errors import IntegrityError
from storage.events import EventLog
from storage.local import LocalStore

DATA = Path(__file__).resolve().parents[2] / "data" / "store_of_first_version"
STUDY = "early-d5416f7b"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Return a copy: nothing that a test does may change what is kept."""
    shutil.copytree(DATA, tmp_path / "store")
    return LocalStore(tmp_path / "store")


def events(store: LocalStore) -> list[dict[str, Any]]:
    return list(EventLog(store, STUDY).read())


def test_every_event_is_read_and_would_be_written_as_it_was(store: LocalStore) -> None:
    kept = events(store)
    assert len(kept) == 7 + 4 + 7 + 9 + 4 + 7
    for value in kept:
        assert TrialEvent.from_json(value).to_json() == value


def test_results_are_those_of_then(store: LocalStore) -> None:
    results = results_from_events(map(TrialEvent.from_json, events(store)))
    outcomes = [(result.trial, result.outcome) for result in results]
    expected = ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED", "PRUNED", "COMPLETED"]
    assert outcomes == [(f"t{number:04d}", outcome) for number, outcome in enumerate(expected)]
    assert results[0].metrics == {"noop.value": 0.5}
    assert results[4].metrics == {"noop.value": pytest.approx(1.5027194834514677)}
    assert "asked to fail" in str(results[1].error)


def test_a_retried_trial_has_its_cause_and_its_curve(store: LocalStore) -> None:
    records = Records(recorded_study(store, STUDY), map(TrialEvent.from_json, events(store)))
    record = records.trials["t0003"]
    assert (record.attempts, dict(record.retries)) == (2, {"OUT_OF_MEMORY": 1})
    assert list(record.curve("noop.value")) == [1, 2, 3, 4]
    assert isinstance(record.finished, Finished)
    assert record.finished.spent["compute"] == 0.24
    assert record.finished.warnings == ["the checkpoint of epoch 2 is not kept: the disk is full"]
    result = records.result(3)
    assert result is not None
    assert result.outcome == "COMPLETED"


def test_status_and_tables_are_made_of_it(store: LocalStore) -> None:
    state = study_status(store, recorded_study(store, STUDY))
    assert (state.state, state.counts) == ("complete", {"completed": 4, "pruned": 1, "failed": 1})
    assert (state.causes, state.retried) == ({"ERROR": 1}, {"OUT_OF_MEMORY": 1})
    assert all(uri.endswith(".parquet") for uri in rewrite_tables(store, STUDY))


@pytest.mark.parametrize("broken", [{}, {"kind": "unheard_of"}, {"body": {}}, {"more": 1}])
def test_what_is_no_event_is_refused(store: LocalStore, broken: dict[str, Any]) -> None:
    value = {**events(store)[0], **broken} if broken else {"kind": "proposed"}
    with pytest.raises(IntegrityError, match="this is not an event of a trial"):
        TrialEvent.from_json(value)
