"""The report of a study in its run in MLflow: its files, paired differences, and what it concludes."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform.mlflow_view.client import connected
from platform.mlflow_view.mirror import key, tag_value
from platform.mlflow_view.runs import KIND, STUDY
from platform.mlflow_view.saved_view import EXPERIMENTS, NOTE, run_link
from platform.study.study import Study
from storage.environment import without_secrets

if TYPE_CHECKING:
    from platform.mlflow_view.client import MlflowClient, MlflowRun

_FOLDER = "report"
_ANSWERS = "answers.json"  # as in `platform.reporting.files`, which loads scipy

_log = logging.getLogger(__name__)


def attach_report(page: Path, study: Study, *, uri: str) -> None:
    """Log `page` and the other files of its folder as artifacts of the study's run, and link it. Errors are logged."""
    folder = page.parent
    try:
        client = connected(uri)
        experiment = client.get_experiment_by_name(f"{EXPERIMENTS}{study.name}")
        if experiment is None:
            raise LookupError(f"there is no experiment {EXPERIMENTS}{study.name}")
        query = f"tags.`{STUDY}` = '{study.id}' and tags.`{KIND}` = 'study'"
        for run in client.search_runs([experiment.experiment_id], query, max_results=1):
            client.log_artifacts(run.info.run_id, str(folder), _FOLDER)
            _log_answers(client, run, folder / _ANSWERS)
            link = run_link(experiment.experiment_id, run.info.run_id, f"{_FOLDER}/{page.name}")
            note = run.data.tags.get(NOTE, "")
            if link not in note:
                client.set_tag(run.info.run_id, NOTE, f"[Report]({link})\n\n{note}")
    except Exception as error:  # the results are stored: a view must not fail the study
        _log.warning("the report %s is not in MLflow: %s", folder, without_secrets(str(error)))


def _log_answers(client: "MlflowClient", run: "MlflowRun", file: Path) -> None:
    """Log the paired differences as metrics, and as tags the verdicts and how the baseline stands to its controls.

    A metric has the time of the study's end, so that a rebuild writes the same. One that is replaced has a later time,
    since MLflow shows the latest value, and the greatest of several at one time.
    """
    if not file.is_file():
        return
    answers = json.loads(file.read_text(encoding="utf-8"))
    for row in answers["comparisons"]:
        name, value = key(_named("difference", row, "condition")), row["difference"]
        logged = run.data.metrics.get(name)
        if value is not None and value != logged:
            time = run.info.end_time if logged is None else None
            client.log_metric(run.info.run_id, name, value, timestamp=time)
    for name, text in _tags(answers):
        client.set_tag(run.info.run_id, key(name), tag_value(text))


def _tags(answers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for row in answers["comparisons"]:
        if row["declared"]:
            reason = f" ({row['reason']})" if row["reason"] else ""
            yield _named("verdict", row, "condition"), f"{row['verdict']}{reason}"
    for row in answers["controls"]:
        yield _named("controls", row), _STANDINGS[row["standing"]]


def _named(kind: str, row: dict[str, Any], *columns: str) -> str:
    """Return the name of what a row says: `kind`, of several data sets the name of this one, `columns` and metric."""
    return ".".join((kind, *(row[column] for column in ("dataset", *columns, "metric") if column in row)))


_STANDINGS = {
    "above": "the baseline is better than all controls",
    "at": "the baseline is not shown to be better than its controls",
    "untested": "too few seeds or clips to test the baseline against its controls",
}
