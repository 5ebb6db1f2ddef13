"""Whatever a record holds that is read back: it is read, or an error of ours says what is wrong. Nothing else.

The records are sealed correctly, by another version or by somebody: only their content is wrong.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform.errors import StudyError, UserError
from platform.events import Epochs, Finished, Proposed, Retry, Started, TrialEvent
from platform.mlflow_view.mirror import TrialMirror
from platform.record.runnable_study import file_note, runnable_study
from platform.record.study_from_store import recorded_study
from platform.record.tables import rewrite_tables
from platform.reproduction.selection import choose_trials, recorded_trial
from platform.run.driver import run_study
from platform.screen.status import study_status
from storage import gc, verify
from storage.base import Store
from storage.content import sealed, unsealed
from storage.errors import IntegrityError, StoreError
from storage.events import EventLog
from storage.lease import Lease, holder
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.runs import Manifest
from tests.fuzzing import tried
from tests.mutations import VALUES, mutations
from tests.platform.noop_studies import inline_in, noop_study
from trainables.graph import StageRun
from trainables.plugins.source import PluginError, PluginSource
from trainables.telemetry import read_pulse

OURS = (UserError, StudyError, StoreError)
TRIED = tried(40)
HEAD: dict[str, Any] = {"trial": "t0001", "sequence": 0, "time": 1.5}
RUN = StageRun("noop", "noop-1", 0, {"value": 1.0}, {"data": "data-1"})
EVENTS = (
    Proposed(**HEAD, point=0, repeat=0, seed=1, values={"a": 1}, config={"b": {}}, runs=[RUN.to_json()], labels={}),
    Started(**HEAD, attempt=2, after=Retry("NETWORK", "gone", {"motion": 4})),
    Epochs(
        **HEAD,
        rows=[{"stage": "noop", "epoch": 1, "metrics": {"value": 0.5}, "time": 1.0}],
        samples=[{"time": 1.0, "metrics": {"cpu": 2.0}}],
    ),
    Finished(
        **HEAD,
        outcome="FAILED",
        metrics={"noop.value": 0.5},
        error="what\nfailed",
        seconds=2.0,
        runs={"noop": {"identity": "noop-1", "reused": False, "seconds": 1.0}},
        step=3,
        cause="DIVERGED",
        spent={"queue": 1.0},
        warnings=["careful"],
        retries={"NETWORK": 1},
    ),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Warnings about records are many."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (("time",), "1.5"),
        (("time",), 1e300),
        (("sequence",), True),
        (("trial",), 7),
        (("body", "metrics"), {"noop.value": "0.5"}),
        (("body", "metrics"), [0.5]),
        (("body", "outcome"), "DONE"),
        (("body", "runs"), {"noop": "noop-1"}),
        (("body", "runs"), {"noop": {"identity": "noop-1"}}),
        (("body", "warnings"), "careful"),
        (("body", "retries"), {"NETWORK": 1.5}),
        (("body", "error"), {}),
    ],
)
def test_an_event_with_a_part_of_another_type_is_none(part: tuple[str, ...], value: Any) -> None:
    document = EVENTS[3].to_json()
    inner = document
    for name in part[:-1]:
        inner = inner[name]
    inner[part[-1]] = value
    with pytest.raises(IntegrityError, match=f"this is not an event of a trial: {part[-1]}"):
        TrialEvent.from_json(document)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_events_are_read_back(event: TrialEvent) -> None:
    assert TrialEvent.from_json(json.loads(json.dumps(event.to_json()))) == event


@TRIED
@given(st.sampled_from(EVENTS).flatmap(lambda event: mutations(event.to_json())))
def test_any_event(document: Any) -> None:
    """What is read can be mirrored and written again."""
    with suppress(IntegrityError):
        event = TrialEvent.from_json(document)
        TrialMirror(event.trial).entries([event])
        assert TrialEvent.from_json(event.to_json()).to_json() == event.to_json()


MANIFEST = Manifest(
    "noop-1",
    "noop",
    {"a": 1},
    0,
    {"data": "data-1"},
    {},
    {"value": 0.5},
    ({"value": 0.5},),
    {"device": "cpu"},
    1.0,
    2.0,
).to_json() | {"files": {"value.json": {"digest": "0" * 64, "size": 3}}}
SOURCE = PluginSource("own", "0" * 64, "/own.py", (("own.py", "PLUGIN = 1"),)).to_json()
READERS: dict[str, tuple[Any, Callable[[Any], object], type[Exception]]] = {
    "manifest": (MANIFEST, Manifest.from_json, IntegrityError),
    "stage run": (RUN.to_json(), StageRun.from_json, IntegrityError),
    "plug-in": (SOURCE, PluginSource.from_json, PluginError),
}


@TRIED
@given(st.data())
@pytest.mark.parametrize("name", READERS)
def test_any_record_of_one_type(name: str, data: st.DataObject) -> None:
    document, read, error = READERS[name]
    with suppress(error):
        read(data.draw(mutations(document) | st.dictionaries(st.sampled_from(sorted(document)), VALUES)))


LEASE = {
    "beat": 1,
    "command": "sweep",
    "host": "here",
    "machine": "other",
    "pid": 1,
    "released": False,
    "since": "2026-01-01T00:00:00+00:00",
    "started": 1.0,
    "token": "a",
    "ttl": 30.0,
}


@TRIED
@given(st.booleans(), mutations(LEASE) | st.binary(max_size=20))
def test_any_lease(own: bool, record: Any) -> None:
    """It is free, held, or of a holder on another machine, for whom another process waits."""
    store = MemoryStore()
    with Lease(store, "study"):
        key = next(iter(store.list("leases/")))
        ours = json.loads(store.get(key))
    if isinstance(record, dict) and own:
        record = {**record, "machine": ours["machine"]}
    store.put(key, record if isinstance(record, bytes) else json.dumps(record).encode(), replace=True)
    store.put("leases/study/other.json", b"{}")
    found = holder(store, "study")
    assert found is None or found["state"] in ("alive", "unknown")
    with suppress(StoreError):
        lease = Lease(store, "study")
        if lease.attempt():
            lease.release()


PULSE = {
    "stage": "noop",
    "epoch": 1,
    "metrics": {"value": 0.5},
    "beat": 3,
    "time": 1.0,
    "seconds": 5.0,
    "idle": 1.0,
    "host": "here",
    "node": "n",
    "pid": 3,
    "usage": {"cpu_utilization_percentage": 5.0},
}


@TRIED
@given(mutations(PULSE) | VALUES | st.binary(max_size=20))
def test_any_pulse(record: Any) -> None:
    store = MemoryStore()
    data = record if isinstance(record, bytes) else json.dumps(record).encode()
    store.put("studies/s/pulses/t.json", data)
    pulse = read_pulse(store, "s", "t")
    if pulse is not None:
        assert isinstance(pulse["beat"], int)
        assert pulse["idle"] - pulse["time"] < float("inf")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All that the store of a small study holds."""
    home = tmp_path_factory.mktemp("study")
    study = noop_study(home, "trials: 2\nsampler: random")
    run_study(study, inline_in(home))
    store = LocalStore(home / "store")
    return {key: store.get(key) for key in store.list("")}


