"""The report of an ablation as artifacts of its study's run in MLflow."""

import logging
from pathlib import Path

from platform.mlflow_view.client import connected
from platform.mlflow_view.runs import KIND, STUDY
from platform.mlflow_view.saved_view import EXPERIMENTS, NOTE, run_link
from platform.study.study import Study
from storage.environment import without_secrets

_FOLDER = "report"

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
            link = run_link(experiment.experiment_id, run.info.run_id, f"{_FOLDER}/{page.name}")
            note = run.data.tags.get(NOTE, "")
            if link not in note:
                client.set_tag(run.info.run_id, NOTE, f"[Report]({link})\n\n{note}")
    except Exception as error:  # the results are stored: a view must not fail the study
        _log.warning("the report %s is not in MLflow: %s", folder, without_secrets(str(error)))
