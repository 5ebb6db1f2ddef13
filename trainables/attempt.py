"""One attempt at a trial. A failure is returned as a result, not raised."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage.environment import without_secrets
from storage.runs import RunStore
from trainables.execute import Maker, Row, RowReport, execute_anew, execute_trial
from trainables.failure import cause_of, device_answers
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
    """Run the trial and return the fields of its `finished` event that the worker knows.

    Every `Exception` becomes an outcome FAILED with traceback, cause and stage. Other exceptions (early stopping,
    Ctrl-C) are raised.
    """
    fields: dict[str, Any]
    heard: Sequence[str] = telemetry.warnings
    try:
        result = execute_trial(spec, runs=runs, scratch=scratch, report=report, make=make, telemetry=telemetry)
        fields = {"outcome": "COMPLETED", "metrics": result.metrics, "runs": result.runs, "error": None}
        heard = result.warnings
        absent = [target for target in spec.targets if target not in result.metrics]
        if absent:
            error_text = f"no finite value was reported for {', '.join(absent)}"
            fields |= {"outcome": "FAILED", "error": error_text, "cause": "DIVERGED"}
    except Exception as error:
        cause = cause_of(error) if device_answers() else "DEVICE_LOST"
        failure = {"error": without_secrets(traceback.format_exc()), "cause": cause, "stage": telemetry.stage}
        fields = {"outcome": "FAILED", "metrics": {}, "runs": {}, **failure}
    warnings = {"warnings": heard} if heard else {}
    return {**fields, "time": telemetry.split(), **warnings}


class Decisions:
    """The rows on which a scheduler decides: newly trained epochs of the target's stage, except the last epoch.

    After the last epoch the stage run is complete and is kept. Epochs read from the store cost nothing more.
    """

    def __init__(self, spec: TrialSpec) -> None:
        """Use the first target of `spec`."""
        self._stage, _, self._metric = spec.targets[0].partition(".")
        section = spec.config[self._stage]
        self._epochs = int(section.get("train", section)["epochs"])

    def value(self, row: Row, *, live: bool) -> float | None:
        """Return the target's value if a scheduler decides on `row`, else None. `live`: the epoch was just trained."""
        decides = live and row["stage"] == self._stage and row["epoch"] < self._epochs
        return row["metrics"].get(self._metric) if decides else None
