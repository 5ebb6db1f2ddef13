"""Reads an ablation file into an `AblationStudy`, or tells all that is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, ValidationError, field_validator

from platform.errors import Problem, refuse
from platform.study import ablation_checks, conditions
from platform.study.ablation import AblationStudy, ablation_study
from platform.study.config_errors import config_problems, explain
from platform.study.design import BASELINE, Comparison, Design, Factorial, Figure, Published, Unit
from platform.study.input_checks import check_inputs
from platform.study.overrides import Keys, Written, absolute, apply_settings, written_at
from platform.study.space_checks import misread
from platform.study.sweep_file import read_named
from platform.study.yaml_source import KeyPath, Source
from trainables.config.base import Config, Count, Natural
from trainables.config.trial import TrialConfig, resolve

ABLATIONS = Path("ablations")
"""Where the project's own files lie, seen from its root, where commands are run."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]
_KEYS = Keys(("seeds", "seed", "subjects", "alpha", "unit", "primary"), section="baseline", varied="conditions")
_EARLY = ("scheduler", "early_stopping", "pruner", "stop")
"""Keys by which one might ask for early stopping."""


class FactorialFile(Config):
    """The fields whose levels are combined, and which fraction of the combinations is run."""

    fields: Annotated[dict[str, Annotated[tuple[Any, ...], Field(min_length=2)]], Field(min_length=1)]
    generators: tuple[StrictStr, ...] = ()


class AblationFile(Config):
    """The keys of an ablation file. Overrides are read apart, since their places matter."""

    primary: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    """Metrics (`stage.metric`) that the ablation is about."""
    seeds: Annotated[Count, Field(le=1000)]
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    subjects: Annotated[tuple[Natural, ...], Field(min_length=1)] = (0,)
    baseline: dict[str, Any] = Field(default_factory=dict)
    conditions: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    components: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Part of the system to the overrides that take it away."""
    leave_one_out: tuple[StrictStr, ...] = ()
    """Components of which each is taken away by itself: conditions `wo_<component>`."""
    add_one_in: tuple[StrictStr, ...] = ()
    """Components of which each is left alone, all others being taken away: conditions `only_<component>`."""
    groups: dict[Name, Annotated[tuple[StrictStr, ...], Field(min_length=2)]] = Field(default_factory=dict)
    """Components that are taken away together: conditions `wo_<group>`."""
    factorial: FactorialFile | None = None
    one_at_a_time: StrictStr | None = None
    """A named set of settings (`released_code`, ...) of which each is switched on by itself."""
    family: Literal["all"] | dict[str, Literal["all"] | tuple[StrictStr, ...]] = "all"
    """Condition to the metrics in which it is compared; `all` is every condition in every primary metric."""
    unit: Unit = "both"
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    margins: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    tolerance: Annotated[float, Field(gt=0.0)] = 0.1
    published: tuple[Published, ...] = ()
    figures: tuple[Figure, ...] = ()
    """What the report draws beside its usual figures."""

    @field_validator("published", mode="before")
    @classmethod
    def _one_table(cls, value: Any) -> Any:
        return (value,) if isinstance(value, Mapping) else value

    @field_validator("primary", mode="before")
    @classmethod
    def _one_metric(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


def load_ablation(path: Path, settings: Sequence[str] = ()) -> AblationStudy:
    """Read `path`, change it by `settings` (`key=value`), and check all of it.

    Raises:
        UserError: All that is wrong, with file, line and column.
    """
    return build_ablation(read_named(path, ABLATIONS), settings=settings)


def build_ablation(source: Source, *, settings: Sequence[str] = ()) -> AblationStudy:
    """Return the ablation that `source` describes; see `load_ablation`."""
    refuse(_early_stopping(source))
    written, problems = written_at(source, "baseline")
    source, written = apply_settings(settings, source=source, base=written, keys=_KEYS)
    config = _resolved(source, written, problems)
    try:
        file = AblationFile.model_validate({**source.data, "baseline": {}})
    except ValidationError as error:
        refuse([*problems, *_shape_problems(error, source)])
        raise AssertionError from error
    metrics, found = ablation_checks.primary_metrics(source, file.primary)
    refuse([*problems, *found])
    assert config is not None
    baseline = {field: absolute(field, one.value) for field, one in written.items()}
    stages = tuple(dict.fromkeys(metric.stage for metric in metrics))
    largest = resolve({**baseline, "voxels.subject": max(file.subjects)})
    refuse(check_inputs(source, largest, stages=stages, section="baseline"))
    plan = conditions.expand(file, source, baseline={field: one.value for field, one in written.items()})
    standing = ablation_checks.Standing(source, baseline, written, stages, file.seed)
    kept, notes, problems = ablation_checks.check_arms(standing, plan.arms)
    refuse([*plan.problems, *problems])
    factorial = _factorial(file, kept)
    design = Design(
        baseline=baseline,
        conditions={arm.name: arm.condition() for arm in kept if not arm.is_baseline},
        family=_family(file, [arm.name for arm in kept if not arm.is_baseline]),
        factorial=factorial,
        published=tuple(map(ablation_checks.with_columns, file.published)),
        **file.model_dump(include=_PLAIN),
    )
    refuse(ablation_checks.check_design(standing, design, metrics))
    aliases = () if factorial is None else factorial.aliases
    notes = [*notes, *(f"cannot be told apart: {line}" for line in aliases)]
    return ablation_study(design, targets=metrics, source=source.text, path=source.path, notes=notes)


_PLAIN = {"subjects", "seeds", "seed", "primary", "unit", "alpha", "margins", "tolerance", "figures"}


def _resolved(source: Source, written: Mapping[str, Written], problems: list[Problem]) -> TrialConfig | None:
    """Return the baseline's config; or None, and append what is wrong with it to `problems`."""
    if "voxels.subject" in written:
        what = "is set by the key `subjects`; take it out here"
        problems.append(source.problem(written["voxels.subject"].path, what))
    try:
        config = resolve({field: one.value for field, one in written.items()})
    except ValidationError as error:
        paths: dict[str, KeyPath] = {field: one.path for field, one in written.items()}
        problems += config_problems(error, source=source, written=paths)
        return None
    for field, one in written.items():
        what_is_wrong = misread(field, one.value, config)
        if what_is_wrong is not None:
            problems.append(source.problem(one.path, what_is_wrong))
    return config


