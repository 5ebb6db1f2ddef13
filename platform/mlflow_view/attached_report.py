"""The report of an ablation as artifacts of its study's run in MLflow."""

import logging
from pathlib import Path

from platform.mlflow_view.client import connected
from platform.mlflow_view.runs import KIND, STUDY
from platform.mlflow_view.saved_view import EXPERIMENTS, NOTE, run_link
from platform.study.study import Study
from platform.tracking_uri import without_secrets

_FOLDER = "report"

_log = logging.getLogger(__name__)


def attach_report(page: Path, study: Study, *, uri: str) -> None:
    """Make `page` and the files beside it artifacts of the study's run, and link the page; errors are only logged."""
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
    except Exception as error:  # a view must not fail a study whose results are in the store
        _log.warning("MLflow lacks the report %s: %s", folder, without_secrets(str(error)))
