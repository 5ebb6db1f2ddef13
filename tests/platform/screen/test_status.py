"""`python -m platform.status`: what it tells of a study at each of its moments, from the store alone."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform import status
from platform.events import Kind
from platform.record.study_from_store import call_of
from platform.record.study_names import short_name
from platform.screen.status import study_status
from platform.study.study import Study
from storage import layout
from storage.events import EventLog
from storage.lease import Lease
from storage.local import LocalStore
from storage.studies import save_call, save_study
from tests.platform.made_up_events import made_up_event
from tests.platform.noop_ablations import build as build_ablation_study
from tests.platform.noop_ablations import play, register
from tests.platform.noop_studies import end, noop_study

NOW = 1_800_000_000.0


class Written:
    """A study in a store, with events that the test writes."""

    def __init__(self, folder: Path, text: str = "trials: 6") -> None:
        self.study: Study = noop_study(folder, text)
        self.home = folder / "home"
        self.store = LocalStore(self.home / "store")
        self.log = EventLog(self.store, self.study.id)
        self.counts: dict[str, int] = {}
        save_study(self.store, self.study.id, {"id": self.study.id, "definition": self.study.definition})
        save_call(self.store, self.study.id, call_of(self.study), time=NOW)

    def event(self, trial: str, kind: Kind, body: dict[str, Any], at: float | None = None) -> None:
        number = self.counts.get(trial, 0)
        self.counts[trial] = number + 1
        event = made_up_event(trial, number, kind, time.time() if at is None else at, body)
        self.log.append(trial, number, event.to_json())

    def begin(self, point: int, attempt: int = 1) -> str:
        trial = f"t{point:04d}"
        proposed = {"point": point, "repeat": 0, "seed": 0, "values": {"noop.value": 0.1}, "config": {}, "runs": []}
        self.event(trial, "proposed", proposed)
        self.event(trial, "started", {"attempt": attempt})
        return trial

    def beat(self, name: str, **told: Any) -> None:
        usual = {"beat": 3, "time": time.time() - 4, "seconds": 9.0, "idle": 7.5, "host": "far", "pid": 17}
        at = {"stage": "noop", "epoch": 2, "metrics": {"value": 0.75}, "usage": {}}
        data = json.dumps({**usual, **at, **told}).encode()
        self.store.put(layout.pulse(self.study.id, name), data, replace=True)


def run(written: Written, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = status.main([*arguments, "--home", str(written.home)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_running_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = Written(tmp_path)
    usage = {"system/cpu_utilization_percentage": 98.5, "system/system_memory_usage_megabytes": 1234.0}
    with Lease(written.store, f"study-{written.study.id}"):
        written.event(written.begin(0), "finished", end({"noop.value": 0.4}), at=time.time() + 1)
        failure = {**end({}, "FAILED"), "error": "x", "cause": "OUT_OF_MEMORY", "retries": {"OUT_OF_MEMORY": 1}}
        written.event(written.begin(1), "finished", failure)
        written.begin(2)
        written.beat("t0002", usage=usage)
        written.beat("features-0123456789abcdef", stage="features", epoch=0)
        code, text, _ = run(written, capsys, written.study.id, "--json")
        stands = json.loads(text)
        assert code == 0
        assert stands["state"] == "running"
        assert (stands["holder"]["pid"], stands["holder"]["state"]) == (os.getpid(), "alive")
        assert stands["counts"] == {"completed": 1, "pruned": 0, "failed": 1}
        assert stands["causes"] == stands["retried"] == {"OUT_OF_MEMORY": 1}
        assert (stands["left"], stands["trials"]) == (4, 6)
        assert stands["per_hour"] > 0
        assert stands["seconds_left"] == pytest.approx(4 / stands["per_hour"] * 3600)
        shared, trial = stands["working"]
        assert (shared["name"], shared["stage"]) == ("features-0123456789abcdef", "features")
        assert (trial["stage"], trial["host"], trial["pid"], trial["idle"]) == ("noop", "far", 17, 7.5)
        assert 0 <= trial["silent"] < 10
        assert stands["best"]["trial"] == "t0000"
        code, text, _ = run(written, capsys, "noop")
    for said in (f"{written.study.id}: running", f"process {os.getpid()}", "1 OUT_OF_MEMORY", "4 of 6 left", "far:17"):
        assert said in text
    assert "98" in text
    assert "1234" in text


def test_a_failed_trial_is_named_with_its_error_and_the_command_that_debugs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = Written(tmp_path)
    error = "Traceback (most recent call last):\n  ...\nValueError: bad patch\n"
    trial = written.begin(0)
    written.event(trial, "finished", {**end({}, "FAILED"), "error": error})
    assert study_status(written.store, written.study).failures == {trial: "ValueError: bad patch"}
    _, text, _ = run(written, capsys, written.study.id)
    command = f"python -m platform.reproduce {written.study.id}/{trial} --debug --home {written.home}"
    assert f"{trial}: ValueError: bad patch; debug it: {command}\n" in text


def test_commands_that_it_prints_name_a_store_that_is_not_the_default_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path)
    command = f"continue with python -m platform.resume {written.study.id}"
    assert f"{command} --home {written.home}\n" in run(written, capsys, written.study.id)[1]
    monkeypatch.setenv("MINDSWEEP_HOME", str(written.home))
    assert status.main([written.study.id]) == 0
    assert f"{command}\n" in capsys.readouterr().out
    monkeypatch.setenv("MINDSWEEP_HOME", str(tmp_path / "other"))
    assert status.main([written.study.id, "--store", written.store.uri]) == 0
    assert f"{command} --store {written.store.uri}\n" in capsys.readouterr().out


def test_what_was_recorded_last_counts_even_where_a_pulse_is_older(tmp_path: Path) -> None:
    written = Written(tmp_path)
    with Lease(written.store, f"study-{written.study.id}"):
        trial = written.begin(0)
        written.beat(trial, time=time.time() - 60)
        row = {"stage": "noop", "epoch": 5, "metrics": {"value": 0.5}, "time": time.time()}
        written.event(trial, "epochs", {"rows": [row]})
        (one,) = study_status(written.store, written.study).working
    assert (one.epoch, one.value) == (5, 0.5)
    assert one.silent < 30


def test_a_stopped_study_says_so_and_claims_no_running_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = Written(tmp_path)
    written.beat(written.begin(0))
    code, text, _ = run(written, capsys, written.study.id)
    assert code == 0
    assert "stopped" in text
    assert "driver: none" in text
    assert "6 of 6 left" in text
    assert "far:17" not in text


def test_a_complete_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = Written(tmp_path, "trials: 1")
    written.event(written.begin(0), "finished", end({"noop.value": 0.4}))
    _, text, _ = run(written, capsys, written.study.id)
    assert "complete" in text
    assert "driver" not in text


def test_a_driver_on_another_machine_is_not_said_to_live(tmp_path: Path) -> None:
    written = Written(tmp_path)
    record = {"machine": "other", "host": "far", "pid": 1, "since": "2026-11-22T10:00:00+00:00", "command": "c"}
    written.store.put(layout.lease(f"study-{written.study.id}", 0), json.dumps(record).encode())
    told = study_status(written.store, written.study).holder
    assert told is not None
    assert (told["host"], told["state"]) == ("far", "unknown")


def test_an_unknown_study_is_answered_with_those_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = Written(tmp_path)
    code, _, error = run(written, capsys, "motion")
    assert code == 2
    assert f"there are: {short_name(written.study.id)}" in error


def test_however_many_epochs_there_were_two_events_of_a_trial_are_read(tmp_path: Path) -> None:
    written = Written(tmp_path)
    trial = written.begin(0)
    for epoch in range(50):
        written.event(trial, "epochs", {"rows": [{"stage": "noop", "epoch": epoch, "metrics": {}, "time": 0.0}]})
    reads = []

    class Counting(LocalStore):
        def get(self, key: str) -> bytes:
            reads.append(key)
            return super().get(key)

    study_status(Counting(tmp_path / "home" / "store"), replace(written.study))
    assert sum("/events/" in key for key in reads) == 2


def test_without_a_study_the_store_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main(["--home", str(tmp_path / "empty")]) == 0
    assert "holds no study yet" in capsys.readouterr().out
    written = Written(tmp_path)
    now = time.time()
    written.event(written.begin(0), "finished", end({"noop.value": 0.4}), at=now)
    ablation = build_ablation_study(path="other.yaml")
    register(ablation, written.store)
    play(ablation, written.store, outcome={"half-u0-s0": "FAILED"})
    save_study(written.store, "damaged-00000000", {"id": "damaged-00000000", "definition": {"kind": "future"}})
    with Lease(written.store, f"study-{written.study.id}"):
        code, text, _ = run(written, capsys, "--json")
        assert run(written, capsys)[0] == 0
    entries = {entry["study"]: entry for entry in json.loads(text)["studies"]}
    assert (code, list(entries)) == (0, [written.study.id, "other", "damaged-00000000"]), "the last active first"
    sweep = entries[written.study.id]
    assert (sweep["kind"], sweep["state"], sweep["ended"], sweep["trials"]) == ("sweep", "running", 1, 6)
    assert (sweep["metric"], sweep["value"], sweep["last_active"]) == ("noop.value", 0.4, now)
    assert sweep["driver"].startswith(f"{os.getpid()} on ")
    other = entries["other"]
    assert (other["kind"], other["state"], other["ended"], other["value"]) == ("ablation", "complete", 12, 0.0)
    assert other["driver"] is None
    assert "cannot be read by this version" in entries["damaged-00000000"]["problem"]


def test_the_list_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = Written(tmp_path)
    written.event(written.begin(0), "finished", end({"noop.value": 0.4}))
    code, text, _ = run(written, capsys)
    assert code == 0
    (line,) = [line for line in text.splitlines() if written.study.id in line]
    assert all(part in line for part in ("sweep", "stopped", "1 of 6", "noop.value 0.4", "ago", "none"))


def test_a_file_in_place_of_the_home_or_the_store_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert status.main(["--home", str(tmp_path / "file")]) == 2
    assert f"--home: {tmp_path}/file is a file, but must be a folder" in capsys.readouterr().err
    assert status.main(["--home", str(tmp_path), "--store", f"file://{tmp_path}/file"]) == 2
    assert f"--store: {tmp_path}/file is a file, but must be a folder" in capsys.readouterr().err


def test_all_trials_are_listed_with_their_outcomes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = Written(tmp_path)
    written.event(written.begin(0), "finished", end({"noop.value": 0.4}))
    written.event(written.begin(1), "finished", {**end({"noop.value": 0.9}, "PRUNED"), "seconds": 61.0})
    failure = {**end({}, "FAILED"), "error": "Traceback\n  line\nValueError: no such clip", "cause": "ERROR"}
    written.event(written.begin(2), "finished", failure)
    written.begin(3)
    code, text, _ = run(written, capsys, written.study.id, "--trials")
    rows = [line.split() for line in text.splitlines() if line.startswith("  t000")]
    assert code == 0
    assert [row[:2] for row in rows] == [
        ["t0000", "completed"],
        ["t0001", "stopped"],
        ["t0002", "failed"],
        ["t0003", "unfinished"],
    ]
    assert rows[0][2:4] == ["0.4", "0.1"], "the target, then the swept value"
    assert rows[2][2] == "0.1", "a failed trial has no target"
    assert rows[1][-2:] == ["1:01", "min"]

    _, text, _ = run(written, capsys, written.study.id, "--trials", "--json")
    listed = json.loads(text)["all_trials"]
    assert [trial["outcome"] for trial in listed] == ["COMPLETED", "PRUNED", "FAILED", None]
    assert [trial["error"] for trial in listed] == [None, None, "ValueError: no such clip", None]
    assert listed[0]["metrics"] == {"noop.value": 0.4}
    assert listed[0]["values"] == {"noop.value": 0.1}

    _, text, _ = run(written, capsys, written.study.id, "--json")
    assert "all_trials" not in json.loads(text)


def test_the_trials_of_no_study_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(Written(tmp_path), capsys, "--trials")
    assert code == 2
    assert "--trials: name the study whose trials are to be listed" in error
