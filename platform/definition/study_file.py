"""Reads a search-space file into a `Study`, or tells all that is wrong with it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictStr, ValidationError, field_validator

from platform.definition import input_checks, study_checks, yaml_source
from platform.definition.config_errors import config_fields, config_problems, explain
from platform.definition.domains import KINDS, AnyDomain, PositiveInteger
from platform.definition.draft import Draft
from platform.definition.space_checks import misread
from platform.definition.study import Study
from platform.definition.yaml_source import KeyPath, Source
from platform.errors import Place, Problem, UserError, nearest, refuse
from trainables.config.base import Config
from trainables.config.trial import TrialConfig, resolve


class StudyFile(Config):
    """The keys of a search-space file."""

    target: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    """Metric or metrics to optimise, `stage.metric`."""
    space: Annotated[dict[str, AnyDomain], Field(min_length=1)]
    """Dotted config field to the domain that it is swept over."""
    sampler: StrictStr = "tpe"
    scheduler: dict[str, dict[str, Any]] = {"fifo": {}}  # noqa: RUF012 (pydantic copies it)
    """Name, or name and options: `{asha: {grace_epochs: 5}}`."""
    trials: Annotated[PositiveInteger, Field(le=100_000)] | None = None
    """Points to try; may be left out for a grid only, which then is tried as a whole."""
    repeats: Annotated[PositiveInteger, Field(le=1000)] = 1
    """How often each point is trained, with the seeds `seed`, `seed + 1`, ..."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    base: dict[str, Any] = Field(default_factory=dict)
    """Overrides that hold for every trial, dotted or nested."""
    constraints: tuple[StrictStr, ...] = ()
    points: tuple[dict[str, Any], ...] = ()
    """Tried first; fields that a point leaves out are as in `base`."""

    @field_validator("target", mode="before")
    @classmethod
    def _one_target(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("scheduler", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, Mapping) and len(value) == 1:
            return {name: {} if options is None else options for name, options in value.items()}
        raise ValueError("must be a name or a name with options, such as {asha: {grace_epochs: 5}}")


_SETTABLE = ("target", "sampler", "scheduler", "trials", "repeats", "seed")
"""Keys that `--set` may change; all other names that it is given are config fields."""


SEARCH_SPACES = Path("search_spaces")
"""Where the project's own files lie, seen from its root, where commands are run."""


def load_study(path: Path, settings: Sequence[str] = ()) -> Study:
    """Read `path`, change it by `settings` (`key=value`), and check all of it.

    Raises:
        UserError: All that is wrong, with file, line and column.
    """
    if not path.exists():
        there = [str(file) for folder in (path.parent, SEARCH_SPACES) for file in folder.glob("*.yaml")]
        raise UserError(f"{path}: there is no such file" + (f"; {nearest(str(path), there)}" if there else ""))
    source = yaml_source.read(path)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", path.stem) is None:
        raise UserError(f"{path}: the file's name names the study, so it may hold letters, digits, - and _ only")
    return build_study(source, name=path.stem, settings=settings)


def build_study(source: Source, *, name: str, settings: Sequence[str] = ()) -> Study:
    """Return the study that `source` describes; see `load_study`."""
    base, problems = _flat_base(source)
    source, base = _apply(settings, source=source, base=base)
    try:
        config = resolve({field: written.value for field, written in base.items()})
    except ValidationError as error:
        config = None
        paths = {field: written.path for field, written in base.items()}
        problems += config_problems(error, source=source, written=paths)
    try:
        file = StudyFile.model_validate({**source.data, "base": {}})
    except ValidationError as error:
        refuse([*problems, *_shape_problems(error, source)])
        raise AssertionError from error
    draft = Draft(
        source=source,
        target=file.target,
        sampler=file.sampler,
        scheduler=file.scheduler,
        trials=file.trials,
        domains=file.space,
        constraints=file.constraints,
        points=file.points,
        base={field: _absolute(field, written.value) for field, written in base.items()},
    )
    if config is not None:
        problems += _misread(draft, config, base)
    problems += study_checks.check_names(draft)
    if config is None:
        refuse(problems)
    assert config is not None
    parts = study_checks.build_parts(draft, config, problems=problems)
    refuse(input_checks.check_inputs(draft, config))
    return Study(
        name=name,
        repeats=file.repeats,
        seed=file.seed,
        source=source.text,
        path=source.path,
        settings=tuple(settings),
        sampler=file.sampler,
        space=parts.space,
        targets=parts.targets,
        scheduler=parts.scheduler,
        trials=parts.trials,
    )


def _absolute(field: str, value: Any) -> Any:
    """Make the data set's folder absolute: workers have other working directories."""
    return str(Path(value).expanduser().absolute()) if field == "dataset.path" else value


def _shape_problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    for entry in error.errors():
        path = list(entry["loc"])
        known: Sequence[str] = tuple(StudyFile.model_fields)
        if path[0] == "space" and len(path) > 2:
            del path[2]  # pydantic's name for the kind of domain
            known = (*KINDS, "step", "when")
        if entry["type"] == "extra_forbidden":
            entry["loc"] = entry["loc"][-1:]
        text = explain(dict(entry), known)
        if entry["type"] == "too_short":
            text = "is empty; name at least one" + (" field and its domain" if path == ["space"] else "")
        yield source.problem(tuple(path), text)


@dataclass(frozen=True)
class Written:
    """A value and where it stands."""

    value: Any
    path: KeyPath


def _flat_base(source: Source) -> tuple[dict[str, Written], list[Problem]]:
    """Return the overrides of `base` by dotted field, and what is wrong with how they are written."""
    raw = source.data.get("base", {})
    if not isinstance(raw, dict):
        return {}, [source.problem(("base",), "must be a mapping of config fields (remove the key if there are none)")]
    flat: dict[str, Written] = {}
    problems = []
    for field, written in _leaves(raw, ("base",)):
        overlapping = [other for other in flat if f"{other}.".startswith(f"{field}.") or field.startswith(f"{other}.")]
        for other in overlapping:
            problems.append(source.problem(written.path, f"given twice; first at {source.place(flat[other].path)}"))
        flat[field] = written
    return flat, problems


def _leaves(mapping: dict[str, Any], path: KeyPath) -> Iterator[tuple[str, Written]]:
    for key, value in mapping.items():
        here = (*path, key)
        if isinstance(value, dict):
            yield from _leaves(value, here)
        else:
            yield ".".join(str(part) for part in here[1:]), Written(value, here)


def _misread(draft: Draft, config: TrialConfig, base: Mapping[str, Written]) -> Iterator[Problem]:
    for field, written in base.items():
        what = misread(field, written.value, config)
        if what is not None:
            yield draft.problem(*written.path, what=what)


def _apply(settings: Sequence[str], *, source: Source, base: dict[str, Written]) -> tuple[Source, dict[str, Written]]:
    """Return `source` and `base` with what the command line sets."""
    source, base = replace(source, data=dict(source.data), places=dict(source.places)), dict(base)
    problems = []
    for setting in settings:
        place = Place(0, 0, f"--set {setting}")
        key, separator, text = setting.partition("=")
        if separator == "" or key == "":
            problems.append(Problem(place, "", "must be KEY=VALUE, such as motion.depth=3 or trials=20"))
            continue
        try:
            value = yaml_source.parse_value(text)
        except UserError:
            problems.append(Problem(place, key, f"{text!r} is no YAML value"))
            continue
        problem = _set(key, value, place=place, source=source, base=base)
        if problem is not None:
            problems.append(problem)
    refuse(problems)
    return source, base


def _set(key: str, value: Any, *, place: Place, source: Source, base: dict[str, Written]) -> Problem | None:
    """Change one key of `source` or `base` in place; return why it cannot be."""
    if key in _SETTABLE:
        source.data[key] = value
        for stale in [path for path in source.places if path[0] == key]:
            del source.places[stale]
        source.places[(key,)] = place
        return None
    swept = source.data.get("space")
    if isinstance(swept, dict) and key in swept:
        return Problem(place, key, f"is swept at {source.place(('space', key))}; take it out there, or do not set it")
    if key not in config_fields():
        return Problem(place, key, f"there is no such key; {nearest(key, (*_SETTABLE, *config_fields()))}")
    path: KeyPath = ("base", key)
    source.places[path] = place
    base[key] = Written(value, path)
    return None
