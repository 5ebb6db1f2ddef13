"""Checks an ablation: conditions differ, metrics are comparable, and enough seeds are planned for significance."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from platform.errors import Problem, nearest
from platform.statistics.attainable import seeds_for, unattainable
from platform.study.conditions import WrittenCondition
from platform.study.config_errors import config_problems
from platform.study.design import BASELINE, COLUMNS, Design, Published, has_clips
from platform.study.fairness import one_sided, sees_test_fmri
from platform.study.input_checks import given_problems, network_problems, voxel_problems
from platform.study.overrides import LocatedValue
from platform.study.space_checks import conversion_problem
from platform.study.varied import varied_of, varied_problem
from platform.study.yaml_source import KeyPath, Source
from platform.study.yielded import why_none_of_still, why_not_yielded
from trainables import datasets
from trainables.config.trial import TrialConfig, flatten, resolve
from trainables.datasets.clusters import kind_of
from trainables.graph import ancestors, needed_stages, stage_runs
from trainables.metrics.metric import Metric
from trainables.metrics.registry import ablation_metrics, metric_named
from trainables.stage_table import STAGES, VIDEO_STAGES

PUBLISHED = Path(__file__).resolve().parents[2] / "ablations" / "published"


@dataclass(frozen=True)
class WrittenBaseline:
    """The baseline as it is written in the file, and the stages by which conditions are compared."""

    source: Source
    overrides: Mapping[str, Any]
    """Dotted field to value."""
    written: Mapping[str, LocatedValue]
    """Dotted field to its value and its location in the file."""
    stages: tuple[str, ...]
    """The stages that report the primary metrics."""
    subjects: tuple[int, ...]
    seed: int

    def identities(self, config: TrialConfig, *, offset: int = 0) -> tuple[str, ...]:
        """Return the stage run identities that determine all results of a condition."""
        runs = stage_runs(config, seed=self.seed + offset, targets=self.stages)
        return tuple(run.identity for run in runs if run.stage in self.stages)


def primary_metrics(source: Source, names: Sequence[str]) -> tuple[tuple[Metric, ...], list[Problem]]:
    """Return the valid primary metrics, and the problems of the others."""
    metrics, problems = [], []
    for index, name in enumerate(names):
        metric = metric_named(name)
        if metric is None:
            message = f"there is no metric {name!r}; {nearest(name, ablation_metrics())}"
            problems.append(source.problem(("primary", index), message))
        elif name in names[:index]:
            problems.append(source.problem(("primary", index), f"{name} is listed twice"))
        else:
            metrics.append(metric)
    return tuple(metrics), problems


def distinct_conditions(
    baseline: WrittenBaseline, conditions: Sequence[WrittenCondition]
) -> tuple[list[WrittenCondition], list[str], list[Problem]]:
    """Return the conditions that differ from the baseline, notes, and problems.

    Levels of a factorial that are equal to the baseline are included and marked.
    """
    distinct: list[WrittenCondition] = []
    notes: list[str] = []
    problems: list[Problem] = []
    paths = {name: override.path for name, override in baseline.written.items()}
    problems += _video_problems(baseline, resolve(baseline.overrides), paths=paths, section=("baseline",))
    first_name = {baseline.identities(resolve(baseline.overrides)): BASELINE}
    for condition in conditions:
        config, condition_problems = _resolved(baseline, condition)
        problems += condition_problems
        if config is None:
            continue
        identities = baseline.identities(config, offset=condition.seed_offset)
        equal_to = first_name.setdefault(identities, condition.name)
        if equal_to == BASELINE and not condition.is_generated:
            problems.append(baseline.source.problem(condition.path, _no_change_message(condition, baseline)))
        elif equal_to == BASELINE:
            notes.append(f"{condition.name} is equal to the baseline: it has no trials of its own")
            distinct += [replace(condition, is_baseline=True)] if condition.origin == "factorial" else []
        else:
            if equal_to != condition.name:
                notes.append(
                    f"{condition.name} and {equal_to} are the same after resolution: their stage runs are executed once"
                )
            distinct.append(condition)
    return distinct, notes, problems


def _no_change_message(condition: WrittenCondition, baseline: WrittenBaseline) -> str:
    if not condition.written:
        return f"{condition.name} overrides nothing; name a field, or a seed_offset for a renamed copy of the baseline"
    values = ", ".join(f"{name}: {value.value!r}" for name, value in condition.written.items())
    stages = ", ".join(baseline.stages)
    return (
        f"{condition.name} changes nothing that {stages} depends on: the baseline has the same values or does not use "
        f"them: {values}"
    )


def _resolved(baseline: WrittenBaseline, condition: WrittenCondition) -> tuple[TrialConfig | None, list[Problem]]:
    paths: dict[str, KeyPath] = {
        name: override.path for name, override in (*baseline.written.items(), *condition.written.items())
    }
    if "voxels.subject" in condition.written:
        message = "subjects are blocks, not conditions; name them under `subjects`"
        return None, [baseline.source.problem(paths["voxels.subject"], message)]
    try:
        config = resolve({**baseline.overrides, **condition.overrides})
    except ValidationError as error:
        return None, list(config_problems(error, source=baseline.source, paths=paths))
    checked = [
        (override.path, conversion_problem(name, override.value, config))
        for name, override in condition.written.items()
    ]
    problems = [baseline.source.problem(path, message) for path, message in checked if message is not None]
    problems += _video_problems(baseline, config, paths=paths, section=condition.path)
    if not problems:
        needed = needed_stages(config, baseline.stages)
        changes_voxels = "voxels" in needed and any(name.startswith("voxels.") for name in condition.written)
        problems += [
            baseline.source.problem(paths.get(field, condition.path), message)
            for field, message in (
                *(voxel_problems(config) if changes_voxels else ()),
                *network_problems(config, needed),
            )
        ]
    return (None if problems else config), problems


def _video_problems(
    baseline: WrittenBaseline, config: TrialConfig, *, paths: Mapping[str, KeyPath], section: KeyPath
) -> list[Problem]:
    """Return what is wrong with the given videos of a condition for any subject; none if its videos are made here."""
    if config.system != "given":
        return []
    path = paths.get("given.path", paths.get("system", section))
    messages = given_problems(config, subjects=baseline.subjects)
    return [baseline.source.problem(path, message) for message in messages]


def check_design(baseline: WrittenBaseline, design: Design, metrics: Sequence[Metric]) -> Iterator[Problem]:
    """Check the family, the scale of metrics, the number of seeds, and margins, in one data set."""
    source = baseline.source
    for comparison in design.family:
        path: KeyPath = ("family", comparison.condition)
        if comparison.condition not in design.conditions:
            message = (
                f"there is no condition {comparison.condition!r}; {nearest(comparison.condition, design.conditions)}"
            )
            yield source.problem(path, message)
        elif comparison.metric not in design.primary:
            near = nearest(comparison.metric, design.primary)
            yield source.problem(path, f"{comparison.metric} is not a primary metric; {near}")
    for name in design.margins:
        if name not in design.primary:
            message = f"is not a primary metric; {nearest(name, design.primary)}"
            yield source.problem(("margins", name), message)
    for index, subject in enumerate(design.subjects):
        if subject in design.subjects[:index]:
            yield source.problem(("subjects", index), f"{subject} is listed twice")
    system = resolve(baseline.overrides).system
    if "embedding_map" in design.figures and "semantic" not in ancestors(baseline.stages, systems=[system]):
        message = f"embedding_map needs the stage semantic, but {', '.join(baseline.stages)} does not use it"
        yield source.problem(("figures",), message)
    yield from _check_systems(baseline, design, metrics)
    yield from _check_fairness(baseline, design)
    yield from _check_scales(baseline, design, metrics)
    yield from _check_yielded(baseline, design, metrics)
    yield from _check_varied(baseline, design)
    yield from _check_seeds(baseline, design)


def _check_systems(baseline: WrittenBaseline, design: Design, metrics: Sequence[Metric]) -> Iterator[Problem]:
    """Refuse a metric of decoders that the system of a condition does not have; an analysis of voxels is of none."""
    of_systems = ancestors(["evaluate"], systems=VIDEO_STAGES)
    for name in design.names:
        overrides = {} if name == BASELINE else design.conditions[name].overrides
        system = resolve({**baseline.overrides, **overrides}).system
        of_system = ancestors(["evaluate"], systems=[system])
        for metric in metrics:
            needed = ancestors([metric.stage], systems=[system])
            others = [stage for stage in needed if stage in of_systems and stage not in of_system]
            decoders = [stage for stage in others if STAGES[stage].is_tested]
            if decoders:
                message = (
                    f"{metric.name} needs {', '.join(decoders)}, which {name} (system: {system}) does not have; leave "
                    "it out, and compare it in an ablation without this condition"
                )
                yield baseline.source.problem(("primary", design.primary.index(metric.name)), message)


def _check_fairness(baseline: WrittenBaseline, design: Design) -> Iterator[Problem]:
    """Refuse a comparison of systems that one of them cannot lose, or in which one sees test fMRI."""
    overrides = {BASELINE: {}, **{name: condition.overrides for name, condition in design.conditions.items()}}
    configs = {name: resolve({**baseline.overrides, **changed}) for name, changed in overrides.items()}
    if len({config.system for config in configs.values()}) == 1:
        return
    if (message := one_sided(design.primary)) is not None:
        yield baseline.source.problem(("primary",), message)
    for name, config in configs.items():
        for field, message in sees_test_fmri(config):
            path: KeyPath = ("baseline",) if name == BASELINE or field not in overrides[name] else ("conditions", name)
            yield baseline.source.problem(path, f"{name}: {message}")


def _check_scales(baseline: WrittenBaseline, design: Design, metrics: Sequence[Metric]) -> Iterator[Problem]:
    """Refuse a metric whose scale differs between conditions."""
    baseline_config = flatten(resolve(baseline.overrides).model_dump())
    for name, condition in design.conditions.items():
        condition_config = flatten(resolve({**baseline.overrides, **condition.overrides}).model_dump())
        changed = [
            field
            for field in {**baseline_config, **condition_config}
            if baseline_config.get(field) != condition_config.get(field)
        ]
        for metric in metrics:
            dependent = sorted(filter(metric.scale_depends_on, changed))
            if dependent:
                message = f"{metric.name} is not comparable in {name}: its scale depends on {', '.join(dependent)}"
                if any(field.startswith("dataset.") for field in dependent):
                    message += "; name data sets under `datasets`: conditions are then compared within each"
                yield baseline.source.problem(("primary", design.primary.index(metric.name)), message)


def _check_yielded(baseline: WrittenBaseline, design: Design, metrics: Sequence[Metric]) -> Iterator[Problem]:
    """Refuse a metric that the data set does not yield."""
    configs = {BASELINE: resolve(baseline.overrides)} | {
        name: resolve({**baseline.overrides, **condition.overrides}) for name, condition in design.conditions.items()
    }
    for metric in metrics:
        messages = {name: why_not_yielded(metric, config) for name, config in configs.items()}
        for name, message in messages.items():
            if name != BASELINE and not design.is_declared(name, metric.name):
                # It has no value, and the report says why: no claim is made of it.
                message = message if why_none_of_still(metric, configs[name]) is None else None
            if message is not None and (name == BASELINE or message != messages[BASELINE]):
                prefix = "" if name == BASELINE else f"{name}: "
                yield baseline.source.problem(("primary", design.primary.index(metric.name)), prefix + message)


def _check_varied(baseline: WrittenBaseline, design: Design) -> Iterator[Problem]:
    """Refuse data that cannot be varied, or not for this unit."""
    message = varied_problem(resolve(baseline.overrides), design)
    if message is not None:
        yield baseline.source.problem(("vary",), message)


def _check_seeds(baseline: WrittenBaseline, design: Design) -> Iterator[Problem]:
    """Refuse a design in which no comparison of the family can be significant."""
    if not design.conditions:
        return  # a replication compares nothing
    config = resolve(baseline.overrides)
    if not design.family:
        yield baseline.source.problem(("family",), "declares no comparison; name one, or remove the key to declare all")
        return
    per_trial = [comparison.metric for comparison in design.family if not has_clips(comparison.metric)]
    if per_trial and (design.unit == "clips" or (design.unit == "both" and len(per_trial) < len(design.family))):
        message = f"{per_trial[0]} has one value per trial, not per clip; declare it in an ablation with unit: seeds"
        yield baseline.source.problem(("unit",), message)
        return
    reason, too_few_clips = _unattainable(baseline, design, config)
    if reason:
        yield baseline.source.problem(("seeds",), reason)
    if too_few_clips:
        yield baseline.source.problem(("unit",), too_few_clips)


def _unattainable(baseline: WrittenBaseline, design: Design, config: TrialConfig) -> tuple[str, str]:
    """Return why the seeds, and why the test clips, are too few for any star; each is empty if they are enough."""
    level = partial(unattainable, alpha=design.alpha, family=design.family_size)
    seeds = level("seeds", seeds=design.seeds, clips=0) if design.unit in ("seeds", "both") else ""
    if design.unit == "seeds" or "evaluate" not in baseline.stages or varied_of(design) == "data set":
        return seeds, ""
    clusters = datasets.judged_clusters(config)
    units, kind = len(set(clusters)), kind_of(clusters)
    clips = level("clips", seeds=0, clips=units, clustered=kind)
    judged = f"generator.test_clips: {config.generator.test_clips}"
    within = f" in {units} {kind}{'' if units == 1 else 's'}" if kind != "clip" else ""
    advice = f"{len(clusters)} test clips are judged ({judged}){within}; judge more, or test over seeds (unit: seeds)"
    return seeds, f"{clips}; {advice}" if clips else ""


def slack_note(design: Design) -> Iterator[str]:
    """Yield a note if a single failed training would make every significant result impossible."""
    fewest = seeds_for(design.alpha, max(1, design.family_size))
    if design.conditions and design.unit != "clips" and design.seeds == fewest:
        yield (
            f"{fewest} seeds are the fewest with which a result can be significant: if one training fails, none can; "
            f"seeds: {fewest + 2} leaves room for two"
        )


def with_columns(table: Published) -> Published:
    """Return `table` with the default columns if the file names none."""
    file = PUBLISHED / table.table
    if table.columns or not file.is_file():
        return table
    header = file.read_text(encoding="utf-8").splitlines()[0].split(",")
    return table.model_copy(update={"columns": {metric: name for metric, name in COLUMNS.items() if name in header}})


def check_published(source: Source, design: Design) -> Iterator[Problem]:
    """Check the published tables of a design: files, rows, columns, and the data set whose values stand beside them."""
    for index, table in enumerate(design.published):
        yield from _check_published(source, design, table, index)
        if table.dataset is not None and table.dataset not in design.parts:
            path: KeyPath = ("published", index) if ("published", index) in source.locations else ("published",)
            message = f"there is no data set {table.dataset!r}; {nearest(table.dataset, filter(None, design.parts))}"
            yield source.problem((*path, "dataset"), message)


def _check_rows(
    source: Source, design: Design, table: Published, *, path: KeyPath, labels: Sequence[str]
) -> Iterator[Problem]:
    """Refuse conditions that there are not, and rows that the table does not have."""
    for condition, label in table.conditions.items():
        if condition not in (BASELINE, *design.conditions, *(design.factorial.cells if design.factorial else ())):
            message = f"there is no condition {condition!r}; {nearest(condition, design.names)}"
            yield source.problem((*path, "conditions", condition), message)
        if label not in labels:
            message = f"{table.table} has no row {label!r}; {nearest(label, labels)}"
            yield source.problem((*path, "conditions", condition), message)
    for number, label in enumerate(table.rows):
        if label not in labels:
            yield source.problem(
                (*path, "rows", number), f"{table.table} has no row {label!r}; {nearest(label, labels)}"
            )


def _check_published(source: Source, design: Design, table: Published, index: int) -> Iterator[Problem]:
    path: KeyPath = ("published", index) if ("published", index) in source.locations else ("published",)
    file = PUBLISHED / table.table
    if not file.is_file():
        tables = [other.name for other in PUBLISHED.glob("*.csv")]
        yield source.problem((*path, "table"), f"there is no such table; {nearest(table.table, tables)}")
        return
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    columns = list(rows[0])
    key = table.key if table.key is not None else columns[0]
    for column in (key, *table.where, *table.columns.values()):
        if column not in columns:
            yield source.problem(path, f"{table.table} has no column {column!r}; {nearest(column, columns)}")
    labels = [row.get(key, "") for row in rows]
    yield from _check_rows(source, design, table, path=path, labels=labels)
    for metric in table.columns:
        if metric_named(metric) is None:
            yield source.problem(
                (*path, "columns", metric), f"there is no such metric; {nearest(metric, ablation_metrics())}"
            )
