"""What can be written: config fields, and the keys of sweep and ablation files, each with meaning, default and values.

All of it is read from the models: types and limits from the fields, meanings from the docstrings below them.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from platform.study.ablation_keys import AblationFile
from platform.study.design import Published
from platform.study.domains import DOMAINS, Domain
from platform.study.outcome_constraints import Bound
from platform.study.samplers import AUTO, SAMPLERS
from platform.study.schedulers import REFUSED_SCHEDULERS, SCHEDULERS, StopOptions
from platform.study.search_origin import SearchOrigin
from platform.study.sweep_file import StudyFile
from trainables.config.trial import TrialConfig, config_class, flatten, resolve
from trainables.identity import Circumstance
from trainables.plugins.composed_config import is_composed

_SETS = ("preset=paper", "profile=released_code", "generation=paper")
"""The named sets of settings that change defaults."""


@dataclass(frozen=True)
class FieldHelp:
    """One config field or key of a file."""

    name: str
    """Dotted, as it is written in a file or after `--set`."""
    meaning: str
    values: str
    """Which values it takes."""
    default: str
    """As in YAML; empty where it must be given."""
    kind: str = ""
    """`identity`: another value is another result. `circumstance`: how and where to run. Empty for keys of a file."""
    only_with: str = ""
    """The setting without which it does not exist."""
    sets: Mapping[str, str] = field(default_factory=dict)
    """Named set of settings (`preset=paper`) to the default under it, where that differs."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def config_help() -> tuple[FieldHelp, ...]:
    """Return all config fields, those of active plug-ins included, in the order of the config."""
    return _help_of(config_class())


@cache
def _help_of(config: type[TrialConfig]) -> tuple[FieldHelp, ...]:
    defaults = _defaults({})
    defaults_of_kind = {name: _defaults(dict([name.split("=")])) for name in _SETS}
    return tuple(
        replace(
            entry,
            default=defaults.get(entry.name, entry.default) if not entry.only_with else entry.default,
            sets={
                name: values[entry.name]
                for name, values in defaults_of_kind.items()
                if _changes(entry.name, values, defaults)
            },
        )
        for entry in _merged(_fields_of(config))
    )


@cache
def sweep_keys() -> tuple[FieldHelp, ...]:
    """Return the keys of a sweep file, domains and the options of samplers and schedulers included."""
    keys = {entry.name: entry for entry in _keys_of(StudyFile)}
    keys["sampler"] = replace(keys["sampler"], values=_one_of([*SAMPLERS, AUTO]))
    keys["scheduler"] = replace(keys["scheduler"], values=_one_of(SCHEDULERS), default="fifo")
    return tuple(entry for key in keys.values() for entry in (key, *_below(key.name)))


@cache
def ablation_keys() -> tuple[FieldHelp, ...]:
    """Return the keys of an ablation file."""
    nested: Mapping[str, type[BaseModel]] = {"published": Published, "search": SearchOrigin}
    below = {key: tuple(_keys_of(model, f"{key}.")) for key, model in nested.items()}
    return tuple(entry for key in _keys_of(AblationFile) for entry in (key, *below.get(key.name, ())))


def matching(entries: tuple[FieldHelp, ...], prefix: str) -> tuple[FieldHelp, ...]:
    """Return the entries whose name is `prefix` or lies below it; all if it is empty."""
    return tuple(entry for entry in entries if prefix == "" or f"{entry.name}.".startswith(f"{prefix.rstrip('.')}."))


def _below(key: str) -> Iterator[FieldHelp]:
    """Yield what may be written under a key of a sweep file."""
    if key == "sampler":
        for name, sampler in SAMPLERS.items():
            yield FieldHelp(f"sampler={name}", sampler.purpose, "", "")
        auto = "gp, or tpe with conditional fields, early stopping or two to three targets, or nsga3 with more targets"
        yield FieldHelp(f"sampler={AUTO}", auto, "", "")
    if key == "stop":
        yield from _keys_of(StopOptions, "stop.")
    if key == "outcome_constraints":
        yield from _keys_of(Bound, "outcome_constraints.METRIC.")
    if key == "scheduler":
        for name, options in SCHEDULERS.items():
            yield FieldHelp(f"scheduler={name}", _summary(options), "", "")
            yield from _keys_of(options, f"scheduler.{name}.")
        for name, reason in REFUSED_SCHEDULERS.items():
            yield FieldHelp(f"scheduler={name}", f"Refused: {reason}.", "", "")
    if key == "space":
        for name, domain in DOMAINS.items():
            yield FieldHelp(f"space.FIELD.{name}", _summary(domain), _domain_values(name), "")
        condition = next(entry for entry in _keys_of(Domain, "space.FIELD.") if entry.name == "space.FIELD.when")
        step = "Distance between neighbouring values; only with `uniform` and `int`."
        yield FieldHelp("space.FIELD.step", step, "number > 0, which divides the range", "none")
        yield condition


def _domain_values(kind: str) -> str:
    return "list of values" if kind == "choice" else "[lower, upper]"


def _keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[FieldHelp]:
    for name, info in model.model_fields.items():
        yield _entry(model, name, info, prefix)


