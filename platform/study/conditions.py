"""The conditions that an ablation file asks for, written out or generated: components, groups, factorials, sets."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from platform.errors import Problem, nearest
from platform.study import factorial
from platform.study.design import BASELINE, Condition
from platform.study.factorial import LETTERS
from platform.study.overrides import Written, written_at
from platform.study.yaml_source import KeyPath, Source
from trainables.config.presets import GENERATIONS, PRESETS, PROFILES

if TYPE_CHECKING:
    from platform.study.ablation_file import AblationFile

OFFSET = "seed_offset"
"""The one key of a condition that is no config field."""
MAX_ARMS = 1000
_SETS = {name: values for table in (PROFILES, PRESETS, GENERATIONS) for name, values in table.items() if values}


@dataclass(frozen=True)
class Arm:
    """One condition as it was asked for."""

    name: str
    written: Mapping[str, Written]
    """Dotted field to its value and where it stands."""
    path: KeyPath
    """Where the condition itself stands."""
    origin: str
    """The key of the file that asks for it."""
    seed_offset: int = 0
    is_baseline: bool = False
    """Whether it turned out to be the baseline: a level of a factorial that the baseline has already."""

    @property
    def overrides(self) -> dict[str, Any]:
        """Dotted field to value."""
        return {name: one.value for name, one in self.written.items()}

    @property
    def is_generated(self) -> bool:
        """Whether the file did not spell it out, so that it may turn out to be the baseline."""
        return self.origin in ("factorial", "one_at_a_time")

    def condition(self) -> Condition:
        """Return what the design keeps of it."""
        return Condition(overrides=self.overrides, seed_offset=self.seed_offset, origin=self.origin)


@dataclass
class Expansion:
    """Arms, and what is wrong with how they were asked for."""

    arms: list[Arm] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def expand(file: "AblationFile", source: Source, *, baseline: Mapping[str, Any]) -> Expansion:
    """Return every arm that `file` asks for, in the order of the file's keys; names are told apart here."""
    made = Expansion()
    components = {name: _written(made, source, "components", name) for name in file.components}
    makers = {
        "conditions": _spelled_out(file, source, made),
        "leave_one_out": _left_out(file, source, components, made),
        "groups": _grouped(file, source, components, made),
        "add_one_in": _added_in(file, source, components, made),
        "factorial": _crossed(file, source, made),
        "one_at_a_time": _each(file, source, made, baseline),
    }
    for key in source.data:
        made.arms += makers.get(key, ())
    seen: dict[str, Arm] = {}
    for arm in made.arms:
        if arm.name == BASELINE:
            made.problems.append(source.problem(arm.path, f"{BASELINE!r} is the arm that overrides nothing; rename it"))
        elif arm.name in seen:
            what = f"the condition {arm.name} is there already: {source.place(seen[arm.name].path)}"
            made.problems.append(source.problem(arm.path, what))
        seen.setdefault(arm.name, arm)
    if not made.arms and not made.problems and source.data.get("conditions") != {}:
        keys = ", ".join(makers)
        what = f"there is none; name one under one of: {keys}; `conditions: {{}}` replicates the baseline alone"
        made.problems.append(source.problem(("conditions",), what))
    if len(made.arms) > MAX_ARMS:
        made.problems.append(source.problem(made.arms[-1].path, f"{len(made.arms)} conditions; {MAX_ARMS} at most"))
    return made


