"""Remembers what checks of data sets found, by the fingerprint of what was checked."""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.content import sealed, unsealed, write_file
from storage.errors import IntegrityError
from trainables.config.data import AnyDataset
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, DataVerdict
from trainables.datasets.kinds import reader_of
from trainables.identity import canonical, digest

VERDICTS_VERSION = 2
"""Raised when checks find other things than before in the same files."""


def remembered_verdict(dataset: AnyDataset, folder: Path | None) -> DataVerdict:
    """Return what a check of `dataset` finds. Its files are read only if they were not checked before as they are.

    Verdicts are kept for the life of the process, and in `folder` if one is given.
    """
    try:
        key = canonical(_decisive(dataset))
    except DatasetError as error:  # there is nothing that could be checked
        return DataVerdict(DataReport(error.problems))
    return _verdict(key, dataset, None if folder is None else folder / f"{digest(key, length=32)}.json")


def _decisive(dataset: AnyDataset) -> list[Any]:
    reader = reader_of(dataset.kind)
    fingerprint = [reader.clips_fingerprint(dataset), reader.brains_fingerprint(dataset)]
    # The whole config: messages name paths, and these are no part of an identity.
    return [VERDICTS_VERSION, dataset.model_dump(mode="json"), *fingerprint]


@lru_cache(maxsize=64)
def _verdict(key: str, dataset: AnyDataset, path: Path | None) -> DataVerdict:
    stored = None if path is None else _read(path)
    if stored is not None:
        return stored
    reader = reader_of(dataset.kind)
    verdict = reader.check(dataset)
    if path is not None and [*reader.clips_files(dataset)]:  # what has no files takes no time
        with write_file(path) as temporary:
            temporary.write_bytes(sealed(asdict(verdict)))
    return verdict


def _read(path: Path) -> DataVerdict | None:
    """Return the verdict in `path`; None if there is none, or it cannot be read."""
    try:
        value = unsealed(path.name, path.read_bytes())
        problems = tuple(DataProblem(**problem) for problem in value["report"]["problems"])
        return DataVerdict(DataReport(problems), value["subjects"], value["kind"])
    except (OSError, IntegrityError, KeyError, TypeError):
        return None
