"""Writes the report of a study from its records alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from platform.errors import UserError
from platform.record.data_card import card_pages, write_data_card
from platform.record.stored_plugins import named_plugins
from platform.study.registration import KIND, registered
from storage.base import Store
from storage.environment import without_secrets
from storage.errors import NotFoundError
from storage.owned_folders import owned_folder
from storage.runs import RunStore
from storage.studies import load_definition

if TYPE_CHECKING:
    from platform.reporting.contents import AblationReport
    from platform.reporting.data_sets import DataSetsReport
    from platform.reporting.sweep_report import SweepReport

    AnyReport: TypeAlias = AblationReport | DataSetsReport | SweepReport


def make_report(store: Store, study_id: str, folder: Path) -> "tuple[Path, AnyReport]":
    """Write the report of study `study_id` into `folder`; return the path of its page, and the report.

    Raises:
        UserError: There is no such study, or `folder` cannot be written.
        StoreError: The records are damaged or cannot be read.
    """
    try:
        is_ablation = load_definition(store, study_id)["definition"].get("kind") == KIND
        if is_ablation:
            registered(store, study_id)
    except (NotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written: {error}") from error
    with named_plugins(store, study_id).active():  # metrics have their titles; the code of plug-ins is not executed
        pages = card_pages(write_data_card(store, study_id, folder))
        return (_of_ablation if is_ablation else _of_sweep)(store, study_id, folder, pages)


def _of_ablation(store: Store, study_id: str, folder: Path, pages: list[tuple[str, str]]) -> "tuple[Path, AnyReport]":
    # pyarrow and scipy take seconds to import: check the arguments first
    from platform.analysis.collect import collect_data_sets
    from platform.analysis.siblings import siblings_of
    from platform.reporting.contents import build_report
    from platform.reporting.data_sets import build_data_sets_report
    from platform.reporting.files import write_files
    from platform.reporting.maps_page import write_ablation_maps

    with owned_folder("mindsweep-report-") as cache:
        results = collect_data_sets(store, study_id, cache=cache)
        siblings = siblings_of(store, study_id, cache=cache)
        pages = [*pages, *(page for result in results for page in write_ablation_maps(result, folder))]
        uri = without_secrets(store.uri)
        report: AblationReport | DataSetsReport
        if results[0].dataset:
            report = build_data_sets_report(results, store=uri, pages=pages, siblings=siblings)
        else:
            report = build_report(results[0], store=uri, pages=pages, siblings=siblings)
        return write_files(report, folder), report


def _of_sweep(store: Store, study_id: str, folder: Path, pages: list[tuple[str, str]]) -> "tuple[Path, AnyReport]":
    from platform.analysis.search_result import follow_ups_of, read_search
    from platform.reporting.maps_page import write_sweep_maps
    from platform.reporting.sweep_report import build_sweep_report, write_sweep_report

    search, followed_by = read_search(store, study_id), follow_ups_of(store, study_id)
    with owned_folder("mindsweep-report-") as cache:
        pages = [*pages, *write_sweep_maps(search, RunStore(store, cache=cache), folder)]
    report = build_sweep_report(search, store=without_secrets(store.uri), pages=pages, followed_by=followed_by)
    return write_sweep_report(report, folder), report


def report_json(report: "AnyReport") -> dict[str, Any]:
    """Return warnings and sentences of a report as JSON, of an ablation also its comparisons."""
    from platform.reporting.files import answers_json
    from platform.reporting.sweep_report import SweepReport

    if not isinstance(report, SweepReport):
        return answers_json(report)
    return {"alerts": list(report.alerts), "answers": [text for _, text in report.conclusions]}
