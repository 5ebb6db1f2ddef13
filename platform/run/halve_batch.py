"""Retry after out of memory: the next attempt of the trial uses half the micro-batch."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trainables.config.base import most_workers
from trainables.spec import TrialSpec


def halved(spec: TrialSpec, stage: str | None) -> tuple[TrialSpec, dict[str, int]]:
    """Return `spec` with half the micro-batch in `stage`; if `stage` is None, in all stages that have a micro-batch.

    A stage without a micro-batch stays as it is: its loss needs the whole data set, or its batch determines its result.

    Returns:
        The trial to start again, and a mapping from each changed stage to its new micro-batch in rows.
    """
    names = {run.stage for run in spec.runs} if stage is None else {stage}
    halved_rows = {name: _half(spec.config[name]["train"]) for name in names if "train" in spec.config.get(name, {})}
    halves = {name: rows for name, rows in sorted(halved_rows.items()) if rows is not None}
    changed = {name: _with(spec.config[name], rows) for name, rows in halves.items()}
    return replace(spec, config={**spec.config, **changed}), halves


def _half(train: Mapping[str, Any]) -> int | None:
    """Return half the rows that a process computes at a time, or None if it is a single row."""
    share = math.ceil(train["batch_size"] / most_workers(train["workers"]))
    rows = share if train["micro_batch"] is None else min(share, train["micro_batch"])
    return math.ceil(rows / 2) if rows > 1 else None


def _with(section: Mapping[str, Any], rows: int) -> dict[str, Any]:
    return {**section, "train": {**section["train"], "micro_batch": rows}}
