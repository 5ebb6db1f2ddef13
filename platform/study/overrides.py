"""Overrides of config fields in a file, and their changes by `--set`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platform.errors import Location, Problem, UserError, nearest, refuse
from platform.study import yaml_source
from platform.study.config_errors import config_fields, takes_text
from platform.study.yaml_source import KeyPath, Source
from trainables.config.base import absolute_source
from trainables.config.trial import WEIGHT_FIELDS


@dataclass(frozen=True)
class LocatedValue:
    """A value and its location in the file."""

    value: Any
    path: KeyPath


def read_overrides(source: Source, *path: str | int) -> tuple[dict[str, LocatedValue], list[Problem]]:
    """Return the overrides at `path` by dotted field, and their problems."""
    raw: Any = source.data
    for key in path:
        raw = raw.get(key, {}) if isinstance(raw, dict) else raw[key]
    if not isinstance(raw, dict):
        return {}, [source.problem(path, "must be a mapping of config fields (remove the key if there are none)")]
    flat: dict[str, LocatedValue] = {}
    problems = []
    for field, located in _leaves(raw, path, len(path)):
        if located.value == {}:
            problems.append(source.problem(located.path, "is empty and sets nothing; write its fields, or remove it"))
            continue
        overlapping = [other for other in flat if f"{other}.".startswith(f"{field}.") or field.startswith(f"{other}.")]
        for other in overlapping:
            problems.append(source.problem(located.path, f"given twice; first at {source.location(flat[other].path)}"))
        flat[field] = located
    return flat, problems


def _leaves(mapping: dict[str, Any], path: KeyPath, depth: int) -> Iterator[tuple[str, LocatedValue]]:
    for key, value in mapping.items():
        key_path = (*path, key)
        if isinstance(value, dict) and value:
            yield from _leaves(value, key_path, depth)
        else:
            yield ".".join(str(part) for part in key_path[depth:]), LocatedValue(value, key_path)


FOLDER_FIELDS = (
    *("dataset.path", "dataset.train.path", "dataset.test.path"),
    *("given.path", "semantic.weights", "structure.weights", "motion.weights"),
)


def absolute(field: str, value: Any) -> Any:
    """Make paths of folders absolute: workers, and who resumes a study, have other working directories."""
    if field in WEIGHT_FIELDS:
        return absolute_source(str(value))
    is_folder = field in FOLDER_FIELDS and "://" not in str(value)  # else the URI of a store
    return str(Path(value).expanduser().absolute()) if is_folder else value


@dataclass(frozen=True)
class Keys:
    """The keys of a kind of file that the command line can change."""

    settable: tuple[str, ...]
    """Keys of the file that `--set` can change; all other names in `--set` are config fields."""
    section: str
    """The key with the overrides of config fields."""
    varied: str
    """The key with the fields that vary between trials. They cannot be set."""


def apply_settings(
    settings: Sequence[str], *, source: Source, base: dict[str, LocatedValue], keys: Keys
) -> tuple[Source, dict[str, LocatedValue]]:
    """Return `source` and `base` with the settings (`key=value`) of the command line. Raises `UserError`."""
    source, base = replace(source, data=dict(source.data), locations=dict(source.locations)), dict(base)
    problems = []
    for setting in settings:
        location = Location(0, 0, f"--set {setting}")
        key, separator, text = setting.partition("=")
        if separator == "" or key == "":
            problems.append(Problem(location, "", "must be KEY=VALUE, such as motion.depth=3 or trials=20"))
            continue
        try:
            value = _value(key, text)
        except UserError:
            problems.append(Problem(location, key, f"{text!r} is not a YAML value"))
            continue
        problem = _set((key, value), location=location, source=source, base=base, keys=keys)
        if problem is not None:
            problems.append(problem)
    refuse(problems)
    return source, base


def _value(key: str, text: str) -> Any:
    """Return the value in `text` as YAML has it. A field of free text takes all of it, unless it is quoted or null.

    In YAML, a path with ` #` in it would end there, and a folder called 2024 would be a number.
    """
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if takes_text(key) and not is_quoted and text not in ("null", "~"):
        return text
    return yaml_source.parse_value(text)


def _set(
    setting: tuple[str, Any], *, location: Location, source: Source, base: dict[str, LocatedValue], keys: Keys
) -> Problem | None:
    """Change one key of `source` or `base` in place; return the problem if it cannot be changed."""
    key, value = setting
    if key in keys.settable:
        source.data[key] = value
        for replaced in [path for path in source.locations if path[0] == key]:
            del source.locations[replaced]
        source.locations[(key,)] = location
        return None
    swept = source.data.get(keys.varied)
    if isinstance(swept, dict) and key in swept:
        return Problem(
            location, key, f"is swept at {source.location((keys.varied, key))}; remove it there, or do not set it"
        )
    if key in FOLDER_FIELDS and value == "":
        return Problem(location, key, "is empty; it must be the path of a folder")
    if key not in config_fields():
        return Problem(location, key, f"there is no such key; {nearest(key, (*keys.settable, *config_fields()))}")
    path: KeyPath = (keys.section, key)
    source.locations[path] = location
    base[key] = LocatedValue(value, path)
    return None
