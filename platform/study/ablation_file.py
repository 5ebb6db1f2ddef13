"""Reads an ablation file into an `AblationStudy`, or reports all its problems."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from platform.errors import Problem, refuse
from platform.study import ablation_checks, conditions
from platform.study.ablation import AblationStudy, ablation_study
from platform.study.ablation_keys import AblationFile, FactorialFile
from platform.study.config_errors import explain
from platform.study.data_sets import (
    WrittenDataSet,
    each_once,
    equal_data_sets,
    problems_once,
    read_data_sets,
    unequal_conditions,
)
from platform.study.design import BASELINE, DeclaredComparison, Design, Factorial, Published
from platform.study.input_checks import check_inputs
from platform.study.overrides import Keys, LocatedValue, absolute, apply_settings, read_overrides
from platform.study.plugin_key import plugins_of_file
from platform.study.search_origin import SearchOrigin, search_problems
from platform.study.study_file import conversion_problems, file_keys, overridden_config
from platform.study.sweep_file import read_named
from platform.study.yaml_source import Source
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.kinds import WITHOUT_ANSWER
from trainables.plugins.active import Plugins

ABLATIONS = Path("ablations")
"""The folder of the project's own files, relative to its root. Commands are run there."""
_KEYS = Keys(("seeds", "seed", "subjects", "alpha", "unit", "vary", "primary"), section="baseline", varied="conditions")
_EARLY_STOPPING_KEYS = ("scheduler", "early_stopping", "pruner", "stop")
"""Keys that would request early stopping."""


def load_ablation(path: Path, settings: Sequence[str] = ()) -> AblationStudy:
    """Read `path`, apply `settings` (`key=value`), and check the result.

    Example:
        >>> load_ablation(Path("ablations/table6.yaml"), ["seeds=12"]).repeats
        12

    Raises:
        UserError: The file has problems; lists all of them with file, line and column.
    """
    return build_ablation(read_named(path, ABLATIONS), settings=settings)


def build_ablation(source: Source, *, settings: Sequence[str] = (), plugins: Plugins | None = None) -> AblationStudy:
    """Return the ablation that `source` describes; see `load_ablation`. By default, plug-ins are read from files."""
    plugins = plugins_of_file(source) if plugins is None else plugins
    with plugins.active():
        study = _checked_ablation(source, settings=settings)
    return replace(study, plugins=plugins)


def _checked_ablation(source: Source, *, settings: Sequence[str]) -> AblationStudy:
    refuse(_early_stopping_problems(source))
    written, problems = read_overrides(source, "baseline")
    source, written = apply_settings(settings, source=source, base=written, keys=_KEYS)
    sets = read_data_sets(source, written, problems)
    configs = _resolved_in(source, written, sets, problems)
    file = file_keys(AblationFile, source, section="baseline", problems=problems, explanation=_shape_problems)
    metrics, metric_problems = ablation_checks.primary_metrics(source, file.primary)
    refuse([*problems, *metric_problems])
    stages = tuple(dict.fromkeys(metric.stage for metric in metrics))
    baselines = {data.name: _written_baseline(source, written, data, file, stages) for data in sets}
    refuse(problems_once({data.name: _input_problems(baselines[data.name], data) for data in sets}))
    refuse(equal_data_sets(source, {name: each.identities(configs[name]) for name, each in baselines.items()}))
    expansion = conditions.expand(file, source, baseline={field: override.value for field, override in written.items()})
    distinct, notes = _distinct_in(baselines, expansion)
    design = _design(file, written, distinct, sets)
    checked = {
        name: ablation_checks.check_design(baselines[name], part, metrics) for name, part in design.parts.items()
    }
    tables = ablation_checks.check_published(source, design)
    refuse([*problems_once(checked), *tables, *search_problems(source, file.search, design)])
    notes = [*notes, *ablation_checks.slack_note(design), *_needed_data(file, configs.values())]
    study = ablation_study(design, targets=metrics, source=source.text, path=source.path, notes=notes)
    return replace(study, settings=tuple(settings), search=file.search)


def _resolved_in(
    source: Source, written: Mapping[str, LocatedValue], sets: Sequence[WrittenDataSet], problems: list[Problem]
) -> Mapping[str, TrialConfig]:
    """Return the baseline's config in each data set; problems are appended to `problems`."""
    found: dict[str, list[Problem]] = {data.name: [] for data in sets}
    resolved = {data.name: _resolved(source, {**written, **data.written}, found[data.name]) for data in sets}
    problems += problems_once(found)
    return {name: config for name, config in resolved.items() if config is not None}


def _written_baseline(
    source: Source,
    written: Mapping[str, LocatedValue],
    data: WrittenDataSet,
    file: AblationFile,
    stages: tuple[str, ...],
) -> ablation_checks.WrittenBaseline:
    """Return the baseline in one data set."""
    both = {**written, **data.written}
    overrides = {field: absolute(field, override.value) for field, override in both.items()}
    return ablation_checks.WrittenBaseline(source, overrides, both, stages, data.subjects_or(file.subjects), file.seed)


