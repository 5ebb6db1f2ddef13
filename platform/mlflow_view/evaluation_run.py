"""One evaluation of videos as an MLflow run: means as metrics, the inputs as parameters, all files as artifacts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform.mlflow_view.client import artifact_folder, connected, find_experiment, log
from platform.mlflow_view.mirror import Entries, MetricPoint, key, milliseconds, params
from platform.record.provenance import git_tags, user, version_tags
from trainables.judging.score_tables import ScoreRow

EXPERIMENT = "evaluate"
_NOTE = (
    "Each run is one call of `python -m platform.evaluate`. Metrics are means over clips, named system/metric. The "
    "suffix `_static` is the control with a still first frame, `_shuffled_fmri` the reconstruction from another clip's "
    "fMRI. `page.html` shows the videos."
)


@dataclass(frozen=True)
class Evaluation:
    """The results of one call of the verb."""

    rows: Sequence[ScoreRow]
    """Rows of the tables; each defined mean becomes a metric."""
    facts: Mapping[str, Any]
    """Nested mapping that becomes parameters."""
    files: Sequence[Path]
    """Files that become artifacts."""
    began: float
    """Seconds since 1970."""
    protocol: str
    """Id of the protocol that the videos were judged by."""


def record_evaluation(evaluation: Evaluation, *, uri: str, home: Path) -> None:
    """Create a run of the experiment `mindsweep/evaluate` at `uri`; artifacts of a local database are in `home`."""
    client = connected(uri)
    experiment = find_experiment(client, EXPERIMENT, artifacts=artifact_folder(uri, home=home), note=_NOTE)
    kind = {"mindsweep.kind": "evaluation", "mindsweep.protocol": evaluation.protocol}
    tags = {**kind, "mlflow.user": user(), **git_tags(), **version_tags()}
    systems = "+".join(dict.fromkeys(row.system for row in evaluation.rows))
    run = client.create_run(experiment, milliseconds(evaluation.began), tags, run_name=systems if systems else "none")
    for file in evaluation.files:
        client.log_artifact(run.info.run_id, str(file))
    ended = milliseconds(time.time())
    points = [MetricPoint(key(_metric(row)), row.mean, ended, 0) for row in evaluation.rows if row.mean is not None]
    entries = Entries(params=params(evaluation.facts), points=points, status="FINISHED", ended=ended)
    log(client, run.info, entries)


def _metric(row: ScoreRow) -> str:
    return f"{row.system}/{row.metric}" + (f"_{row.control}" if row.control else "")
