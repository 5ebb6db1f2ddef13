"""Records as Parquet tables: every trial and every epoch once, read in one line by pandas and pyarrow."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from glob import glob
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from platform.events import TrialEvent
from platform.record.tables import EPOCHS, TRIALS, RecordTables, rewrite_tables
from storage import layout
from storage.base import Store
from storage.errors import UnavailableError
from storage.events import EventLog
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.studies import save_study
from storage.uri import open_store
from tests.platform.made_up_events import made_up_event
from tests.platform.made_up_study import EPOCHS as MADE_UP_EPOCHS
from tests.platform.made_up_study import later, made_up_study, point, rollout_mse, study_events, trial_events

STUDY = made_up_study().id
LABELS = {"condition": "half", "subject": "2", "seed": "4", "block": "u2-s4"}


def tables(store: Store, events: list[TrialEvent]) -> None:
    view = RecordTables(store, STUDY)
    for event in events:
        view.see(event)
    view.close()


def frame(root: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(root / "store" / "studies" / STUDY / "records" / name)


def test_one_row_for_each_trial(tmp_path: Path, local: LocalStore) -> None:
    tables(local, study_events())
    trials = frame(tmp_path, TRIALS)
    assert list(trials.trial) == [f"t{index:04d}" for index in range(12)]
    assert trials.outcome.value_counts().to_dict() == {"COMPLETED": 9, "PRUNED": 2, "FAILED": 1}
    assert trials["study"].unique().tolist() == [STUDY]
    row = trials.iloc[2]
    values = point(2)
    assert row["metric.motion.rollout_mse"] == rollout_mse(values)
    assert {name: row[f"param.{name}"] for name in values} == values
    assert (row.point, row.seed, row.attempts, row.seconds) == (2, 0, 1, 4.0 * MADE_UP_EPOCHS + 3)
    assert row["stage.data"] == "data-0000000000000007"
    assert row["seconds.structure"] == 31.0
    assert pd.isna(row.condition)
    assert pd.isna(row.error)
    assert "the loss is not finite" in trials.iloc[4].error
    assert (row.started - row.proposed).total_seconds() == 5
    assert str(row.finished.tz) == "UTC"


def test_one_row_for_each_value_of_an_epoch(tmp_path: Path, local: LocalStore) -> None:
    tables(local, study_events(trials=2))
    epochs = frame(tmp_path, EPOCHS)
    assert len(epochs) == 2 * MADE_UP_EPOCHS * 3
    curve = epochs[(epochs.trial == "t0001") & (epochs.metric == "rollout_mse")]
    assert list(curve.epoch) == list(range(1, MADE_UP_EPOCHS + 1))
    written = [e.body["rows"][0] for e in trial_events(1) if e.kind == "epochs"]
    assert list(curve.value) == [row["metrics"]["rollout_mse"] for row in written]
    assert [stamp.timestamp() for stamp in curve.time] == pytest.approx([row["time"] for row in written], abs=1e-6)


def test_why_a_trial_failed_and_where_its_time_went(tmp_path: Path, local: LocalStore) -> None:
    *events, end = trial_events(0, outcome="FAILED")
    tables(local, [*events, later(end, cause="out_of_memory", time={"queue": 2.5, "compute": 7.0})])
    row = frame(tmp_path, TRIALS).iloc[0]
    assert (row.cause, row["time.queue"], row["time.compute"]) == ("out_of_memory", 2.5, 7.0)


def test_an_event_seen_twice_and_an_epoch_done_again_change_nothing(tmp_path: Path, local: LocalStore) -> None:
    events = list(trial_events(0))
    tables(local, events)
    first = frame(tmp_path, EPOCHS)
    row = {"stage": "motion", "epoch": 1, "metrics": {"rollout_mse": 77.0}, "time": 9.0}
    tables(local, [*events, *events, made_up_event("t0000", len(events), "epochs", 9.0, {"rows": [row]})])
    assert frame(tmp_path, EPOCHS).equals(first)


def test_labels_of_an_ablation_and_fields_of_several_types(tmp_path: Path, local: LocalStore) -> None:
    configs = [{"a": 1, "b": "x", "c": [1, 2], "f": 2**63}, {"a": 2.5, "b": 3, "d": {"e": True}, "f": 2}]
    for number, config in enumerate(configs):
        body = {"point": 0, "repeat": 0, "seed": 4, "values": {}, "config": config, "runs": [], "labels": LABELS}
        name = f"half-u2-s{number}"
        EventLog(local, STUDY).append(name, 0, made_up_event(name, 0, "proposed", 1.0, body).to_json())
    save_study(local, STUDY, {"definition": {}})
    rewrite_tables(local, STUDY)
    trials = frame(tmp_path, TRIALS)
    assert (trials.condition[0], trials.subject[0], trials.block[0]) == ("half", 2, "u2-s4")
    assert list(trials["param.a"]) == [1.0, 2.5]
    assert list(trials["param.b"]) == ['"x"', "3"], "text and number: JSON"
    assert trials["param.c"][0] == "[1, 2]"
    assert trials["param.d.e"][1]
    assert list(trials["param.f"]) == [str(2**63), "2"], "an integer of more than 64 bits: text"
    assert trials.outcome.isna().all()
    assert len(frame(tmp_path, EPOCHS)) == 0


def test_tables_are_written_only_when_events_came(tmp_path: Path, local: LocalStore) -> None:
    path = tmp_path / "store" / layout.record(STUDY, TRIALS)
    events = study_events(trials=2)
    tables(local, events)
    first = path.stat()
    tables(local, events)
    assert path.stat().st_ino == first.st_ino
    tables(local, [*events, *trial_events(2)])
    assert path.stat().st_ino != first.st_ino
    tables(local, [])
    assert len(frame(tmp_path, TRIALS)) == 3
    for broken in (b"", b"PAR1 and no more"):
        local.put(layout.record(STUDY, EPOCHS), broken, replace=True)
        tables(local, events)
        assert len(frame(tmp_path, EPOCHS)) == 2 * MADE_UP_EPOCHS * 3


def test_a_store_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise UnavailableError("s3://me:planted@server is gone")

    store = MemoryStore()
    monkeypatch.setattr(store, "put", unavailable)
    with caplog.at_level(logging.WARNING):
        tables(store, study_events(trials=1))
    assert f"python -m platform.rebuild {STUDY}" in caplog.text
    assert "planted" not in caplog.text


def test_one_line_reads_all_studies_or_one_from_s3(
    tmp_path: Path, local: LocalStore, s3_endpoint: str, aws: Callable[[str], AbstractContextManager[None]]
) -> None:
    tables(local, study_events(trials=2))
    for other in ("other-1", "other-2"):
        (tmp_path / "store/studies" / other).mkdir()
        (tmp_path / "store/studies" / other / "records").symlink_to(tmp_path / "store/studies" / STUDY / "records")
    every = pd.concat(map(pd.read_parquet, glob(f"{tmp_path}/store/studies/*/records/trials.parquet")))
    assert len(every) == 3 * 2
    with aws(s3_endpoint):
        store = open_store("s3://mindsweep/tests/tables")
        tables(store, study_events(trials=2))
        read = pq.read_table(f"{store.uri}/studies/{STUDY}/records/trials.parquet")
        assert read.equals(pq.read_table(tmp_path / "store" / "studies" / STUDY / "records" / TRIALS))
