"""Studies of the stage that computes nothing, and what is needed to run them without Ray."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from platform.events import TrialEvent
from platform.options import Options
from platform.record.trial_log import Records
from platform.run.dispatch import Dispatcher, Tools
from platform.run.proposer import Proposer
from platform.run.run_leases import RunLeases
from platform.study.study import Study
from platform.study.sweep_file import load_study
from storage.memory import MemoryStore
from storage.runs import RunStore

SPACE = "space: {noop.value: {uniform: [0.0, 1.0]}}"


def noop_study(folder: Path, text: str = "", *, space: str = SPACE, name: str = "noop") -> Study:
    """Return the study of a file `<name>.yaml` in `folder` that holds `text` beside target and space."""
    path = folder / f"{name}.yaml"
    path.write_text(f"target: noop.value\n{space}\n{text}\n", encoding="utf-8")
    return load_study(path)


def options_in(home: Path, *, tracking: str = "", **changed: Any) -> Options:
    """Return the options of a run with everything in `home`, two trials at a time."""
    usual = Options(home=home, store=(home / "store").as_uri(), tracking=tracking, max_concurrent=2)
    return replace(usual, **changed)


def inline_in(home: Path, **changed: Any) -> Options:
    """Return the options of a run with everything in `home`, in this process and without Ray."""
    return options_in(home, inline=True, max_concurrent=None, **changed)


class Heard:
    """Stands for the recorder: keeps the events."""

    def __init__(self) -> None:
        self.events: list[TrialEvent] = []

    def put(self, event: TrialEvent) -> None:
        self.events.append(event)


def dispatcher(study: Study, past: list[TrialEvent], folder: Path) -> tuple[Dispatcher, Heard]:
    """Return a dispatcher that goes on after the `past` events, and what it records."""
    store, heard = MemoryStore(), Heard()
    leases = RunLeases(store, RunStore(store, cache=folder))
    records = Records(study, [TrialEvent.from_json(event.to_json()) for event in past])
    return Dispatcher(study, Tools(Proposer(study), records, heard, leases)), heard  # type: ignore[arg-type]


def end(metrics: Mapping[str, float], outcome: str = "COMPLETED") -> dict[str, Any]:
    """Return what a trial reports at its end."""
    return {"outcome": outcome, "metrics": dict(metrics), "runs": {}, "error": None, "seconds": 0.1}


def play(running: Dispatcher, trials: int) -> Iterator[Mapping[str, Any]]:
    """Run trials one by one on paper, each worth the square of the field's distance from 0.3; yield their values."""
    for _ in range(trials):
        spec = running.next()
        if spec is None:
            return
        value = spec.config["noop"]["value"]
        running.started(spec.trial)
        running.rows(spec.trial, [{"stage": "noop", "epoch": 1, "metrics": {"value": value}, "time": 0.0}])
        running.ended(spec.trial, end({"noop.value": (value - 0.3) ** 2}))
        yield {"trial": spec.trial, "value": value, "epochs": spec.config["noop"]["epochs"]}
