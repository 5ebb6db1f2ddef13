"""Reads a search-space file into a `Study`, or reports all its problems."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictStr, ValidationError, field_validator

from platform.errors import Problem, UserError, nearest, refuse
from platform.study import input_checks, sweep_checks, yaml_source
from platform.study.config_errors import explain
from platform.study.domains import DOMAIN_KINDS, AnyDomain, Choice, PositiveInteger, kind_of
from platform.study.earlier_results import EarlierResults
from platform.study.file_name import study_name
from platform.study.outcome_constraints import Bound
from platform.study.overrides import Keys, LocatedValue, absolute, apply_settings, read_overrides
from platform.study.plugin_key import plugins_of_file
from platform.study.samplers import AUTO, SAMPLERS, auto_sampler
from platform.study.schedulers import StopOptions
from platform.study.study import Study
from platform.study.study_file import conversion_problems, file_keys, overridden_config
from platform.study.swept_stages import swept_systems
from platform.study.unresolved_config import Draft
from platform.study.yaml_source import Source
from trainables.config.base import Config
from trainables.config.trial import WEIGHT_FIELDS, TrialConfig, resolve
from trainables.graph import ancestors
from trainables.imported.weights_folder import NETWORK_FIELDS
from trainables.plugins.active import Plugins


class StudyFile(Config):
    """The keys of a search-space file."""

    target: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    """Metric or metrics to optimise, `stage.metric`."""
    plugins: tuple[StrictStr, ...] = ()
    """Plug-ins: Python files, relative to this file, or names of entry points of installed packages (docs/api.md)."""
    space: Annotated[dict[str, AnyDomain], Field(min_length=1)]
    """Dotted config field to the domain that it is swept over."""
    sampler: StrictStr = "tpe"
    """Name of the sampler; `auto` chooses one by targets, conditional fields and early stopping."""
    scheduler: dict[str, dict[str, Any]] = {"fifo": {}}  # noqa: RUF012 (pydantic copies it)
    """Name, or name and options: `{asha: {grace_epochs: 5}}`."""
    trials: Annotated[PositiveInteger, Field(le=100_000)] | None = None
    """Number of points to try. Optional for a grid only: the whole grid is then tried."""
    repeats: Annotated[PositiveInteger, Field(le=1000)] = 1
    """Number of times each point is trained, with the seeds `seed`, `seed + 1`, ..."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    """Seed of the sampler, and training seed of the first repeat."""
    base: dict[str, Any] = Field(default_factory=dict)
    """Overrides for all trials, dotted or nested."""
    constraints: tuple[StrictStr, ...] = ()
    """Expressions over config fields that every point must satisfy: `motion.width >= motion.attention_width`."""
    stop: StopOptions | None = None
    """When the sweep ends before all points are tried: `{hours: 2}`, `{target: 0.4}`, `{no_better_in: 20}`."""
    points: tuple[dict[str, Any], ...] = ()
    """Points to try first; a missing field has its value of `base`."""
    outcome_constraints: dict[str, Bound] = Field(default_factory=dict)
    """Metric to the bound within which it must stay, such as `{motion.rollout_mse: {at_most: 0.5}}`. Points that
    violate one rank after all others."""
    start_from: StrictStr | None = None
    """Earlier sweep, by name or id, whose results the sampler is given. Targets, data and protocol must be the same."""

    @field_validator("target", "plugins", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("scheduler", mode="before")
    @classmethod
    def _with_options(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, Mapping) and len(value) == 1:
            return {name: {} if options is None else options for name, options in value.items()}
        raise ValueError("must be a name or a name with options, such as {asha: {grace_epochs: 5}}")


_SETTABLE = (
    *("target", "sampler", "scheduler", "trials", "repeats", "seed", "stop"),
    *("outcome_constraints", "start_from"),
)
_KEYS = Keys(_SETTABLE, section="base", varied="space")


SEARCH_SPACES = Path("search_spaces")
"""The folder of the project's own files, relative to its root. Commands are run there."""


