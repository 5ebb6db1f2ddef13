"""Events add up to records; the recorder writes each to the store before any view sees it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from platform.events import Epochs, Finished, Proposed, Started, TrialEvent
from platform.record.spool import Spool
from platform.record.trial_log import Recorder, Records, summarise_study
from storage.errors import UnavailableError
from storage.events import EventLog
from storage.memory import MemoryStore
from tests.platform.made_up_events import made_up_event
from tests.platform.noop_studies import end, noop_study


def proposed(point: int, repeat: int = 0) -> dict[str, Any]:
    return {"point": point, "repeat": repeat, "seed": 0, "values": {"noop.value": 0.1}, "config": {}, "runs": []}


def rows(*values: float, stage: str = "noop") -> list[dict[str, Any]]:
    return [
        {"stage": stage, "epoch": epoch, "metrics": {"value": value}, "time": 1.0}
        for epoch, value in enumerate(values, start=1)
    ]


def test_seeing_an_event_again_changes_nothing(tmp_path: Path) -> None:
    records = Records(noop_study(tmp_path, "trials: 3"))
    event = records.new(Proposed, "t0000", proposed(0))
    assert records.new(Started, "t0000", {"attempt": 1}).sequence == 1
    records.absorb(event)
    assert [event.sequence for event in records.events] == [0, 1]
    assert records.trials["t0000"].attempts == 1


def test_the_clock_of_another_machine_does_not_change_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = noop_study(tmp_path, "trials: 3")
    first = Records(study)
    monkeypatch.setattr("time.time", lambda: 1030.0)
    past = [first.new(Proposed, f"t{point:04d}", proposed(point)) for point in range(2)]
    monkeypatch.setattr("time.time", lambda: 1000.0)  # the next driver's clock is half a minute behind
    second = Records(study, past)
    late = [second.new(Started, "t0000", {"attempt": 1}), second.new(Proposed, "t0002", proposed(2))]
    assert sorted([*late, *past], key=lambda event: event.time) == [*past, *late]
    assert [event.time for event in late] == pytest.approx([1030.0] * 2)
    monkeypatch.setattr("time.time", lambda: 2000.0)
    assert second.new(Started, "t0001", {"attempt": 1}).time == 2000.0


def test_rows_that_are_recorded_are_not_recorded_again(tmp_path: Path) -> None:
    records = Records(noop_study(tmp_path, "trials: 3"))
    records.new(Proposed, "t0000", proposed(0))
    records.new(Epochs, "t0000", {"rows": rows(3.0, 2.0)})
    assert records.trials["t0000"].unrecorded(rows(3.0, 2.0, 1.0)) == rows(3.0, 2.0, 1.0)[2:]
    assert records.trials["t0000"].unrecorded(rows(3.0, stage="motion")) == rows(3.0, stage="motion")
    assert records.trials["t0000"].curve("noop.value") == {1: 3.0, 2: 2.0}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("COMPLETED", "COMPLETED"), "COMPLETED"),
        (("COMPLETED", "PRUNED"), "PRUNED"),
        (("PRUNED", "FAILED"), "FAILED"),
    ],
)
def test_a_point_is_what_its_repeats_are(outcomes: tuple[str, str], expected: str, tmp_path: Path) -> None:
    records = Records(noop_study(tmp_path, "trials: 3\nrepeats: 2"))
    for repeat, outcome in enumerate(outcomes):
        trial = f"t0000-s{repeat}"
        records.new(Proposed, trial, proposed(0, repeat))
        records.new(Epochs, trial, {"rows": rows(*([4.0 + repeat] * (repeat + 1)))})
        assert records.result(0) is None
        metrics = {"noop.value": 1.0 + repeat} if outcome == "COMPLETED" else {}
        records.new(Finished, trial, end(metrics, outcome))
    result = records.result(0)
    assert result is not None
    assert result.outcome == expected
    assert result.values == ((1.5,) if expected == "COMPLETED" else ())
    assert result.intermediate == {1: 4.5}


def test_a_summary_ranks_what_completed(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 4")
    records = Records(study)
    for point, value in enumerate((0.5, 0.2, 0.9)):
        records.new(Proposed, f"t{point:04d}", proposed(point))
        records.new(Finished, f"t{point:04d}", end({"noop.value": value}, "COMPLETED" if value < 0.8 else "FAILED"))
    records.new(Proposed, "t0003", proposed(3))
    summary = summarise_study(study, records, stage_runs={"executed": 3, "reused": 0}, seconds=1.0)
    assert summary.trials == {"completed": 2, "pruned": 0, "failed": 1, "unfinished": 1}
    assert [entry["trial"] for entry in summary.best] == ["t0001", "t0000"]
    assert summary.exit_code == 0
    assert summary.to_json()["study"] == study.id


class Log:
    """Stands for the event log; refuses what comes after `lost`."""

    def __init__(self, heard: list[str], lost: int = 1000) -> None:
        self.heard = heard
        self.lost = lost

    def append(self, trial: str, sequence: int, value: Any) -> None:
        if sequence >= self.lost:
            raise UnavailableError("gone")
        self.heard.append(f"store {trial} {sequence}")


class Sees:
    def __init__(self, heard: list[str], name: str, fails: bool = False) -> None:
        self.heard, self.name, self.fails = heard, name, fails

    def see(self, event: TrialEvent) -> None:
        if self.fails:
            raise RuntimeError("broken view")
        self.heard.append(f"{self.name} {event.trial} {event.sequence}")

    def close(self) -> None:
        self.heard.append(f"{self.name} closed")


def events(number: int) -> list[TrialEvent]:
    return [made_up_event("t0000", sequence, "started", 0.0, {"attempt": 1}) for sequence in range(number)]


def test_the_store_has_an_event_before_a_view_sees_it(tmp_path: Path) -> None:
    heard: list[str] = []
    views, spool = [Sees(heard, "a"), Sees(heard, "broken", fails=True)], Spool(tmp_path, "s", store="memory://")
    recorder = Recorder(Log(heard), views, spool)  # type: ignore[arg-type]
    recorder.replay(events(1))
    for event in events(3)[1:]:
        recorder.put(event)
    recorder.close()
    assert heard == ["a t0000 0", "store t0000 1", "a t0000 1", "store t0000 2", "a t0000 2", "a closed"]
    assert not spool.path.exists()


def test_a_lost_store_ends_the_study_no_view_runs_ahead_and_what_it_lacks_is_kept(tmp_path: Path) -> None:
    heard: list[str] = []
    spool = Spool(tmp_path, "s", store="memory://")
    recorder = Recorder(Log(heard, lost=1), [Sees(heard, "a")], spool)  # type: ignore[arg-type]
    for event in events(3):
        with suppress(UnavailableError):
            recorder.put(event)
    with pytest.raises(UnavailableError, match="gone"):
        recorder.close()
    assert heard == ["store t0000 0", "a t0000 0", "a closed"]
    with pytest.raises(UnavailableError, match="gone"):
        recorder.put(events(4)[3])
    assert spool.waiting == 3
    log = EventLog(MemoryStore(), "s")
    log.append("t0000", 0, events(1)[0].to_json())
    assert Spool(tmp_path, "s", store="memory://").deliver(log) == 3
    assert list(log.read()) == [event.to_json() for event in events(4)]


def test_an_error_of_our_own_is_told_too(tmp_path: Path) -> None:
    """Otherwise the thread would end, and all later events would be lost without a message."""

    class Broken(Log):
        def append(self, trial: str, sequence: int, value: Any) -> None:
            raise ValueError("nan is not JSON")

    recorder = Recorder(Broken([]), [], Spool(tmp_path, "s", store="memory://"))  # type: ignore[arg-type]
    recorder.put(events(1)[0])
    with pytest.raises(ValueError, match="nan is not JSON"):
        recorder.close()
