"""The conditions of an ablation file: written out, or generated from components, factorials and named sets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from platform.errors import Problem, nearest
from platform.study.ablation_keys import AblationFile
from platform.study.design import BASELINE, Condition
from platform.study.overrides import LocatedValue, absolute, read_overrides
from platform.study.yaml_source import KeyPath, Source
from trainables.config.presets import GENERATIONS, PRESETS, PROFILES

OFFSET = "seed_offset"
"""The only key of a condition that is not a config field."""
MAX_CONDITIONS = 1000
_SETS = {name: values for table in (PROFILES, PRESETS, GENERATIONS) for name, values in table.items() if values}


@dataclass(frozen=True)
class WrittenCondition:
    """A condition as it is written in the file."""

    name: str
    written: Mapping[str, LocatedValue]
    """Dotted field to its value and its location in the file."""
    path: KeyPath
    """The location of the condition in the file."""
    origin: str
    """The key of the file that the condition comes from."""
    seed_offset: int = 0
    is_baseline: bool = False
    """Whether it is equal to the baseline: a level of a factorial that the baseline already has."""

    @property
    def overrides(self) -> dict[str, Any]:
        """Dotted field to value."""
        return {
            name: absolute(name, written.value) if name == "given.path" else written.value
            for name, written in self.written.items()
        }

    @property
    def is_generated(self) -> bool:
        """Whether it is generated, so that it may be equal to the baseline."""
        return self.origin in ("factorial", "one_at_a_time")

    def in_design(self) -> Condition:
        """Return the condition as part of the design."""
        return Condition(overrides=self.overrides, seed_offset=self.seed_offset, origin=self.origin)


@dataclass
class Expansion:
    """Conditions, and the problems of their keys."""

    conditions: list[WrittenCondition] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def expand(file: AblationFile, source: Source, *, baseline: Mapping[str, Any]) -> Expansion:
    """Return all conditions of `file`, in the order of the file's keys, and check that their names are unique."""
    expansion = Expansion()
    components = {name: _read_overrides(expansion, source, "components", name) for name in file.components}
    generators = {
        "conditions": _explicit(file, source, expansion),
        "leave_one_out": _leave_one_out(file, source, components, expansion),
        "factorial": _factorial(file),
        "one_at_a_time": _one_at_a_time(file, source, expansion, baseline),
    }
    for key in source.data:
        expansion.conditions += generators.get(key, ())
    expansion.problems += _name_problems(expansion.conditions, source)
    if not expansion.conditions and not expansion.problems and source.data.get("conditions") != {}:
        keys = ", ".join(generators)
        message = f"there is no condition; name one under one of: {keys}; `conditions: {{}}` runs the baseline alone"
        expansion.problems.append(source.problem(("conditions",), message))
    count = len(expansion.conditions)
    if count > MAX_CONDITIONS:
        message = f"{count} conditions; {MAX_CONDITIONS} at most"
        expansion.problems.append(source.problem(expansion.conditions[-1].path, message))
    return expansion


def _name_problems(conditions: list[WrittenCondition], source: Source) -> Iterator[Problem]:
    first_of_name: dict[str, WrittenCondition] = {}
    for condition in conditions:
        if condition.name == BASELINE:
            yield source.problem(
                condition.path, f"{BASELINE!r} is reserved for the condition without overrides; rename this condition"
            )
        elif condition.name in first_of_name:
            message = (
                f"the condition {condition.name} exists already: {source.location(first_of_name[condition.name].path)}"
            )
            yield source.problem(condition.path, message)
        first_of_name.setdefault(condition.name, condition)


def _read_overrides(expansion: Expansion, source: Source, *path: str | int) -> dict[str, LocatedValue]:
    written, problems = read_overrides(source, *path)
    expansion.problems += problems
    return written


def _explicit(file: AblationFile, source: Source, expansion: Expansion) -> Iterator[WrittenCondition]:
    for name in file.conditions:
        path: KeyPath = ("conditions", name)
        written = _read_overrides(expansion, source, *path)
        offset = written.pop(OFFSET, None)
        number = 0 if offset is None else offset.value
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            message = f"must be a whole number of 0 or more, to be added to every seed, but got {number!r}"
            expansion.problems.append(source.problem((*path, OFFSET), message))
            number = 0
        yield WrittenCondition(name, written, path, "conditions", seed_offset=number)


def _leave_one_out(
    file: AblationFile, source: Source, components: Mapping[str, dict[str, LocatedValue]], expansion: Expansion
) -> Iterator[WrittenCondition]:
    for index, name in enumerate(file.leave_one_out):
        path: KeyPath = ("leave_one_out", index)
        if name in components:
            yield WrittenCondition(f"wo_{name}", components[name], path, "leave_one_out")
        else:
            message = f"there is no component {name!r} under `components`; {nearest(name, components)}"
            expansion.problems.append(source.problem(path, message.rstrip("; ")))


def _factorial(file: AblationFile) -> Iterator[WrittenCondition]:
    """Yield every combination of levels. The last field varies fastest."""
    if file.factorial is None:
        return
    fields = file.factorial.fields
    for levels in product(*fields.values()):
        cell = dict(zip(fields, levels, strict=True))
        written = {name: LocatedValue(value, ("factorial", "fields", name)) for name, value in cell.items()}
        yield WrittenCondition(cell_name(cell), written, ("factorial", "fields"), "factorial")


def _one_at_a_time(
    file: AblationFile, source: Source, expansion: Expansion, baseline: Mapping[str, Any]
) -> Iterator[WrittenCondition]:
    set_name = file.one_at_a_time
    if set_name is None:
        return
    path: KeyPath = ("one_at_a_time",)
    if set_name not in _SETS:
        message = f"there is no set of settings {set_name!r}; {nearest(set_name, _SETS)}"
        expansion.problems.append(source.problem(path, message))
        return
    for name, value in _SETS[set_name].items():
        if name not in baseline:
            yield WrittenCondition(name, {name: LocatedValue(value, path)}, path, "one_at_a_time")


def cell_name(cell: Mapping[str, Any]) -> str:
    """Return the last parts of the fields with their levels: `temporal_fusion-cross.spatial_fusion-self`."""
    parts = [f"{name.rpartition('.')[2]}-{_level_text(value)}" for name, value in cell.items()]
    return ".".join(parts)


def _level_text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)
