"""Reads the confounds that fMRIPrep measured in a run: which to regress out, and which volumes to leave out."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.names import nearest, question
from trainables.preparation.files import InputError, is_named, require_content

Doubles = NDArray[np.float64]

HIGHEST_DISPLACEMENT = 0.5
"""Millimetres of framewise displacement (Power et al. 2012) above which a volume does not count."""
MOTION = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
STRATEGIES = {
    "none": "nothing",
    "motion6": "three translations and three rotations",
    "motion24": "these, their derivatives, and the squares of both (Friston et al. 1996)",
    "wm_csf": "mean signals of white matter and of cerebrospinal fluid",
    "gsr": "the global signal",
    "acompcor5": "five components of white matter and fluid, with fMRIPrep's cosines (Behzadi et al. 2007)",
}
"""May be joined by +, as in motion24+wm_csf+gsr."""
_COMPONENTS = 5
_RIGHT = "a table of fMRIPrep 1.2 or later is needed (_desc-confounds_timeseries.tsv)"


@dataclass(frozen=True)
class Confounds:
    """Regressors and excluded volumes of one run."""

    names: tuple[str, ...]
    values: Doubles
    """[volumes, names]; finite."""
    kept: NDArray[np.bool_]
    """Volumes that count, [volumes]."""
    high_motion: int
    """Volumes that do not count because the head moved."""
    non_steady_state: int
    """Volumes that do not count because the scanner had not settled."""
    notes: tuple[str, ...] = ()

    @property
    def has_cosines(self) -> bool:
        """Whether slow drift is among the confounds, so that no other trend is needed."""
        return any(name.startswith("cosine") for name in self.names)


def read_confounds(
    path: Path, *, strategy: str = "motion24", highest_displacement: float | None = HIGHEST_DISPLACEMENT
) -> Confounds:
    """Read a table of fMRIPrep.

    Values that cannot exist in the first volume (derivatives, displacement) are taken as 0.

    Args:
        path: of `_desc-confounds_timeseries.tsv`, or `_desc-confounds_regressors.tsv` of older versions.
        strategy: names of `STRATEGIES`, joined by +.
        highest_displacement: in mm; None counts volumes whatever the motion.

    Raises:
        ValueError: There is no such strategy.
        InputError: The table is missing or damaged, or lacks a column or a value.
    """
    parts = strategy_parts(strategy)
    table = _Table(path, _read(path))
    chosen: dict[str, Doubles] = {}
    notes: list[str] = []
    for part in parts:
        chosen |= _columns(table, part, notes)
    moved = _high_motion(table, highest_displacement, notes)
    unsettled = _non_steady_state(table)
    values = np.stack([*chosen.values()], axis=1) if chosen else np.zeros((table.volumes, 0))
    return Confounds(tuple(chosen), values, ~(moved | unsettled), int(moved.sum()), int(unsettled.sum()), tuple(notes))


def strategy_parts(strategy: str) -> tuple[str, ...]:
    """Return the parts of a strategy. Raises `ValueError`, which lists those there are."""
    parts = tuple(strategy.split("+"))
    unknown = [part for part in parts if part not in STRATEGIES]
    if unknown:
        raise ValueError(
            f"there is no confound strategy {unknown[0]!r}; {nearest(unknown[0], STRATEGIES)}; join any by +"
        )
    return parts


@dataclass(frozen=True)
class _Table:
    path: Path
    columns: Mapping[str, Sequence[str]]

    @property
    def volumes(self) -> int:
        return len(next(iter(self.columns.values())))

    def numbers(self, name: str) -> Doubles:
        """Return a column; n/a in the first row is 0."""
        if name not in self.columns:
            first_columns = ", ".join([*self.columns][:8])
            asked = question(name, self.columns)
            what = f"has no column {name} (it has {first_columns}, ...{'; ' if asked else ''}{asked})"
            raise InputError(self.path, what, _RIGHT)
        return np.array([self._number(name, row, text) for row, text in enumerate(self.columns[name])])

    def _number(self, name: str, row: int, text: str) -> float:
        if row == 0 and text in ("n/a", ""):
            return 0.0
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            what = f"column {name}, volume {row}: {text!r} is not a number"
            raise InputError(self.path, what, "only the first volume may be n/a; run fMRIPrep again for this run")
        return value


def _read(path: Path) -> dict[str, list[str]]:
    require_content(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter="\t") if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"cannot be read as a table: {error}", _RIGHT) from error
    if len(rows) < 2:
        raise InputError(path, "has no rows", _RIGHT)
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            what = f"line {number} has {len(row)} values for {len(rows[0])} columns"
            raise InputError(path, what, "the columns must be separated by tabs; copy the file again")
    return {name: [row[column].strip() for row in rows[1:]] for column, name in enumerate(rows[0])}


def _columns(table: _Table, part: str, notes: list[str]) -> dict[str, Doubles]:
    """Return the columns of one part of a strategy."""
    if part == "none":
        return {}
    if part == "motion24":
        return _motion24(table)
    if part == "acompcor5":
        names = [*_components(table, notes), *_cosines(table)]
    else:
        names = {"motion6": [*MOTION], "wm_csf": ["white_matter", "csf"], "gsr": ["global_signal"]}[part]
    return {name: table.numbers(name) for name in names}


def _motion24(table: _Table) -> dict[str, Doubles]:
    """Return motion, its derivatives and the squares; older tables have the six alone."""
    columns: dict[str, Doubles] = {}
    for name in MOTION:
        motion = table.numbers(name)
        slope = f"{name}_derivative1"
        derivative = table.numbers(slope) if slope in table.columns else np.diff(motion, prepend=motion[0])
        columns |= {name: motion, slope: derivative, f"{name}_power2": motion**2, f"{slope}_power2": derivative**2}
    return columns


def _components(table: _Table, notes: list[str]) -> list[str]:
    """Return the first components of the combined mask, or of white matter and fluid if the masks are unknown."""
    described = _described(table.path)
    names = sorted(name for name in table.columns if name.startswith("a_comp_cor_"))
    if described:
        names = [name for name in names if described.get(name, {}).get("Mask", "combined") == "combined"]
    else:
        notes.append(f"{table.path.name}: it has no .json, so the first a_comp_cor columns are used")
    if len(names) < _COMPONENTS:
        what = f"has {len(names)} components a_comp_cor of the combined mask"
        raise InputError(table.path, what, f"{_COMPONENTS} are needed; use another strategy, such as motion24+wm_csf")
    return names[:_COMPONENTS]


def _described(path: Path) -> dict[str, Any]:
    sidecar = path.with_suffix(".json")
    if not is_named(sidecar):
        return {}
    require_content(sidecar)
    try:
        described = json.loads(sidecar.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(sidecar, f"is not JSON: {error}", "copy it again") from error
    if not isinstance(described, dict) or not all(isinstance(facts, dict) for facts in described.values()):
        raise InputError(sidecar, "is no object from columns to objects", "copy it again")
    return described


def _cosines(table: _Table) -> list[str]:
    """Return the cosines, without which components must not be used: they were computed from filtered data."""
    return sorted(name for name in table.columns if re.fullmatch(r"cosine_?\d+", name))


def _high_motion(table: _Table, highest: float | None, notes: list[str]) -> NDArray[np.bool_]:
    if highest is None:
        return np.zeros(table.volumes, np.bool_)
    if "framewise_displacement" not in table.columns:
        notes.append(f"{table.path.name}: it has no framewise_displacement, so no volume is left out for motion")
        return np.zeros(table.volumes, np.bool_)
    return np.asarray(table.numbers("framewise_displacement") > highest)


def _non_steady_state(table: _Table) -> NDArray[np.bool_]:
    flagged = np.zeros(table.volumes, np.bool_)
    for name in table.columns:
        if name.startswith("non_steady_state_outlier"):
            flagged |= table.numbers(name) != 0
    return flagged


def require_rows(confounds: Confounds, path: Path, volumes: int, bold: Path) -> None:
    """Check that a table has one row per volume.

    Raises:
        InputError: It has not.
    """
    if len(confounds.kept) != volumes:
        what = f"has {len(confounds.kept)} rows, but {bold.name} has {volumes} volumes"
        raise InputError(path, what, "both must be of one run, and untrimmed")
