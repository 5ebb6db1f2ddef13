"""Recorded studies for the tests of reproduction."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from platform.record.trial_log import proposed_body
from storage import layout
from storage.content import sealed, unsealed
from storage.events import EventLog
from storage.local import LocalStore
from storage.runs import RunStore
from storage.studies import save_study
from tests.platform.made_up_events import made_up_event
from trainables.config.trial import resolve
from trainables.execute import execute_trial
from trainables.graph import StageRun, stage_runs
from trainables.spec import TrialSpec

SWEEP = "noop-0123abcd"


Answer = tuple[int, dict[str, Any]]


class Records:
    """A store, and trials that are recorded there as a driver would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder / "store")
        self.runs = RunStore(self.store, cache=folder / "cache")

    def study(self, name: str = SWEEP, target: str = "noop.value") -> None:
        save_study(self.store, name, {"id": name, "definition": {"targets": [target]}})

    def spec(self, trial: str, overrides: Mapping[str, Any], *, seed: int = 0, stage: str = "noop") -> TrialSpec:
        config = resolve(overrides)
        runs = stage_runs(config, seed=seed, targets=[stage])
        return TrialSpec(SWEEP, trial, config.model_dump(mode="json"), seed, runs)

    def run(self, spec: TrialSpec, *, point: int = 0, repeat: int = 0, **labels: str) -> None:
        """Run a trial here and record it."""
        result = execute_trial(spec, runs=self.runs, scratch=self.folder / "scratch", report=lambda row, *, live: None)
        self.write(spec, "COMPLETED", result.metrics, point=point, repeat=repeat, labels=labels)

    def write(
        self, spec: TrialSpec, outcome: str, metrics: Mapping[str, float], *, study: str = SWEEP, **proposed: Any
    ) -> None:
        """Write the events of a trial."""
        proposed = {"point": 0, "repeat": 0, "labels": {}, **proposed}
        end = {"outcome": outcome, "metrics": metrics, "runs": {}, "error": None, "seconds": 1.0, "step": None}
        bodies = {"proposed": proposed_body(spec, values={}, **proposed), "finished": end}
        for number, (kind, body) in enumerate(bodies.items()):
            event = made_up_event(spec.trial, number, kind, 1000.0, body)
            EventLog(self.store, study).append(spec.trial, number, event.to_json())

    def reseal(self, identity: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a manifest as somebody would who knows how it is sealed."""
        key = layout.manifest(identity)
        value = unsealed(key, self.store.get(key))
        change(value)
        self.store.put(key, sealed(value), replace=True)

    def replace_file(self, run: StageRun, name: str, content: Path) -> None:
        """Put another file in the place of one that a stage run made, manifest and all."""
        place = self.folder / "replaced"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        stored = self.runs.open(run.identity)
        for other in stored.manifest.files:
            shutil.copyfile(content if other == name else stored.path(other), place / other)
        self.store.delete(layout.manifest(run.identity))
        self.runs.commit(replace(stored.manifest, files={}), place)


def facts(answer: Answer, trial: int = 0) -> dict[str, tuple[str, str]]:
    return {fact["what"]: (fact["state"], fact["text"]) for fact in answer[1]["trials"][trial]["facts"]}


def verdicts(answer: Answer, trial: int = 0) -> dict[str, str]:
    return {stage["stage"]: stage["verdict"] for stage in answer[1]["trials"][trial]["stages"]}


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
