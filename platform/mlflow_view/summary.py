"""The results of a study for its run in MLflow: best values, tables, figures and the location of the best model."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from platform.figures.study_data import StudyData
from platform.mlflow_view.mirror import MetricPoint, key, milliseconds, readable, tag_value
from platform.mlflow_view.saved_view import NOTE
from platform.record.results import (
    Result,
    averaged,
    best_so_far,
    controls,
    counts_text,
    divided,
    format_value,
    outcomes,
    ranked,
)
from platform.study.outcome_constraints import violated_by
from platform.study.study import Study
from storage import layout
from storage.runs import Manifest

MODEL = "model.safetensors"  # as in `trainables.saved`, which loads torch
FIGURES = "figures.html"
BEST_ROWS = 10
"""Number of best points in the tables."""


@dataclass(frozen=True)
class Conclusion:
    """The entries of a study's run, in addition to the files of a folder."""

    status: str
    """MLflow's status: FINISHED, FAILED (no trial completed) or KILLED (trials are missing)."""
    ended: int | None
    """Milliseconds since 1970; None while trials are missing."""
    points: Sequence[MetricPoint] = ()
    tags: dict[str, str] = field(default_factory=dict)
    best: Result | None = None
    """The first repeat of the best point, whose model is registered; None if the study does not select one."""


def conclude(
    study: Study, results: Sequence[Result], *, folder: Path, store: str, find: Callable[[str], Manifest | None]
) -> Conclusion:
    """Write tables, figures, the study's file and the location of the best model into `folder`; return the entries."""
    order = ranked(averaged(results), study.targets, study.outcome_constraints)
    _write_study(study, folder)
    _write_tables(study, results, order, folder)
    data = StudyData(study.id, study.targets, study.space.domains, results, study.outcome_constraints)
    if data.points:
        from platform.figures import page  # Optuna and its plots take a second to import

        (folder / "figures").mkdir()
        page.write(data, page=folder / FIGURES, pictures=folder / "figures")
    counts = outcomes(results)
    tags = {f"trials.{outcome}": str(count) for outcome, count in counts.items()}
    tags[NOTE] = tag_value(summary_table(study, results, order))
    # An ablation compares conditions. It must not select a model by its test clips.
    allowed, _ = divided(order, study.outcome_constraints)
    best = first_repeat(results, allowed[0]) if allowed and study.has_best else None
    if best is not None:
        tags |= _best_tags(study, allowed[0])
        model = best_model(study, best, store=store, find=find)
        if model is not None:
            (folder / "best_model.json").write_text(json.dumps(model, indent=2), encoding="utf-8")
            tags["best.model"] = model["uri"]
    complete = sum(counts.values()) - counts["unfinished"] >= study.trial_count
    status = "KILLED" if not complete else "FINISHED" if counts["completed"] else "FAILED"
    finished = milliseconds(max(result.finished for result in results)) if complete else None
    completed = [(dict(result.values), result.metrics) for result in results if result.outcome == "COMPLETED"]
    last = milliseconds(max((result.finished for result in results), default=0.0))
    summary = [MetricPoint(key(name), value, last, 0) for name, value in study.summary(completed).items()]
    return Conclusion(status, finished, [*_best_points(study, results, order), *summary], tags, best)


def summary_table(study: Study, results: Sequence[Result], order: Sequence[Result]) -> str:
    """Return the best points as a Markdown table, with the controls of the best point and the numbers of outcomes."""
    names = [target.name for target in study.targets]
    swept = list(study.space.fields)
    lines = [f"{counts_text(results)}.", ""]
    lines += [" | ".join(["| trial", *names, *swept]) + " |", "|" + " --- |" * (1 + len(names) + len(swept))]
    for result in order[:BEST_ROWS]:
        values = [format_value(result.values[name]) if name in result.values else "" for name in swept]
        violated = violated_by(result.metrics, study.outcome_constraints)
        label = f"{result.label} (violates {', '.join(violated)})" if violated else result.label
        lines.append(" | ".join([f"| {label}", *(f"{result.metrics[n]:.4g}" for n in names), *values]) + " |")
    for target in study.targets if order else ():
        levels = controls(order[0], target)
        if levels:
            dataset = order[0].values.get("dataset")
            within = f" in the data set {dataset}" if dataset is not None else ""
            lines += [
                "",
                f"Controls of {target.name}{within}: " + ", ".join(f"{n} {v:.4g}" for n, v in levels.items()) + ".",
            ]
    lines += ["", "Figures: `figures.html` and `figures/` under Artifacts."]
    return "\n".join(lines)


def first_repeat(results: Sequence[Result], point: Result) -> Result:
    """Return the first repeat of a point. The best one would be chosen for its luck with a seed."""
    return min((result for result in results if result.point == point.point), key=lambda result: result.repeat)


def best_model(
    study: Study, best: Result, *, store: str, find: Callable[[str], Manifest | None]
) -> dict[str, Any] | None:
    """Return the location of the best trial's model in the store, or None if there is no model."""
    stage = study.targets[0].stage
    identity = best.identities.get(stage)
    manifest = None if identity is None else find(identity)
    if manifest is None or MODEL not in manifest.files:
        return None
    file = manifest.files[MODEL]
    blob = layout.blob(file.digest)
    uri = f"{store.rstrip('/')}/{blob}"
    location = {"uri": uri, "blob": blob, "sha256": file.digest, "size": file.size}
    return {"trial": best.trial, "stage": stage, "identity": identity, "file": MODEL, **location}


def _best_tags(study: Study, best: Result) -> dict[str, str]:
    values = {f"best.{name}": tag_value(readable(value)) for name, value in best.values.items()}
    point = {"best.point": best.label} if best.repeats > 1 else {}
    return {"best.trial": best.trial, **point, **values}


def _best_points(study: Study, results: Sequence[Result], order: Sequence[Result]) -> list[MetricPoint]:
    """Return the best value so far after each trial, and the other metrics of the best point."""
    points = []
    names = {target.name for target in study.targets}
    for target in study.targets:
        series = best_so_far(averaged(results), target, study.outcome_constraints)
        points += [MetricPoint(key(f"best.{target.name}"), v, milliseconds(time), count) for count, time, v in series]
    order, _ = divided(order, study.outcome_constraints)
    if order:
        remaining = {name: value for name, value in order[0].metrics.items() if name not in names}
        stamp = milliseconds(max(result.finished for result in results))
        points += [MetricPoint(key(f"best.{name}"), value, stamp, 0) for name, value in remaining.items()]
    return points


def _write_study(study: Study, folder: Path) -> None:
    """Write the study's file, and the resolved study with the settings of the command line and all defaults."""
    (folder / "study").mkdir()
    (folder / "study" / f"{study.name}.yaml").write_text(study.source, encoding="utf-8")
    configs = {name: config.model_dump(mode="json") for name, config in study.data_configs().items()}
    config = configs.get("", configs)
    head = {"id": study.id, "file": study.path, "trials": study.trials, "settings": list(study.settings)}
    document = json.loads(json.dumps({**head, **study.definition, "config": config}))
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / "study" / "resolved.yaml").write_text(text, encoding="utf-8")


def _write_tables(study: Study, results: Sequence[Result], order: Sequence[Result], folder: Path) -> None:
    (folder / "summary.md").write_text(summary_table(study, results, order) + "\n", encoding="utf-8")
    summary = {
        "study": study.id,
        "outcomes": outcomes(results),
        "best": [r.label for r in order[:BEST_ROWS]],
        "trials": [result.to_json() for result in results],
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
