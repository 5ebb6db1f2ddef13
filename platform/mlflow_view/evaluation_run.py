"""One evaluation of videos as an MLflow run: means are metrics, what was judged parameters, all files artifacts."""

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
    "Each run is one call of `python -m platform.evaluate`. Metrics are means over clips, named system/metric; with "
    "`_static` its first frame held, with `_shuffled_fmri` what was reconstructed from another clip's fMRI. "
    "Look at `page.html`."
)


@dataclass(frozen=True)
class Evaluation:
    """What one call of the verb came to."""

    rows: Sequence[ScoreRow]
    """What the tables hold; each defined mean becomes a metric."""
    facts: Mapping[str, Any]
    """Nested; become parameters."""
    files: Sequence[Path]
    """Become artifacts."""
    began: float
    """Seconds since 1970."""


def record_evaluation(evaluation: Evaluation, *, uri: str, home: Path) -> None:
    """Make a run of the experiment `mindsweep/evaluate` at `uri`; artifacts of a local database lie in `home`."""
    client = connected(uri)
    experiment = find_experiment(client, EXPERIMENT, artifacts=artifact_folder(uri, home=home), note=_NOTE)
    tags = {"mindsweep.kind": "evaluation", "mlflow.user": user(), **git_tags(), **version_tags()}
    systems = "+".join(dict.fromkeys(row.system for row in evaluation.rows))
    run = client.create_run(experiment, milliseconds(evaluation.began), tags, run_name=systems if systems else "none")
    for file in evaluation.files:
        client.log_artifact(run.info.run_id, str(file))
    ended = milliseconds(time.time())
    points = [MetricPoint(key(_metric(row)), row.mean, ended, 0) for row in evaluation.rows if row.mean is not None]
    entries = Entries(params=params(evaluation.facts), points=points, status="FINISHED", ended=ended)
    log(client, run.info.run_id, entries)


def _metric(row: ScoreRow) -> str:
    return f"{row.system}/{row.metric}" + (f"_{row.control}" if row.control else "")
