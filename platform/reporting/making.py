"""Writes the report of an ablation from its records alone."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from platform.errors import UserError
from platform.record.data_card import DATA_CARD, write_data_card
from platform.record.stored_plugins import named_plugins
from platform.study.registration import registered
from storage.base import Store
from storage.environment import without_secrets
from storage.errors import NotFoundError

if TYPE_CHECKING:
    from platform.reporting.contents import AblationReport


def make_report(store: Store, study_id: str, folder: Path) -> "tuple[Path, AblationReport]":
    """Write the report of ablation `study_id` into `folder`; return the path of its page, and the report.

    Raises:
        UserError: There is no such study, it is not an ablation, or `folder` cannot be written.
        StoreError: The records are damaged or cannot be read.
    """
    try:
        registered(store, study_id)
    except (NotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written: {error}") from error
    # pyarrow and scipy take seconds to import: check the arguments first
    from platform.analysis.collect import collect_ablation
    from platform.analysis.siblings import siblings_of
    from platform.reporting.contents import build_report
    from platform.reporting.files import write_files

    # Metrics of plug-ins have their titles; their code is not executed.
    with tempfile.TemporaryDirectory(prefix="mindsweep-report-") as cache, named_plugins(store, study_id).active():
        result = collect_ablation(store, study_id, cache=Path(cache))
        pages = [("Data card", DATA_CARD)] if write_data_card(store, study_id, folder) else []
        siblings = siblings_of(store, study_id, cache=Path(cache))
        report = build_report(result, store=without_secrets(store.uri), pages=pages, siblings=siblings)
        return write_files(report, folder), report