def _input_problems(baseline: ablation_checks.WrittenBaseline, data: WrittenDataSet) -> Iterator[Problem]:
    largest = resolve({**baseline.overrides, "voxels.subject": max(baseline.subjects)})
    yield from check_inputs(
        baseline.source, largest, stages=baseline.stages, systems=[largest.system], sections=data.sections
    )


def _distinct_in(
    baselines: Mapping[str, ablation_checks.WrittenBaseline], expansion: conditions.Expansion
) -> tuple[Sequence[conditions.WrittenCondition], list[str]]:
    """Return the conditions that differ from the baseline, which are those of every data set, and notes."""
    found = {name: ablation_checks.distinct_conditions(each, expansion.conditions) for name, each in baselines.items()}
    refuse([*expansion.problems, *problems_once({name: problems for name, (_, _, problems) in found.items()})])
    source = next(iter(baselines.values())).source
    refuse(unequal_conditions(source, {name: distinct for name, (distinct, _, _) in found.items()}))
    notes = [prefix + note for note, prefix in each_once({name: notes for name, (_, notes, _) in found.items()})]
    return next(iter(found.values()))[0], notes


_COPIED_KEYS = {"vary", "subjects", "seeds", "seed", "primary", "unit", "alpha", "margins", "tolerance", "figures"}


def _resolved(source: Source, written: Mapping[str, LocatedValue], problems: list[Problem]) -> TrialConfig | None:
    """Return the config of the baseline. If it has problems, append them to `problems` and return None."""
    if "voxels.subject" in written:
        message = "is set by the key `subjects`; remove it here"
        problems.append(source.problem(written["voxels.subject"].path, message))
    config = overridden_config(source, written, problems)
    if config is not None:
        problems += conversion_problems(source, written, config)
    return config


def _needed_data(file: AblationFile, configs: Iterable[TrialConfig]) -> Iterator[str]:
    """Yield which data the published tables are of, if the study is planned on simulated ones alone."""
    kinds = dict.fromkeys(config.dataset.kind for config in configs)
    if file.needs and not set(kinds) & set(WITHOUT_ANSWER):
        yield (
            f"needs {file.needs}: prepare it (python -m platform.prepare --help) and add dataset.kind=prepared "
            f"dataset.path=FOLDER. As it stands, this is a plan for the simulated data set {', '.join(kinds)}"
        )


def _design(
    file: AblationFile,
    baseline: Mapping[str, LocatedValue],
    distinct: Sequence[conditions.WrittenCondition],
    sets: Sequence[WrittenDataSet],
) -> Design:
    differing = [condition for condition in distinct if not condition.is_baseline]
    return Design(
        baseline={field: absolute(field, override.value) for field, override in baseline.items()},
        conditions={condition.name: condition.in_design() for condition in differing},
        family=_family(file, [condition.name for condition in differing]),
        factorial=_factorial(file, distinct),
        published=tuple(map(ablation_checks.with_columns, file.published)),
        datasets=tuple(data.in_design(file.subjects) for data in sets if data.name),
        **file.model_dump(include=_COPIED_KEYS),
    )


def _early_stopping_problems(source: Source) -> Iterator[Problem]:
    for key in _EARLY_STOPPING_KEYS:
        if key in source.data:
            message = "early stopping is not allowed in an ablation: all trials run to their end; remove this key"
            yield source.problem((key,), message)


def _shape_problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    for entry in error.errors():
        path = [part for part in entry["loc"] if part not in ("[key]", "literal['all']") and "tuple[" not in str(part)]
        if path == ["family"] and entry["type"] == "literal_error" and isinstance(entry["input"], dict):
            continue  # pydantic reports an error for each of the two forms; the other error is clearer
        valid_keys: Sequence[str] = tuple(AblationFile.model_fields)
        if path[0] == "published":
            valid_keys = tuple(Published.model_fields)
        elif path[0] == "factorial":
            valid_keys = tuple(FactorialFile.model_fields)
        elif path[0] == "search":
            valid_keys = tuple(SearchOrigin.model_fields)
        if entry["type"] == "extra_forbidden":
            entry["loc"] = entry["loc"][-1:]
        text = explain(dict(entry), valid_keys)
        if entry["type"] == "string_pattern_mismatch":
            text = f"{entry['input']!r} is used in names of trials and files: use only letters, digits, _ . and -"
        if entry["type"] == "too_short":
            text = "needs two or more" if path[0] == "factorial" else "is empty; name at least one"
        yield source.problem(tuple(path), text)


def _family(file: AblationFile, conditions: Sequence[str]) -> tuple[DeclaredComparison, ...]:
    declared = dict.fromkeys(conditions, "all") if isinstance(file.family, str) else file.family
    return tuple(
        DeclaredComparison(condition=condition, metric=metric)
        for condition, metrics in declared.items()
        for metric in (file.primary if isinstance(metrics, str) else metrics)
    )


def _factorial(file: AblationFile, distinct: Sequence[conditions.WrittenCondition]) -> Factorial | None:
    if file.factorial is None:
        return None
    return Factorial(
        fields=file.factorial.fields,
        cells={
            condition.name: BASELINE if condition.is_baseline else condition.name
            for condition in distinct
            if condition.origin == "factorial"
        },
    )
