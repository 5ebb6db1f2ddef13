"""Ablations of the stage that computes nothing, and ended trials of them without Ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from platform.errors import UserError
from platform.record.trial_log import proposed_body
from platform.study import yaml_source
from platform.study.ablation import AblationStudy
from platform.study.ablation_file import build_ablation
from storage.base import Store
from storage.events import EventLog
from storage.studies import save_study
from tests.platform.made_up_events import made_up_event

NOOP = """\
primary: [noop.value]
seeds: 6
unit: seeds
conditions:
  half: {noop.value: 0.5}
"""


TWO_EPOCHS = NOOP.replace("conditions:", "baseline: {noop.epochs: 2}\nconditions:")


def build(text: str = NOOP, *settings: str, path: str = "test.yaml") -> AblationStudy:
    return build_ablation(yaml_source.parse(text, path=path), settings=settings)


def complaints(text: str, *settings: str) -> list[str]:
    """Return the lines of the `UserError` that `text` must raise."""
    with pytest.raises(UserError) as caught:
        build(text, *settings)
    return str(caught.value).splitlines()


def written(folder: Path, text: str = NOOP, *, name: str = "small") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def register(study: AblationStudy, store: Store) -> None:
    """Freeze the design, as the driver does before the first trial."""
    save_study(store, study.id, {"id": study.id, "definition": study.definition})


def play(study: AblationStudy, store: Store, *, outcome: Mapping[str, str] | None = None) -> None:
    """End every trial of `study` that has not ended; `outcome` names those that do not complete."""
    log, other = EventLog(store, study.id), {} if outcome is None else outcome
    ended = {event["trial"] for event in log.read() if event["kind"] == "finished"}
    for point, values in enumerate(study.points):
        for repeat in range(study.repeats):
            spec = study.spec(point, repeat, values)
            if spec.trial in ended:
                continue
            labels = study.labels(repeat, values)
            body = proposed_body(spec, point=point, repeat=repeat, values=values, labels=labels)
            seconds = {run.stage: {"identity": run.identity, "reused": False, "seconds": 2.0} for run in spec.runs}
            end: dict[str, Any] = {"outcome": "COMPLETED", "metrics": {"noop.value": spec.config["noop"]["value"]}}
            end |= {"runs": seconds, "error": None, "seconds": 2.0, "step": None}
            if spec.trial in other:
                end |= {"outcome": other[spec.trial], "metrics": {}, "runs": {}, "error": "it broke"}
            for number, (kind, content) in enumerate([("proposed", body), ("finished", end)]):
                event = made_up_event(spec.trial, number, kind, 1000.0 + number, content)
                log.append(spec.trial, number, event.to_json())
