"""What is done for a trial that ran out of memory: its next attempt computes half as many rows at a time."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trainables.config.base import most_workers
from trainables.spec import TrialSpec


def halved(spec: TrialSpec, stage: str | None) -> tuple[TrialSpec, dict[str, int]]:
    """Return `spec` with half the micro-batch in `stage`, or where that is not known in all that have one, and these.

    A stage without one (a loss over whole data sets, a generator whose batch decides its result) does not allow it and
    stays as it is.

    Returns:
        The trial to start again, and the stages that were changed with the rows that they now compute at a time.
    """
    names = {run.stage for run in spec.runs} if stage is None else {stage}
    found = {name: _half(spec.config[name]["train"]) for name in names if "train" in spec.config.get(name, {})}
    halves = {name: rows for name, rows in sorted(found.items()) if rows is not None}
    changed = {name: _with(spec.config[name], rows) for name, rows in halves.items()}
    return replace(spec, config={**spec.config, **changed}), halves


def _half(train: Mapping[str, Any]) -> int | None:
    """Return half the rows that a process computes at a time, or None if it is a single one."""
    share = math.ceil(train["batch_size"] / most_workers(train["workers"]))
    rows = share if train["micro_batch"] is None else min(share, train["micro_batch"])
    return math.ceil(rows / 2) if rows > 1 else None


def _with(section: Mapping[str, Any], rows: int) -> dict[str, Any]:
    return {**section, "train": {**section["train"], "micro_batch": rows}}