def aliases(fields: tuple[str, ...], generators: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a fraction confounds, with the letters spelled out; empty for a full factorial."""
    if not generators:
        return ()
    letters = ", ".join(f"{letter} is {name}" for letter, name in zip(LETTERS, fields, strict=False))
    runs = 2 ** (len(fields) - len(generators))
    head = f"{letters}; {runs} of {2 ** len(fields)} cells, resolution {factorial.resolution(len(fields), generators)}"
    return (head, *factorial.aliases(fields, generators))


def _written(made: Expansion, source: Source, *path: str | int) -> dict[str, Written]:
    found, problems = written_at(source, *path)
    made.problems += problems
    return found


def _spelled_out(file: "AblationFile", source: Source, made: Expansion) -> Iterator[Arm]:
    for name in file.conditions:
        path: KeyPath = ("conditions", name)
        written = _written(made, source, *path)
        offset = written.pop(OFFSET, None)
        number = 0 if offset is None else offset.value
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            what = f"must be a whole number of 0 or more, to be added to every seed, but got {number!r}"
            made.problems.append(source.problem((*path, OFFSET), what))
            number = 0
        yield Arm(name, written, path, "conditions", seed_offset=number)


def _left_out(
    file: "AblationFile", source: Source, components: Mapping[str, dict[str, Written]], made: Expansion
) -> Iterator[Arm]:
    for index, name in _known(file.leave_one_out, source, ("leave_one_out",), made, components):
        yield Arm(f"wo_{name}", components[name], ("leave_one_out", index), "leave_one_out")


def _grouped(
    file: "AblationFile", source: Source, components: Mapping[str, dict[str, Written]], made: Expansion
) -> Iterator[Arm]:
    for group, members in file.groups.items():
        names = [name for _, name in _known(members, source, ("groups", group), made, components)]
        yield _together(f"wo_{group}", names, components, path=("groups", group), source=source, made=made)


def _added_in(
    file: "AblationFile", source: Source, components: Mapping[str, dict[str, Written]], made: Expansion
) -> Iterator[Arm]:
    for index, name in _known(file.add_one_in, source, ("add_one_in",), made, components):
        others = [other for other in components if other != name]
        yield _together(f"only_{name}", others, components, path=("add_one_in", index), source=source, made=made)


def _known(
    names: Iterable[str], source: Source, path: KeyPath, made: Expansion, components: Mapping[str, Any]
) -> Iterator[tuple[int, str]]:
    for index, name in enumerate(names):
        if name in components:
            yield index, name
        else:
            what = f"there is no component {name!r} under `components`; {nearest(name, components)}"
            made.problems.append(source.problem((*path, index), what.rstrip("; ")))


def _together(
    name: str,
    members: Iterable[str],
    components: Mapping[str, dict[str, Written]],
    *,
    path: KeyPath,
    source: Source,
    made: Expansion,
) -> Arm:
    """Return the arm without any of `members`, whose removals must not contradict each other."""
    merged: dict[str, Written] = {}
    for member in members:
        for dotted, one in components[member].items():
            if dotted in merged and merged[dotted].value != one.value:
                what = f"{dotted} would be {merged[dotted].value!r} and {one.value!r} at once"
                made.problems.append(source.problem(path, what))
            merged[dotted] = one
    return Arm(name, merged, path, str(path[0]))


def _crossed(file: "AblationFile", source: Source, made: Expansion) -> Iterator[Arm]:
    if file.factorial is None:
        return
    try:
        cells = factorial.cells(file.factorial.fields, file.factorial.generators)
    except ValueError as error:
        made.problems.append(source.problem(("factorial", "generators"), str(error)))
        return
    for cell in cells:
        written = {name: Written(value, ("factorial", "fields", name)) for name, value in cell.items()}
        yield Arm(cell_name(cell), written, ("factorial", "fields"), "factorial")


def _each(file: "AblationFile", source: Source, made: Expansion, baseline: Mapping[str, Any]) -> Iterator[Arm]:
    chosen = file.one_at_a_time
    if chosen is None:
        return
    path: KeyPath = ("one_at_a_time",)
    if chosen not in _SETS:
        what = f"there is no set of settings {chosen!r}; {nearest(chosen, _SETS)}"
        made.problems.append(source.problem(path, what))
        return
    for name, value in _SETS[chosen].items():
        if name not in baseline:
            yield Arm(name, {name: Written(value, path)}, path, "one_at_a_time")


def cell_name(cell: Mapping[str, Any]) -> str:
    """Return `patch_size-2` or `temporal_fusion-cross.spatial_fusion-self`: last parts of fields, with their levels."""
    parts = [f"{name.rpartition('.')[2]}-{_word(value)}" for name, value in cell.items()]
    return ".".join(parts)


def _word(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)


def as_baseline(arm: Arm) -> Arm:
    """Return `arm`, found to be the baseline."""
    return replace(arm, is_baseline=True)