def _early_stopping(source: Source) -> Iterator[Problem]:
    for key in _EARLY:
        if key in source.data:
            what = "early stopping never touches an arm of an ablation: all trials run to their end; take this key out"
            yield source.problem((key,), what)


def _shape_problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    for entry in error.errors():
        path = [part for part in entry["loc"] if part not in ("[key]", "literal['all']") and "tuple[" not in str(part)]
        if path == ["family"] and entry["type"] == "literal_error" and isinstance(entry["input"], dict):
            continue  # pydantic tells of both forms; the other one fits better
        known: Sequence[str] = tuple(AblationFile.model_fields)
        if path[0] == "published":
            known = tuple(Published.model_fields)
        elif path[0] == "factorial":
            known = tuple(FactorialFile.model_fields)
        if entry["type"] == "extra_forbidden":
            entry["loc"] = entry["loc"][-1:]
        text = explain(dict(entry), known)
        if entry["type"] == "string_pattern_mismatch":
            text = f"{entry['input']!r} names trials and files, so it may hold letters, digits, _ . and - only"
        if entry["type"] == "too_short":
            text = "needs two or more" if path[0] in ("factorial", "groups") else "is empty; name at least one"
        yield source.problem(tuple(path), text)


def _family(file: AblationFile, conditions: Sequence[str]) -> tuple[Comparison, ...]:
    declared = dict.fromkeys(conditions, "all") if isinstance(file.family, str) else file.family
    return tuple(
        Comparison(condition=condition, metric=metric)
        for condition, metrics in declared.items()
        for metric in (file.primary if isinstance(metrics, str) else metrics)
    )


def _factorial(file: AblationFile, kept: Sequence[conditions.Arm]) -> Factorial | None:
    if file.factorial is None:
        return None
    cells = {arm.name: BASELINE if arm.is_baseline else arm.name for arm in kept if arm.origin == "factorial"}
    return Factorial(
        fields=file.factorial.fields,
        generators=file.factorial.generators,
        cells=cells,
        aliases=conditions.aliases(tuple(file.factorial.fields), file.factorial.generators),
    )
