"""Several data sets in one ablation: the key `datasets`, and checks that are made for each of them.

    datasets:
      phantom: {dataset.kind: phantom, subjects: [0, 1, 2]}
      cc2017: {dataset.kind: prepared, dataset.path: ~/data/cc2017, subjects: [0]}

Every condition runs in every data set and is compared with the baseline of the same data set, never across data sets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from platform.errors import Problem
from platform.study.conditions import WrittenCondition
from platform.study.design import DataSet
from platform.study.overrides import LocatedValue, absolute, read_overrides
from platform.study.yaml_source import KeyPath, Source

KEY = "datasets"
SUBJECTS = "subjects"
"""The only key of a data set that is not a config field."""
ACROSS = ("train_on", "test_on", "train_from", "test_from", "dataset.train_on", "dataset.test_on", "dataset.test_from")
"""Keys by which one might ask for training on one data set and testing on another."""
_ACROSS = (
    "every condition is trained and tested within its data set, since a decoder reads the voxels of one subject by "
    "their order. Training on one data set and testing on another is possible on atlas regions that both name alike: "
    "dataset: {kind: across, train: {kind: ..., path: ...}, test: {kind: ..., path: ...}}"
)
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class WrittenDataSet:
    """A data set as it is written in the file; without a name, the only one, of the baseline."""

    name: str = ""
    written: Mapping[str, LocatedValue] = field(default_factory=dict)
    """Dotted field to its value and its location in the file."""
    subjects: tuple[int, ...] | None = None
    """None: those of the file."""

    @property
    def sections(self) -> tuple[KeyPath, ...]:
        """The parts of the file with its overrides, the decisive one first."""
        return ((KEY, self.name), ("baseline",)) if self.name else (("baseline",),)

    def in_design(self, subjects: tuple[int, ...]) -> DataSet:
        """Return the data set as part of the design; `subjects` are those of the file."""
        overrides = {name: absolute(name, located.value) for name, located in self.written.items()}
        return DataSet(name=self.name, overrides=overrides, subjects=self.subjects_or(subjects))

    def subjects_or(self, subjects: tuple[int, ...]) -> tuple[int, ...]:
        """Return its subjects, by default `subjects`."""
        return subjects if self.subjects is None else self.subjects


def read_data_sets(
    source: Source, baseline: Mapping[str, LocatedValue], problems: list[Problem]
) -> tuple[WrittenDataSet, ...]:
    """Return the data sets of a file; their problems are appended to `problems`.

    `baseline` has the overrides of the baseline with the settings of the command line.
    """
    raw = source.data.get(KEY)
    if not isinstance(raw, dict) or not raw:  # absent, or refused by the types of the file's keys
        return (WrittenDataSet(),)
    if len(raw) == 1:
        message = "names one data set; name two or more, or write its fields under `baseline`"
        problems.append(source.problem((KEY,), message))
    if "search" in source.data:
        message = "a confirmation is about the data set of its sweep; remove this key, or `search`"
        problems.append(source.problem((KEY,), message))
    return tuple(_read(source, name, baseline, problems) for name in raw)


def _read(source: Source, name: str, baseline: Mapping[str, LocatedValue], problems: list[Problem]) -> WrittenDataSet:
    written, wrong = read_overrides(source, KEY, name)
    problems += wrong
    for across in [key for key in written if key in ACROSS]:
        problems.append(source.problem(written.pop(across).path, _ACROSS))
    subjects = written.pop(SUBJECTS, None)
    for key, located in written.items():
        set_above = baseline.get(key)
        if set_above is not None and source.location(set_above.path).line == 0:
            message = f"is set for the data set {name} at {source.location(located.path)}; change it there"
            problems.append(source.problem(set_above.path, message))
    if subjects is None:
        return WrittenDataSet(name, written)
    if (wrong_subjects := _wrong_subjects(subjects.value)) is not None:
        problems.append(source.problem(subjects.path, wrong_subjects))
        return WrittenDataSet(name, written)
    return WrittenDataSet(name, written, tuple(subjects.value))


def _wrong_subjects(value: Any) -> str | None:
    numbers = value if isinstance(value, list) else [None]
    if not numbers or not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in numbers):
        return f"must be a list of numbers of subjects, from 0, such as [0, 1], but got {value!r}"
    twice = [str(each) for each in dict.fromkeys(numbers) if numbers.count(each) > 1]
    return f"{', '.join(twice)} is listed twice" if twice else None


def equal_data_sets(source: Source, identities: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Yield a problem for each data set whose baseline has the stage runs of an earlier one, from their identities."""
    first_of: dict[tuple[str, ...], str] = {}
    for name, runs in identities.items():
        first = first_of.setdefault(tuple(runs), name)
        if first != name:
            message = f"gives the same results as {first}: it is the same data set, or no primary metric depends on it"
            yield source.problem((KEY, name), message)


def unequal_conditions(source: Source, found: Mapping[str, Sequence[WrittenCondition]]) -> Iterator[Problem]:
    """Yield a problem for each condition that equals the baseline in one data set and differs from it in another."""
    differing = {name: {each.name for each in distinct if not each.is_baseline} for name, distinct in found.items()}
    for name, conditions in differing.items():
        for condition in sorted(set().union(*differing.values()) - conditions):
            message = (
                f"{condition} equals the baseline in this data set but not in the others; every condition must be one "
                "in all data sets"
            )
            yield source.problem((KEY, name), message)


def each_once(found: Mapping[str, Iterable[_Item]]) -> Iterator[tuple[_Item, str]]:
    """Yield what was found for each data set, each once, with a prefix that names those it holds for; empty: for all.

    Example:
        >>> list(each_once({"a": ["x", "y"], "b": ["y"]}))
        [('x', 'data set a: '), ('y', '')]
    """
    names: dict[_Item, list[str]] = {}
    for name, items in found.items():
        for item in dict.fromkeys(items):
            names.setdefault(item, []).append(name)
    for item, having in names.items():
        yield item, "" if len(having) == len(found) else f"data set {', '.join(having)}: "


def problems_once(found: Mapping[str, Iterable[Problem]]) -> Iterator[Problem]:
    """Yield the problems of each data set, each once, with the names of the data sets unless it is one of all."""
    for problem, prefix in each_once(found):
        yield replace(problem, message=prefix + problem.message)
