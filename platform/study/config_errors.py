"""Turns errors of pydantic into messages for the user, with the location of the mistake."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from platform.errors import Problem, nearest
from platform.study.yaml_source import KeyPath, Source
from trainables.config.data import DATASET_CONFIGS
from trainables.config.trial import TrialConfig, config_class

_PARTS = ("train", "test")
"""Fields of `dataset` that are data sets themselves (`dataset.kind: across`)."""


def config_fields() -> Mapping[str, FieldInfo]:
    """Return every dotted field of a trial's config, those of all data sets and of active plug-ins included."""
    return _fields_of_class(config_class())


@cache
def _fields_of_class(config: type[TrialConfig]) -> Mapping[str, FieldInfo]:
    return dict(_fields_of(config, ""))


def takes_text(field: str) -> bool:
    """Return whether the values of a config field are free texts, such as the path of a folder."""
    info = config_fields().get(field)
    return info is not None and info.annotation in (str, str | None)


def _fields_of(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        if name == "dataset":
            for dataset in DATASET_CONFIGS.values():
                yield from _fields_of(dataset, "dataset.")
        elif isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields_of(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def explain(error: Mapping[str, Any], valid_keys: Iterable[str] = ()) -> str:
    """Return the message for one entry of `ValidationError.errors()`: what is wrong, and what would be right.

    For an unknown key it lists the nearest of the `valid_keys`.
    """
    kind, message, received = error["type"], str(error["msg"]), _short(error["input"])
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "extra_forbidden" and (owners := _kinds_with(error["loc"])):
        section = ".".join(map(str, error["loc"][:-1]))
        return f"belongs to data sets of another kind; set {section}.kind, too, to {' or '.join(owners)}"
    if kind == "extra_forbidden":
        return f"there is no such key; {nearest('.'.join(map(str, error['loc'])), valid_keys)}"
    if kind == "missing":
        is_range = isinstance(error["loc"][-1], int)
        return "must be [lower, upper]" if is_range else "is missing; it must be given"
    if kind == "too_long" and context.get("max_length") == 2:
        return f"must be [lower, upper], but got {received}"
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"there is no {received}; {nearest(str(error['input']), names)}"
    if kind == "union_tag_invalid":
        names = re.findall(r"'([^']*)'", str(context["expected_tags"]))
        return f"there is no {context['tag']!r}; {nearest(str(context['tag']), names)}"
    if kind in ("value_error", "no_domain"):
        return message.removeprefix("Value error, ")
    if kind == "model_attributes_type" and error["loc"] == ("dataset",):
        kinds = ", ".join(DATASET_CONFIGS)
        return f"must be a mapping such as {{kind: folder, path: ...}}, but got {received}; kinds: {kinds}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"must be a mapping (`key: value` lines), but got {received}"
    requirement = message.replace("Input should", "must").replace("valid tuple", "list").partition(", ")[0]
    return f"{requirement}, but got {received}"


def _kinds_with(loc: Sequence[str | int]) -> list[str]:
    """Return the kinds of data set that have the field at `loc`, such as ("dataset", "path")."""
    *section, field = loc
    if section != ["dataset"] and section not in ([["dataset", part] for part in _PARTS]):
        return []
    return [kind for kind, config in DATASET_CONFIGS.items() if field in config.model_fields]


def config_problems(error: ValidationError, *, source: Source, paths: Mapping[str, KeyPath]) -> Iterator[Problem]:
    """Yield the problems of the overrides of a `TrialConfig`.

    Args:
        error: The error that `resolve` raised.
        source: The file with the overrides.
        paths: Dotted field to its path in the source.
    """
    for entry in error.errors():
        field = config_field(entry)
        cause = _cause_of(field, str(entry["msg"]), paths)
        text = explain({**entry, "loc": tuple(field.split("."))}, config_fields())
        is_elsewhere = field not in (cause, "") and field not in text
        yield source.problem(paths.get(cause, ("base",)), f"{field}: {text}" if is_elsewhere else text)


def config_field(entry: Mapping[str, Any]) -> str:
    """Return the dotted field that an entry of `ValidationError.errors()` is about; empty for the config as a whole."""
    loc = [str(part) for part in entry["loc"] if not isinstance(part, int)]
    if loc[:1] == ["dataset"] and loc[1:2] and loc[1] in DATASET_CONFIGS:
        del loc[1]
    if len(loc) > 2 and loc[0] == "dataset" and loc[1] in _PARTS and loc[2] in DATASET_CONFIGS:
        del loc[2]
    if entry["type"] in ("union_tag_invalid", "union_tag_not_found"):
        loc.append("kind")
    return ".".join(loc)


def _cause_of(field: str, message: str, paths: Mapping[str, KeyPath]) -> str:
    """Return the one of the fields in `paths` that caused an error in `field`, which may be a whole section."""
    if field in paths:
        return field
    related = [name for name in paths if field == "" or name.startswith(field + ".") or field.startswith(name + ".")]
    in_full = [name for name in related if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", message)]
    mentioned = [name for name in related if re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", message)]
    return next(iter((*in_full, *mentioned, *related)), "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