def load_study(path: Path, settings: Sequence[str] = ()) -> Study:
    """Read `path`, apply `settings` (`key=value`), and check the result.

    Example:
        >>> load_study(Path("search_spaces/cmg.yaml"), ["trials=3"]).trials
        3

    Raises:
        UserError: The file has problems; lists all of them with file, line and column.
    """
    source = read_named(path, SEARCH_SPACES)
    return build_study(source, name=study_name(path), settings=settings)


def read_named(path: Path, ours: Path) -> Source:
    """Read the file of a study. `ours` is the folder of the project's own files of this kind. Raises `UserError`."""
    if not path.exists():
        existing = [str(file) for folder in (path.parent, ours) for file in folder.glob("[!.]*.yaml")]
        raise UserError(f"{path}: there is no such file" + (f"; {nearest(str(path), existing)}" if existing else ""))
    source = yaml_source.read(path)
    if not study_name(path):
        raise UserError(f"{path}: the file's name is the name of the study: it needs a letter from a to z, or a digit")
    return source


def build_study(
    source: Source,
    *,
    name: str,
    settings: Sequence[str] = (),
    plugins: Plugins | None = None,
) -> Study:
    """Return the study that `source` describes; see `load_study`. By default, plug-ins are read from their files."""
    plugins = plugins_of_file(source) if plugins is None else plugins
    with plugins.active():
        study = _checked_study(source, name=name, settings=settings)
    return replace(study, plugins=plugins)


def _checked_study(source: Source, *, name: str, settings: Sequence[str]) -> Study:
    base, problems = read_overrides(source, "base")
    source, base = apply_settings(settings, source=source, base=base, keys=_KEYS)
    config = overridden_config(source, base, problems)
    file = file_keys(StudyFile, source, section="base", problems=problems, explanation=_shape_problems)
    notes: tuple[str, ...] = ()
    if file.sampler == AUTO:
        file, notes = _with_sampler(file)
    problems += (*_stop_problems(file, source), *_start_problems(file, source))
    draft = _draft(file, source, base)
    if config is not None:
        problems += conversion_problems(source, base, config)
    problems += sweep_checks.check_names(draft)
    if config is None:
        refuse(problems)
    assert config is not None
    parts = sweep_checks.build_parts(draft, config, problems=problems)
    stages = [metric.stage for metric in parts.targets]
    systems = swept_systems(draft.domains, config)
    refuse(input_checks.check_inputs(source, config, stages=stages, systems=systems, sections=[("base",)]))
    refuse(_folder_problems(draft, systems))
    needed = ancestors(stages, systems=systems)
    refuse((*_swept_network_problems(draft, config, needed), *_swept_voxel_problems(draft, needed)))
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
        stop=file.stop,
        notes=notes,
        outcome_constraints=parts.outcome_constraints,
        start_from=None if file.start_from is None else EarlierResults(study=file.start_from),
    )


def _with_sampler(file: StudyFile) -> tuple[StudyFile, tuple[str, ...]]:
    """Return `file` with the sampler that `auto` stands for, and a note that names it."""
    sampler, why = auto_sampler(
        targets=len(file.target),
        early_stopping="fifo" not in file.scheduler,
        conditional=any(domain.when for domain in file.space.values()),
    )
    return file.model_copy(update={"sampler": sampler}), (f"sampler auto: {sampler} ({why})",)


def _stop_problems(file: StudyFile, source: Source) -> Iterator[Problem]:
    for key in ("target", "no_better_in"):
        if file.stop is not None and getattr(file.stop, key) is not None and len(file.target) > 1:
            message = f"needs one target, but there are {len(file.target)}; use hours"
            yield source.problem(("stop", key), message)


