"""What runs on Ray: one trial as a Tune function, one shared stage run as a task. Arguments and answers are JSON.

A failing trial does not raise: its traceback is part of its last result, so the study goes on and the record has it.
"""

import json
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune

from storage.runs import RunStore
from storage.uri import open_store
from trainables.config.trial import TrialConfig
from trainables.execute import Row, execute, execute_trial
from trainables.graph import StageRun
from trainables.spec import TrialSpec

EPOCH = "epoch"
"""In a result: the epoch of the target's stage that a scheduler decides on."""
TARGET = "target"
"""In a result: the target's value at that epoch."""
ROWS = "rows"
"""In a result: the rows since the last one, as JSON text, so that Tune does not walk through them."""
ENDED = "ended"
"""In a trial's last result: {outcome, metrics, runs, error, seconds} as JSON text."""

_PERIOD = 1.0
"""Seconds between two results that no scheduler waits for: each result costs the driver some milliseconds."""


def trial_function(config: Mapping[str, Any]) -> None:
    """Run the trial `config["spec"]` (TrialSpec JSON text) at the place that `config` names: store, scratch, cache.

    With `config["scheduled"]` each epoch of the target's stage is a result that a scheduler may answer with an early
    stop, but not the last one: what is trained to the end is also kept. Other rows go out about every second.
    """
    spec = TrialSpec.from_json(json.loads(config["spec"]))
    rows = _Rows(spec.targets[0], decisions=_epochs(spec) - 1 if config["scheduled"] else 0)
    started = time.monotonic()
    try:
        result = execute_trial(spec, runs=_runs(config), scratch=_scratch(config), report=rows)
        ended: dict[str, Any] = {"outcome": "COMPLETED", "metrics": result.metrics, "runs": result.runs, "error": None}
        absent = [target for target in spec.targets if target not in result.metrics]
        if absent:
            ended |= {"outcome": "FAILED", "error": f"no finite value was reported for {', '.join(absent)}"}
    except Exception:
        ended = {"outcome": "FAILED", "metrics": {}, "runs": {}, "error": traceback.format_exc()}
    ended["seconds"] = time.monotonic() - started
    # `done` spares Tune one more round trip in which it would find out that the function has returned.
    tune.report({ROWS: rows.take(), ENDED: json.dumps(ended), "done": True})


def shared_run(run: Mapping[str, Any], config: Mapping[str, Any], place: Mapping[str, Any], *inputs: str) -> str:
    """Run one stage run that several trials need, and return its identity.

    `inputs` are the answers of the tasks that make its inputs: passing them is what orders the tasks.
    """
    stage_run = StageRun.from_json(run)
    manifest = execute(stage_run, TrialConfig.model_validate(config), runs=_runs(place), scratch=_scratch(place))
    return manifest.identity


class _Rows:
    """Sends rows to Tune in batches; where a scheduler decides, at once with the target's value.

    Rows that were read back carry no epoch for the scheduler: what is already paid for is not stopped.
    """

    def __init__(self, target: str, *, decisions: int) -> None:
        self._stage, _, self._metric = target.partition(".")
        self._decisions = decisions
        self._rows: list[Row] = []
        self._sent = time.monotonic()

    def __call__(self, row: Row, *, live: bool) -> None:
        self._rows.append(row)
        decides = live and row["stage"] == self._stage and row["epoch"] <= self._decisions
        if decides and self._metric in row["metrics"]:
            self._send({EPOCH: row["epoch"], TARGET: row["metrics"][self._metric]})
        elif time.monotonic() - self._sent >= _PERIOD:
            self._send({})

    def take(self) -> str:
        """Return the rows that were not sent, as JSON text, and forget them."""
        rows, self._rows = self._rows, []
        return json.dumps(rows)

    def _send(self, decision: Mapping[str, Any]) -> None:
        tune.report({ROWS: self.take(), **decision})
        self._sent = time.monotonic()


def _epochs(spec: TrialSpec) -> int:
    """Return how many epochs the stage of the first target trains for, at most."""
    section = spec.config[spec.targets[0].partition(".")[0]]
    return int(section.get("train", section)["epochs"])


def _runs(place: Mapping[str, Any]) -> RunStore:
    return RunStore(open_store(place["store"]), cache=Path(place["cache"]))


def _scratch(place: Mapping[str, Any]) -> Path:
    return Path(place["scratch"])
