"""One attempt at a trial, wherever it runs: what is to be recorded of it. A failure is an answer, not an exception."""

import traceback
from pathlib import Path
from typing import Any

from storage.runs import RunStore
from trainables.execute import Maker, Row, RowReport, execute_anew, execute_trial
from trainables.failure import cause_of
from trainables.spec import TrialSpec
from trainables.telemetry import Telemetry


def attempt(
    spec: TrialSpec,
    *,
    runs: RunStore,
    scratch: Path,
    report: RowReport,
    telemetry: Telemetry,
    make: Maker = execute_anew,
) -> dict[str, Any]:
    """Run the trial and return the body of its `finished` event, as far as the worker knows it.

    What is raised that is no `Exception` (an early stop, Ctrl-C) passes through.
    """
    ended: dict[str, Any]
    try:
        result = execute_trial(spec, runs=runs, scratch=scratch, report=report, make=make, telemetry=telemetry)
        ended = {"outcome": "COMPLETED", "metrics": result.metrics, "runs": result.runs, "error": None}
        absent = [target for target in spec.targets if target not in result.metrics]
        if absent:
            lack = f"no finite value was reported for {', '.join(absent)}"
            ended |= {"outcome": "FAILED", "error": lack, "cause": "DIVERGED"}
    except Exception as error:
        failure = {"error": traceback.format_exc(), "cause": cause_of(error), "stage": telemetry.stage}
        ended = {"outcome": "FAILED", "metrics": {}, "runs": {}, **failure}
    warnings = {"warnings": telemetry.warnings} if telemetry.warnings else {}
    return {**ended, "time": telemetry.split(), **warnings}


class Decisions:
    """Which rows a scheduler decides on: those of epochs just trained of the target's stage, but not of the last.

    What is trained to the end is also kept, and what was read back is already paid for.
    """

    def __init__(self, spec: TrialSpec) -> None:
        """Decide on the first target of `spec`."""
        self._stage, _, self._metric = spec.targets[0].partition(".")
        section = spec.config[self._stage]
        self._epochs = int(section.get("train", section)["epochs"])

    def value(self, row: Row, *, live: bool) -> float | None:
        """Return the target's value if a scheduler decides on `row`, else None."""
        decides = live and row["stage"] == self._stage and row["epoch"] < self._epochs
        return row["metrics"].get(self._metric) if decides else None
