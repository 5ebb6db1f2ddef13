"""The process that writes a study to MLflow: `platform.mlflow_view.tracking_process` starts it and tells it what."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from platform.events import TrialEvent
from platform.mlflow_view.client import connected
from platform.mlflow_view.tracking import Tracking, recorded_tracking
from platform.mlflow_view.tracking_process import Places
from platform.process_end import run_command
from platform.record.stored_plugins import named_plugins
from platform.record.study_from_store import recorded_study
from platform.study.study import Study
from storage.uri import open_store
from trainables.stage_table import STAGES

_PLOTS = "optuna.visualization"
"""Draws a sweep's figures; `import optuna` does not load it."""
_TORCH = "trainables.saved"
"""Saves the best decoders in MLflow's model registry."""


def main() -> int:
    """Read messages until the end, and return the exit code."""
    messages = _messages()
    places = Places(**next(messages))
    first = next(messages, None)  # the records of the study are complete before its first event
    if first is None:
        return 0
    store = open_store(places.store)
    with named_plugins(store, places.study).active():
        study = recorded_study(store, places.study)
        threading.Thread(target=_begin_early, args=(study, places.tracking), daemon=True).start()
        tracking = recorded_tracking(study, store, home=Path(places.home), uri=places.tracking)
        _follow(tracking, first)
        for message in messages:
            _follow(tracking, message)
    return 0


def _follow(tracking: Tracking, message: dict[str, Any]) -> None:
    if "event" in message:
        tracking.see(TrialEvent.from_json(message["event"]))
    elif "close" in message:
        tracking.close()
    elif "attach" in message:
        tracking.attach(Path(message["attach"]))


def _messages() -> Iterator[dict[str, Any]]:
    """Yield the driver's messages before its end message."""
    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_read, args=(messages,), daemon=True).start()
    while "end" not in (message := messages.get()):
        yield message


def _read(messages: "SimpleQueue[dict[str, Any]]") -> None:
    """Read until the driver is gone, and end this process at once, whatever it does: this one should have ended first.

    The next driver of the study starts another process, and both would write.
    """
    # Not `sys.stdin`: Python aborts if a thread reads from it while an error ends the process.
    try:
        with open(0, encoding="utf-8", closefd=False) as pipe:
            for line in pipe:
                messages.put(json.loads(line))
    finally:  # also if it was killed in the middle of a line
        os._exit(1)


def _begin_early(study: Study, uri: str) -> None:
    """Do what takes seconds before it is needed: import MLflow, create a local database, import what draws figures."""
    with suppress(Exception):  # the writer connects again, and says what is wrong
        connected(uri)
    trains = any(STAGES[stage].is_decoder for stage in study.own_stages())
    plots = (_PLOTS,) if study.has_optuna_journal else ()
    for name in ("platform.figures.page", *plots, *((_TORCH,) if trains and study.has_best else ())):
        import_module(name)


if __name__ == "__main__":
    run_command(main)
