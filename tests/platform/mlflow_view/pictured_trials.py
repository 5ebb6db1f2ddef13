"""Trials in MLflow with pictures of clips, without running any."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from platform.events import Finished, Proposed
from platform.mlflow_view.mirror import TrialMirror
from platform.mlflow_view.runs import StudyRuns
from platform.study.ablation import AblationStudy
from platform.study.space import Point
from platform.study.study import Study

if TYPE_CHECKING:
    from platform.mlflow_view.client import MlflowClient

KEYS = ("clips/test clip 00001", "clips/test clip 00002")


def _values(study: Study, number: int) -> tuple[Point, Mapping[str, str]]:
    """Return values and labels of a trial: of an ablation, the first seed of a condition."""
    if isinstance(study, AblationStudy):
        return study.points[number], study.labels(0, study.points[number])
    return {"noop.value": 0.1 * number}, {}


def pictured(client: "MlflowClient", study: Study, folder: Path, *, trials: int) -> str:
    """Write `trials` finished trials of `study`, each with pictures of its own colour; return the experiment's id."""
    artifacts = folder / "artifacts"
    runs = StudyRuns(client, study, artifacts=artifacts.as_uri(), store="", began=1.0)
    for number in range(trials):
        head = {"trial": f"t{number:04d}", "sequence": 0, "time": 2.0}
        values, labels = _values(study, number)
        spec = study.spec(number, 0, values)
        body = {"point": number, "repeat": 0, "seed": 0, "values": values, "config": dict(spec.config), "runs": []}
        body |= {"labels": labels} if labels else {}
        end = {"outcome": "COMPLETED", "metrics": {"noop.value": 0.5}, "runs": {}, "error": None, "seconds": 1.0}
        finished = Finished.read({**head, "sequence": 1, "time": 3.0}, {**end, "step": None})
        colour = (80 * number, 90, 200)

        def pages(into: Path, colour: tuple[int, int, int] = colour) -> None:
            (into / "pictures").mkdir()
            for key in KEYS:
                Image.new("RGB", (96, 48), colour).save(into / "pictures" / f"{key.partition('/')[2]}.png")

        runs.write(str(head["trial"]), [Proposed.read(head, body), finished], TrialMirror(str(head["trial"])), pages)
    (experiment,) = {run.info.experiment_id for run in runs._search()}
    return str(experiment)
