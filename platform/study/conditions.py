"""The conditions of an ablation file: written out, or generated from components, factorials and named sets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from platform.errors import Problem, nearest
from platform.study.ablation_keys import AblationFile
from platform.study.design import BASELINE, Condition
from platform.study.overrides import WrittenValue, written_at
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
    written: Mapping[str, WrittenValue]
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
        return {name: written.value for name, written in self.written.items()}

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
    components = {name: _written(expansion, source, "components", name) for name in file.components}
    makers = {
        "conditions": _spelled_out(file, source, expansion),
        "leave_one_out": _left_out(file, source, components, expansion),
        "factorial": _crossed(file),
        "one_at_a_time": _each(file, source, expansion, baseline),
    }
    for key in source.data:
        expansion.conditions += makers.get(key, ())
    expansion.problems += _name_problems(expansion.conditions, source)
    if not expansion.conditions and not expansion.problems and source.data.get("conditions") != {}:
        keys = ", ".join(makers)
        what = f"there is no condition; name one under one of: {keys}; `conditions: {{}}` runs the baseline alone"
        expansion.problems.append(source.problem(("conditions",), what))
    count = len(expansion.conditions)
    if count > MAX_CONDITIONS:
        what = f"{count} conditions; {MAX_CONDITIONS} at most"
        expansion.problems.append(source.problem(expansion.conditions[-1].path, what))
    return expansion


def _name_problems(conditions: list[WrittenCondition], source: Source) -> Iterator[Problem]:
    seen: dict[str, WrittenCondition] = {}
    for condition in conditions:
        if condition.name == BASELINE:
            yield source.problem(
                condition.path, f"{BASELINE!r} is reserved for the condition without overrides; rename this condition"
            )
        elif condition.name in seen:
            what = f"the condition {condition.name} exists already: {source.place(seen[condition.name].path)}"
            yield source.problem(condition.path, what)
        seen.setdefault(condition.name, condition)


def _written(expansion: Expansion, source: Source, *path: str | int) -> dict[str, WrittenValue]:
    written, problems = written_at(source, *path)
    expansion.problems += problems
    return written


def _spelled_out(file: AblationFile, source: Source, expansion: Expansion) -> Iterator[WrittenCondition]:
    for name in file.conditions:
        path: KeyPath = ("conditions", name)
        written = _written(expansion, source, *path)
        offset = written.pop(OFFSET, None)
        number = 0 if offset is None else offset.value
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            what = f"must be a whole number of 0 or more, to be added to every seed, but got {number!r}"
            expansion.problems.append(source.problem((*path, OFFSET), what))
            number = 0
        yield WrittenCondition(name, written, path, "conditions", seed_offset=number)


def _left_out(
    file: AblationFile, source: Source, components: Mapping[str, dict[str, WrittenValue]], expansion: Expansion
) -> Iterator[WrittenCondition]:
    for index, name in enumerate(file.leave_one_out):
        path: KeyPath = ("leave_one_out", index)
        if name in components:
            yield WrittenCondition(f"wo_{name}", components[name], path, "leave_one_out")
        else:
            what = f"there is no component {name!r} under `components`; {nearest(name, components)}"
            expansion.problems.append(source.problem(path, what.rstrip("; ")))


def _crossed(file: AblationFile) -> Iterator[WrittenCondition]:
    """Yield every combination of levels. The last field varies fastest."""
    if file.factorial is None:
        return
    fields = file.factorial.fields
    for levels in product(*fields.values()):
        cell = dict(zip(fields, levels, strict=True))
        written = {name: WrittenValue(value, ("factorial", "fields", name)) for name, value in cell.items()}
        yield WrittenCondition(cell_name(cell), written, ("factorial", "fields"), "factorial")


def _each(
    file: AblationFile, source: Source, expansion: Expansion, baseline: Mapping[str, Any]
) -> Iterator[WrittenCondition]:
    chosen = file.one_at_a_time
    if chosen is None:
        return
    path: KeyPath = ("one_at_a_time",)
    if chosen not in _SETS:
        what = f"there is no set of settings {chosen!r}; {nearest(chosen, _SETS)}"
        expansion.problems.append(source.problem(path, what))
        return
    for name, value in _SETS[chosen].items():
        if name not in baseline:
            yield WrittenCondition(name, {name: WrittenValue(value, path)}, path, "one_at_a_time")


def cell_name(cell: Mapping[str, Any]) -> str:
    """Return the last parts of the fields with their levels: `temporal_fusion-cross.spatial_fusion-self`."""
    parts = [f"{name.rpartition('.')[2]}-{_word(value)}" for name, value in cell.items()]
    return ".".join(parts)


def _word(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)
