"""Remembers what checks of data sets found, so that the next plan does not read everything again.

A verdict is kept with a key that says what was checked: digests of files, or their sizes and times of change. It lies
beside the data or in the user's cache folder; a dry run remembers, too, since neither is a result.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from storage.content import sealed, unsealed, write_file
from storage.errors import IntegrityError
from trainables.datasets.errors import DataProblem, DataReport, DataVerdict
from trainables.identity import canonical, digest
from trainables.user_cache import user_cache

VERDICTS_VERSION = 4
"""Raised when checks find other things than before in the same files."""
VERDICT_FILE = ".verdict.json"
_HERE = "$DATASET"
"""Stands for the folder, so that a verdict stays true when the folder is moved."""


def recall_verdict(folder: Path, key: object) -> DataVerdict | None:
    """Return what a check of the data set in `folder` found, if it was remembered with the same `key` (JSON)."""
    for path in (folder / VERDICT_FILE, _cached(folder, key)):
        with suppress(OSError, IntegrityError, KeyError, TypeError):
            value = unsealed(path.name, path.read_bytes())
            if value["version"] == VERDICTS_VERSION and value["key"] == canonical(key):
                return _verdict(value["verdict"], folder)
    return None


def remember_verdict(folder: Path, key: object, verdict: DataVerdict, *, beside: bool) -> None:
    """Remember what a check of the data set in `folder` found.

    Args:
        folder: The folder of the data set.
        key: What was checked, as JSON.
        verdict: What was found.
        beside: Whether it may be written into `folder`. Else, and where that cannot be written, it goes to the user's
            cache folder; if that cannot be written either, it is forgotten.
    """
    where = [replace(problem, where=problem.where.replace(str(folder), _HERE)) for problem in verdict.report.problems]
    moved = replace(verdict, report=DataReport(tuple(where)))
    value = {"version": VERDICTS_VERSION, "key": canonical(key), "verdict": asdict(moved)}
    for path in _places(folder, key, beside=beside):
        with suppress(OSError), write_file(path) as temporary:
            temporary.write_bytes(sealed(value))
            return


def _places(folder: Path, key: object, *, beside: bool) -> Iterator[Path]:
    if beside:
        yield folder / VERDICT_FILE
    yield _cached(folder, key)


def _cached(folder: Path, key: object) -> Path:
    return user_cache("verdicts") / f"{digest([str(folder.absolute()), key], length=32)}.json"


def _verdict(value: Any, folder: Path) -> DataVerdict:
    problems = [DataProblem(**problem) for problem in value["report"]["problems"]]
    here = tuple(replace(problem, where=problem.where.replace(_HERE, str(folder))) for problem in problems)
    return DataVerdict(**{**value, "report": DataReport(here)})