def _fields_of(model: type[BaseModel], prefix: str = "", only_with: str = "") -> Iterator[FieldHelp]:
    """Yield the fields of `model` and of the models in it."""
    for name, info in model.model_fields.items():
        models = [] if _is_described(info) else _models_in(info.annotation)
        if models and isinstance(info.discriminator, str):
            yield from _fields_of_kinds(models, info.discriminator, f"{prefix}{name}.")
        elif models:
            yield from _fields_of(models[0], f"{prefix}{name}.", only_with)
        else:
            marks = any(isinstance(mark, Circumstance) for mark in info.metadata)
            kind = "circumstance" if marks else "identity"
            yield replace(_entry(model, name, info, prefix), kind=kind, only_with=only_with)


def _is_described(info: FieldInfo) -> bool:
    """Return whether a field says in words what it takes, so that the models in it are not listed once more."""
    return isinstance(info.json_schema_extra, dict) and "values" in info.json_schema_extra


def _fields_of_kinds(models: Sequence[type[BaseModel]], tag: str, prefix: str) -> Iterator[FieldHelp]:
    """Yield the field that chooses one of `models`, then the fields of each."""
    kinds = [str(model.model_fields[tag].default) for model in models]
    first = next(entry for entry in _fields_of(models[0], prefix) if entry.name == f"{prefix}{tag}")
    yield replace(first, values=f"one of: {', '.join(kinds)}")
    for kind, model in zip(kinds, models, strict=True):
        entries = _fields_of(model, prefix, f"{prefix}{tag}={kind}")
        yield from (entry for entry in entries if entry.name != first.name)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def _merged(entries: Iterator[FieldHelp]) -> list[FieldHelp]:
    """Join entries that differ only in the setting that they need, as fields of several kinds of data set do."""
    merged: dict[tuple[str, ...], list[FieldHelp]] = {}
    for entry in entries:
        merged.setdefault((entry.name, entry.meaning, entry.values, entry.default), []).append(entry)
    return [_joined(group) for group in merged.values()]


def _joined(group: list[FieldHelp]) -> FieldHelp:
    conditions = [entry.only_with for entry in group if entry.only_with]
    options = [condition.partition("=")[2] for condition in conditions]
    joined = f"{conditions[0].partition('=')[0]}={' or '.join(options)}" if conditions else ""
    return replace(group[0], only_with=joined)


def _entry(model: type[BaseModel], name: str, info: FieldInfo, prefix: str) -> FieldHelp:
    key = info.alias if info.alias is not None else name
    schema = _schema(model)
    values = _values(schema["properties"][key], schema.get("$defs", {}))
    return FieldHelp(f"{prefix}{key}", _meaning(model, name), values, _default(info))


@cache
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


def _default(info: FieldInfo) -> str:
    return "" if info.is_required() else _yaml(info.get_default(call_default_factory=True))


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_yaml(item)}' for key, item in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value) if str(value) else '""'


def _defaults(overrides: Mapping[str, Any]) -> dict[str, str]:
    return {name: _yaml(value) for name, value in flatten(resolve(overrides).model_dump(mode="json")).items()}


def _changes(name: str, values: Mapping[str, str], defaults: Mapping[str, str]) -> bool:
    return name in values and values[name] != defaults[name] and name not in ("preset", "profile", "generation")


def _one_of(names: Iterable[str]) -> str:
    return f"one of: {', '.join(names)}"


def _values(schema: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Return in words which values the JSON schema of a field allows."""
    if "values" in schema:
        return str(schema["values"])
    if "$ref" in schema:
        return _values(models[schema["$ref"].rpartition("/")[2]], models)
    if "anyOf" in schema or "oneOf" in schema:
        options = [_values(option, models) for option in schema.get("anyOf", schema.get("oneOf"))]
        return " or ".join(dict.fromkeys(options))
    if "const" in schema or "enum" in schema:
        return f"one of: {', '.join(map(str, schema.get('enum', [schema.get('const')])))}"
    return _plain_values(schema, models)


def _plain_values(schema: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "array" and "prefixItems" in schema:
        return f"[{', '.join(_values(item, models) for item in schema['prefixItems'])}]"
    if kind == "array":
        return f"list of {_values(schema.get('items', {}), models)}"
    type_names = {"boolean": "true or false", "null": "null", "object": "mapping", "string": "text", None: "any value"}
    return "path" if schema.get("format") == "path" else type_names[kind]


def _number(schema: Mapping[str, Any]) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {_yaml(schema[key])}" for key, sign in signs.items() if key in schema]
    return " ".join([schema["type"], ", ".join(limits)]).strip()


def _meaning(model: type[BaseModel], name: str) -> str:
    """Return the docstring of a field, of the nearest class that has one, in one paragraph."""
    for base in model.__mro__:
        if issubclass(base, BaseModel) and name in _docstrings(base):
            return _docstrings(base)[name]
    return ""


def _summary(model: type[BaseModel]) -> str:
    text = inspect.getdoc(model)
    return "" if text is None else " ".join(text.partition("\n\n")[0].split())


@cache
def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the docstrings below the fields that the body of `model` itself defines."""
    if model is BaseModel:
        return {}
    if is_composed(model):
        return {}  # it has no source of its own
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    return {
        statement.target.id: " ".join(text.value.value.split())
        for statement, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
