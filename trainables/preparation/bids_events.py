"""Reads events of a BIDS tree, and the timing of a run from its sidecars."""

import csv
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from trainables.datasets.prepared.tables import SPLITS, Split
from trainables.preparation.bids_files import BidsName, BidsTree
from trainables.preparation.files import InputError, require_content

_LONGEST_TR = 20.0
_STIMULUS_COLUMNS = ("stim_file", "stim_id", "trial_type")
_NOTHING = ("n/a", "")
_TOO_MANY = "values without a column"


@dataclass(frozen=True)
class ShownStimulus:
    """A row of events with a clip."""

    clip: str
    onset_s: float
    duration_s: float
    split: Split | None = None
    """The data set's own, where trial_type is train, validation or test."""


@dataclass(frozen=True)
class RunTiming:
    """Timing of a run from its sidecars."""

    tr: float
    first_volume_s: float
    """Time that the first volume stands for."""


def run_timing(tree: BidsTree, bold: BidsName) -> RunTiming:
    """Return repetition time and time of the first volume, from the most specific sidecar that has them.

    Raises:
        InputError: A sidecar cannot be read, or the repetition time is missing or not in seconds.
    """
    merged: dict[str, Any] = {}
    for path in reversed(tree.sidecars(bold)):
        try:
            require_content(path)
            merged |= json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(path, f"is not JSON: {error}", "copy it again") from error
    tr = merged.get("RepetitionTime")
    if not _is_number(tr) or tr <= 0:
        raise InputError(bold.path, "has no RepetitionTime in its .json", "add it, in seconds")
    if tr > _LONGEST_TR:
        raise InputError(bold.path, f"RepetitionTime is {tr:g}", "it must be in seconds; this looks like milliseconds")
    start = merged.get("StartTime")
    if start is None:
        # Slice timing correction refers to the middle of a volume, unless StartTime says otherwise.
        start = tr / 2 if merged.get("SliceTimingCorrected") else merged.get("DelayTime", 0.0)
    if not _is_number(start):
        what = f"StartTime or DelayTime is {start!r} in its .json"
        raise InputError(bold.path, what, "it must be a number, in seconds")
    return RunTiming(float(tr), float(start))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def read_events(path: Path, column: str) -> tuple[list[ShownStimulus], int]:
    """Return the stimuli, and the number of rows without one.

    Args:
        path: An events.tsv.
        column: The column that names the stimulus; "" takes stim_file, stim_id or trial_type.

    Raises:
        InputError: A column is missing, or onset or duration is no number.
    """
    require_content(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", restkey=_TOO_MANY)
            rows = [*reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            path, f"cannot be read as a table: {error}", "the columns must be separated by tabs"
        ) from error
    columns = [*reader.fieldnames] if rows and reader.fieldnames else []
    chosen = [name for name in ([column] if column else _STIMULUS_COLUMNS) if name in columns]
    if not rows or not chosen or not {"onset", "duration"} <= set(columns):
        right = f"onset, duration and {column if column else ' or '.join(_STIMULUS_COLUMNS)} are needed, between tabs"
        raise InputError(path, f"has the columns {', '.join(columns) if columns else 'of nothing'}", right)
    shown = []
    for number, row in enumerate(rows, 2):
        if _TOO_MANY in row:
            raise InputError(path, f"line {number} has more values than there are columns", "copy the file again")
        if row[chosen[0]] in _NOTHING:
            continue
        try:
            split = next((part for part in SPLITS[:3] if part == row.get("trial_type")), None)
            onset, duration, name = (_cell(row, column) for column in ("onset", "duration", chosen[0]))
            shown.append(ShownStimulus(_clip_name(name), _seconds(onset), _seconds(duration), split))
        except ValueError as error:
            right = "onset and duration must be numbers, in seconds"
            raise InputError(path, f"line {number}: {error}", right) from error
    return shown, len(rows) - len(shown)


def _cell(row: Mapping[str, str | None], column: str) -> str:
    text = row[column]
    if text is None:
        raise ValueError(f"it ends before the column {column}")
    return text


def _seconds(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text!r} is not a number of seconds")
    return value


def _clip_name(stimulus: str) -> str:
    """Return the name of a clip: the stimulus without its suffix."""
    return str(Path(stimulus).with_suffix("").as_posix())