def held(documents: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    for key, data in documents.items():
        store.put(key, data)
    return store


def read_all(store: Store, study: str) -> None:
    """Read the study as the verbs do. Each may refuse it by an error of ours."""

    def events() -> list[TrialEvent]:
        return [TrialEvent.from_json(value) for value in EventLog(store, study).read()]

    readers: tuple[Callable[[], object], ...] = (
        lambda: study_status(store, recorded_study(store, study)).to_json(),
        lambda: runnable_study(store, study),
        lambda: file_note(store, study),
        lambda: choose_trials(store, study, everything=True),
        lambda: recorded_trial(store, f"{study}/t0000"),
        lambda: TrialMirror("t0000").entries([event for event in events() if event.trial == "t0000"]),
        lambda: rewrite_tables(store, study),
        lambda: verify.promises(store, tuple(store.list(""))),
        lambda: gc.find_garbage(store, gc.read_contents(store), min_age=0.0),
    )
    for read in readers:
        with suppress(*OURS):
            read()


def change_one(documents: dict[str, bytes], data: st.DataObject) -> tuple[Store, str]:
    store = held(documents)
    keys = [key for key in documents if key.endswith(".json") and not key.startswith(("leases/", "blobs/"))]
    key = data.draw(st.sampled_from(keys))
    changed = data.draw(mutations(unsealed(key, documents[key])))
    store.put(key, sealed(changed), replace=True)
    (study,) = {key.split("/")[1] for key in documents if key.startswith("studies/")}
    return store, study


@TRIED
@given(st.data())
def test_any_record_of_a_study(documents: dict[str, bytes], data: st.DataObject) -> None:
    read_all(*change_one(documents, data))
