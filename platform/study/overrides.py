"""Overrides of config fields in a file, and their changes by `--set`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platform.errors import Place, Problem, UserError, nearest, refuse
from platform.study import yaml_source
from platform.study.config_errors import config_fields
from platform.study.yaml_source import KeyPath, Source
from trainables.config.base import absolute_source
from trainables.config.trial import WEIGHT_FIELDS


@dataclass(frozen=True)
class WrittenValue:
    """A value and its location in the file."""

    value: Any
    path: KeyPath


def written_at(source: Source, *path: str | int) -> tuple[dict[str, WrittenValue], list[Problem]]:
    """Return the overrides at `path` by dotted field, and their problems."""
    raw: Any = source.data
    for key in path:
        raw = raw.get(key, {}) if isinstance(raw, dict) else raw[key]
    if not isinstance(raw, dict):
        return {}, [source.problem(path, "must be a mapping of config fields (remove the key if there are none)")]
    flat: dict[str, WrittenValue] = {}
    problems = []
    for field, written in _leaves(raw, path, len(path)):
        overlapping = [other for other in flat if f"{other}.".startswith(f"{field}.") or field.startswith(f"{other}.")]
        for other in overlapping:
            problems.append(source.problem(written.path, f"given twice; first at {source.place(flat[other].path)}"))
        flat[field] = written
    return flat, problems


def _leaves(mapping: dict[str, Any], path: KeyPath, depth: int) -> Iterator[tuple[str, WrittenValue]]:
    for key, value in mapping.items():
        here = (*path, key)
        if isinstance(value, dict):
            yield from _leaves(value, here, depth)
        else:
            yield ".".join(str(part) for part in here[depth:]), WrittenValue(value, here)


def absolute(field: str, value: Any) -> Any:
    """Make paths of folders absolute: workers, and who resumes a study, have other working directories."""
    if field in WEIGHT_FIELDS:
        return absolute_source(str(value))
    is_folder = field == "dataset.path" and "://" not in str(value)  # else the URI of a store
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
    settings: Sequence[str], *, source: Source, base: dict[str, WrittenValue], keys: Keys
) -> tuple[Source, dict[str, WrittenValue]]:
    """Return `source` and `base` with the settings (`key=value`) of the command line. Raises `UserError`."""
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
            problems.append(Problem(place, key, f"{text!r} is not a YAML value"))
            continue
        problem = _set((key, value), place=place, source=source, base=base, keys=keys)
        if problem is not None:
            problems.append(problem)
    refuse(problems)
    return source, base


def _set(
    setting: tuple[str, Any], *, place: Place, source: Source, base: dict[str, WrittenValue], keys: Keys
) -> Problem | None:
    """Change one key of `source` or `base` in place; return the problem if it cannot be changed."""
    key, value = setting
    if key in keys.settable:
        source.data[key] = value
        for stale in [path for path in source.places if path[0] == key]:
            del source.places[stale]
        source.places[(key,)] = place
        return None
    swept = source.data.get(keys.varied)
    if isinstance(swept, dict) and key in swept:
        return Problem(place, key, f"is swept at {source.place((keys.varied, key))}; remove it there, or do not set it")
    if key not in config_fields():
        return Problem(place, key, f"there is no such key; {nearest(key, (*keys.settable, *config_fields()))}")
    path: KeyPath = (keys.section, key)
    source.places[path] = place
    base[key] = WrittenValue(value, path)
    return None
