"""Makes the report of an ablation from its records alone."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from platform.errors import UserError, nearest
from platform.study.registration import registered
from platform.tracking_uri import without_secrets
from storage import layout
from storage.base import Store

if TYPE_CHECKING:
    from platform.reporting.contents import Report


def write_report(store: Store, study_id: str, folder: Path) -> Path:
    """Write the report of ablation `study_id` into `folder` and return its page; raises as `make_report`."""
    return make_report(store, study_id, folder)[0]


def make_report(store: Store, study_id: str, folder: Path) -> "tuple[Path, Report]":
    """Write the report of ablation `study_id` into `folder`; return its page, and what it says.

    Raises:
        UserError: There is no such study, it is no ablation, or `folder` cannot be written; says what would do.
        StoreError: The records are damaged or cannot be read.
    """
    _check(store, study_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written: {error}") from error
    # pyarrow and scipy take seconds to import: mistakes come first
    from platform.analysis.collect import collect
    from platform.reporting.contents import build
    from platform.reporting.files import write_files

    with tempfile.TemporaryDirectory(prefix="mindsweep-report-") as cache:
        report = build(collect(store, study_id, cache=Path(cache)), store=without_secrets(store.uri))
        return write_files(report, folder), report


def _check(store: Store, study: str) -> None:
    """Raise `UserError` unless the store holds `study` and it is an ablation."""
    try:
        known = store.exists(layout.study(study))
    except ValueError:
        known = False
    if not known:
        found = {key.removeprefix(layout.studies()).partition("/")[0] for key in store.list(layout.studies())}
        names = nearest(study, found) if found else "it holds none yet; run one with python -m platform.ablate FILE"
        raise UserError(f"{without_secrets(store.uri)} holds no study {study}; {names}")
    try:
        registered(store, study)
    except ValueError as error:
        raise UserError(str(error)) from error