def _start_problems(file: StudyFile, source: Source) -> Iterator[Problem]:
    if file.start_from is not None and file.sampler in SAMPLERS and not SAMPLERS[file.sampler].learns_from_others:
        able = ", ".join(name for name, sampler in SAMPLERS.items() if sampler.learns_from_others)
        message = (
            f"{file.sampler} cannot use the results of another sweep; use one of: {able}; or list that sweep's best "
            "points under `points`, to try them first"
        )
        yield source.problem(("start_from",), message)


def _folder_problems(draft: Draft, systems: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the videos in each swept folder; that of the base is checked with the other inputs."""
    if "given" not in systems or "given.path" not in draft.domains:
        return
    for number, folder in enumerate(draft.domains["given.path"].probes()):
        config = resolve({**draft.base, "system": "given", "given.path": folder})
        for message in input_checks.given_problems(config):
            yield draft.problem("space", "given.path", "choice", number, message=message)


def _swept_network_problems(draft: Draft, config: TrialConfig, stages: Iterable[str]) -> Iterator[Problem]:
    """Yield swept fields of networks whose weights are imported, and swept weights that cannot be used."""
    needed = frozenset(stages)
    for (stage, kind), fields in NETWORK_FIELDS.items():
        section = getattr(config, stage)
        if stage in needed and section.kind == kind and section.weights is not None:
            for field in sorted(set(fields).intersection(draft.domains)):
                message = f"is swept, but {stage}.weights fixes it; leave one of them out"
                yield draft.problem("space", field, message=message)
    for field in [name for name in draft.domains if name in WEIGHT_FIELDS or name.endswith(".weights")]:
        for number, value in enumerate(draft.domains[field].probes()):
            found = dict(input_checks.network_problems(resolve({**draft.base, field: value}), needed))
            if field in found:
                yield draft.problem("space", field, "choice", number, message=found[field])


def _swept_voxel_problems(draft: Draft, stages: Iterable[str]) -> Iterator[Problem]:
    """Yield swept subjects and numbers of clips that the data set does not have. One that is swept is not checked."""
    if "voxels" not in stages or any(field.startswith("dataset.") for field in draft.domains):
        return
    for field in [name for name in draft.domains if name.startswith("voxels.")]:
        domain = draft.domains[field]
        for number, value in enumerate(domain.probes()):
            try:
                found = dict(input_checks.voxel_problems(resolve({**draft.base, field: value})))
            except ValidationError:  # another swept field allows it (`space_checks.check_fields`)
                continue
            place = ("choice", number) if isinstance(domain, Choice) else (kind_of(domain),)
            if field in found:
                yield draft.problem("space", field, *place, message=found[field])


def _draft(file: StudyFile, source: Source, base: Mapping[str, LocatedValue]) -> Draft:
    return Draft(
        source=source,
        target=file.target,
        sampler=file.sampler,
        scheduler=file.scheduler,
        trials=file.trials,
        repeats=file.repeats,
        domains=file.space,
        constraints=file.constraints,
        points=file.points,
        base={field: absolute(field, located.value) for field, located in base.items()},
        bounds=file.outcome_constraints,
    )


def _shape_problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    for entry in error.errors():
        path = list(entry["loc"])
        valid_keys: Sequence[str] = tuple(StudyFile.model_fields)
        if path[0] == "space" and len(path) > 2:
            del path[2]  # pydantic's name for the kind of domain
            valid_keys = (*DOMAIN_KINDS, "step", "when")
        if path[0] == "stop":
            valid_keys = tuple(StopOptions.model_fields)
        if path[0] == "outcome_constraints":
            valid_keys = tuple(Bound.model_fields)
        if entry["type"] == "extra_forbidden":
            entry["loc"] = entry["loc"][-1:]
        text = explain(dict(entry), valid_keys)
        if entry["type"] == "too_short":
            text = "is empty; name at least one" + (" field and its domain" if path == ["space"] else "")
        yield source.problem(tuple(path), text)
