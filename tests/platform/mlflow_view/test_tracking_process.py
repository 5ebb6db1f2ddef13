"""MLflow's process: the same entries as in a thread of the driver, and how it ends when something ends it."""

import logging
import os
import signal
import socket
from pathlib import Path

import pytest

from platform.events import TrialEvent
from platform.mlflow_view.tracking import Tracking
from platform.mlflow_view.tracking_process import Places, TrackingProcess
from platform.record.study_from_store import call_of
from platform.study.study import Study
from platform.tracking_uri import default_tracking
from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import RunStore
from storage.studies import save_call, save_study
from tests.platform.mlflow_content import everything, unlike
from tests.platform.noop_studies import dispatcher, noop_study, play


def recorded(folder: Path) -> tuple[Study, list[TrialEvent]]:
    """Return a study of two trials, and its events; its records are in the store `folder/store`."""
    study, store = noop_study(folder, "trials: 2"), LocalStore(folder / "store")
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    save_call(store, study.id, call_of(study), time=0.0)
    running, heard = dispatcher(study, [], folder)
    assert len(list(play(running, 2))) == 2
    for event in heard.events:
        EventLog(store, study.id).append(event.trial, event.sequence, event.to_json())
    return study, heard.events


def places(study: Study, home: Path, *, tracking: str | None = None) -> Places:
    store = (home / "store").as_uri()
    return Places(study.id, str(home), store, default_tracking(home) if tracking is None else tracking)


def process_id(view: TrackingProcess) -> int:
    assert view._process is not None
    return view._process.pid


@pytest.mark.long
def test_it_writes_what_a_thread_of_the_driver_writes(tmp_path: Path) -> None:
    home, other = tmp_path / "process", tmp_path / "thread"
    home.mkdir()
    study, events = recorded(home)
    page = tmp_path / "report" / "report.html"
    page.parent.mkdir()
    page.write_text("the report")
    with TrackingProcess(places(study, home)) as view:
        view.start()
        for event in events:
            view.see(event)
        for number in (signal.SIGINT, signal.SIGTERM):  # a terminal and a scheduler send them to all processes
            os.kill(process_id(view), number)
        view.close()
        view.attach(page)
    runs, uri = RunStore(LocalStore(home / "store"), cache=other / "cache"), default_tracking(other)
    tracking = Tracking(study, home=other, uri=uri, store=(home / "store").as_uri(), stage_runs=runs)
    for event in events:
        tracking.see(event)
    tracking.close()
    tracking.attach(page)
    assert unlike(everything(default_tracking(home)), everything(uri)) == []
    (run,) = (value for name, value in everything(uri).items() if name.endswith(study.id))
    assert "report/report.html" in run["artifacts"]


def test_it_ends_at_once_when_the_driver_is_killed(tmp_path: Path) -> None:
    study, events = recorded(tmp_path)
    view = TrackingProcess(places(study, tmp_path))
    view.see(events[0])
    assert view._process is not None
    view._messages.put(None)  # ends the pipe, as the end of the driver does
    assert view._process.wait(30.0) == 1


@pytest.mark.parametrize("waits", [False, True], ids=["it writes its report", "it waits for MLflow"])
def test_it_ends_at_once_when_the_driver_is_killed_after_its_trials(tmp_path: Path, waits: bool) -> None:
    """It would write on for seconds, and the next driver's process would write the same runs."""
    study, events = recorded(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a server that never answers
        silent.settimeout(30.0)
        host, port = silent.getsockname()
        view = TrackingProcess(places(study, tmp_path, tracking=f"http://{host}:{port}"))
        for event in events:
            view.see(event)
        view.close()
        if waits:
            view._messages.put({"end": True})
        connection, _ = silent.accept()
        view._messages.put(None)  # ends the pipe
        with connection:
            assert view._process is not None
            assert view._process.wait(5.0) == 1


def test_killed_it_costs_no_result_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study, events = recorded(tmp_path)
    with caplog.at_level(logging.WARNING), TrackingProcess(places(study, tmp_path)) as view:
        for event in events:
            view.see(event)
        os.kill(process_id(view), signal.SIGKILL)
        view.close()
    (warning,) = caplog.messages
    assert warning.startswith("missing in MLflow: what its process did not write before it ended with code -9. ")
    assert f"python -m platform.rebuild {study.id} --home {tmp_path}" in warning


def test_an_interrupt_of_the_wait_ends_it_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    study, events = recorded(tmp_path)
    view = TrackingProcess(places(study, tmp_path))
    view.see(events[0])
    assert view._process is not None
    wait = view._process.wait
    monkeypatch.setattr(view._process, "wait", interrupted)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        view.__exit__()
    assert wait(30.0) == -signal.SIGKILL
    (warning,) = caplog.messages
    assert warning.startswith("missing in MLflow: what its process did not write before the interrupt. ")


def test_what_it_says_is_said_by_the_driver(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Here that there is no such study: the driver writes its records before it sends an event."""
    _, events = recorded(tmp_path)
    unknown = Places("unknown-00000000", str(tmp_path), (tmp_path / "store").as_uri(), "sqlite:///never.db")
    with caplog.at_level(logging.WARNING), TrackingProcess(unknown) as view:
        view.see(events[0])
    assert any("unknown-00000000" in message for message in caplog.messages[:-1])
    assert "ended with code 1" in caplog.messages[-1]


def test_what_it_says_is_said_in_any_encoding_of_the_terminal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    _, events = recorded(tmp_path)
    unknown = Places("küche-00000000", str(tmp_path), (tmp_path / "store").as_uri(), "sqlite:///never.db")
    with caplog.at_level(logging.WARNING), TrackingProcess(unknown) as view:
        view.see(events[0])
    assert any("küche-00000000" in message for message in caplog.messages[:-1])


def test_without_an_event_nothing_is_started(tmp_path: Path) -> None:
    with TrackingProcess(Places("small", str(tmp_path), "file:///s", "sqlite:///x.db")) as view:
        view.close()
    assert view._process is None


def test_a_study_that_ends_before_its_first_event_is_nothing_to_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when no Ray cluster can be started."""
    with caplog.at_level(logging.WARNING), TrackingProcess(Places("small", str(tmp_path), "file:///s", "x")) as view:
        view.start()
    assert caplog.messages == []


def test_no_secret_is_on_its_command_line(tmp_path: Path) -> None:
    study, _ = recorded(tmp_path)
    view = TrackingProcess(places(study, tmp_path, tracking="postgresql+psycopg2://lab:word@host/mlflow"))
    view.start()
    assert view._process is not None
    assert "word" not in " ".join(map(str, view._process.args))  # type: ignore[arg-type]
    view._process.kill()
    assert view._process.wait(30.0) == -signal.SIGKILL
