"""Checks a search space against the config that it varies: fields, values, conditions, constraints, fixed points."""

import random
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError

from platform.errors import Problem, nearest
from platform.study.config_errors import config_field, config_fields, explain
from platform.study.constraints import Constraint, parse_constraint
from platform.study.domains import AnyDomain, Choice, Value, in_words, is_same_value, kind_of, values_in_words
from platform.study.space import Point, RandomSuggester, Space
from platform.study.unresolved_config import Draft
from trainables.config.trial import TrialConfig, flatten, resolve
from trainables.identity import decisive_names

_DRAWS = 500
"""Number of random points; at least one of them must satisfy the constraints."""


def check_fields(draft: Draft, config: TrialConfig) -> Iterator[Problem]:
    """Check that every swept field exists, changes results, and takes the values of its domain."""
    decisive = set(decisive_names(config))
    values = flatten(config.model_dump())
    for field, domain in draft.domains.items():
        if field not in config_fields():
            available = [name for name in config_fields() if name in values]
            yield draft.problem("space", field, message=f"there is no such field; {nearest(field, available)}")
        elif field in values and field not in decisive:
            message = "changes no result (it sets only how or where stages run), so it cannot be swept"
            yield draft.problem("space", field, message=message)
        else:
            yield from _check_values(draft, field, domain)


def _check_values(draft: Draft, field: str, domain: AnyDomain) -> Iterator[Problem]:
    probes = domain.probes()
    reasons = {
        index: reason
        for index, value in enumerate(probes)
        if (reason := _invalid_reason(draft, field, value)) is not None
    }
    if not reasons:
        return
    kind = kind_of(domain)
    if isinstance(domain, Choice):
        for index, reason in reasons.items():
            yield draft.problem("space", field, kind, index, message=reason)
        return
    first = next(iter(reasons))
    message = f"{reasons[first]}"
    if domain.size == len(probes) and len(reasons) < len(probes):
        usable = [value for index, value in enumerate(probes) if index not in reasons]
        message = f"{len(reasons)} of its {len(probes)} values cannot be used ({message}); write choice: {usable}"
    yield draft.problem("space", field, kind, message=message)


def _invalid_reason(draft: Draft, field: str, value: Value) -> str | None:
    """Return why `value` is not valid for `field`, or None if it is valid."""
    try:
        return conversion_problem(field, value, resolve({**draft.base, field: value}))
    except ValidationError as error:
        entries = error.errors()
    for entry in entries:
        if config_field(entry) == field:
            return explain({**entry, "loc": (field,)}, config_fields())
    # A check of several fields may pass with another value of another swept field.
    for other, domain in draft.domains.items():
        for other_value in domain.probes() if other != field else ():
            try:
                resolve({**draft.base, field: value, other: other_value})
            except ValidationError:
                continue
            return None
    return explain({**entries[0], "loc": (field,)}, config_fields())


def conversion_problem(field: str, value: Any, config: TrialConfig) -> str | None:
    """Return the problem if the config converted `value` to another type, such as `"4"` or `true` to a number."""
    converted = flatten(config.model_dump()).get(field)
    if isinstance(value, list | tuple) and isinstance(converted, list | tuple) and len(value) == len(converted):
        return None if is_same_value(value, converted) else f"must be {in_words(converted)}, but got {in_words(value)}"
    if not isinstance(value, bool | int | float | str) or not isinstance(converted, bool | int | float | str):
        return None
    is_text = isinstance(converted, str) and isinstance(value, str)  # a folder was made absolute
    if is_text or is_same_value(converted, value):
        return None
    return f"must be of the type {type(converted).__name__}, such as {converted!r}, but got {value!r}"


def check_conditions(draft: Draft) -> Iterator[Problem]:
    """Check that every `when` names another swept field and its values, and that the conditions have no cycle."""
    for field, domain in draft.domains.items():
        for other, allowed in domain.when.items():
            if other not in draft.domains:
                message = f"{other} is not a swept field; {nearest(other, draft.domains)}"
                yield draft.problem("space", field, "when", other, message=message)
                continue
            for value in allowed:
                if not draft.domains[other].contains(value):
                    message = f"{in_words(value)} is not in the domain of {other}"
                    yield draft.problem("space", field, "when", other, message=message)
    try:
        in_dependency_order(draft.domains)
    except CycleError as error:
        cycle = error.args[1]
        yield draft.problem("space", cycle[0], "when", message=f"the conditions form a cycle: {' -> '.join(cycle)}")


def in_dependency_order(domains: Mapping[str, AnyDomain]) -> dict[str, AnyDomain]:
    """Return `domains` sorted so that every field follows the fields of its `when`. Raises `graphlib.CycleError`."""
    names = TopologicalSorter({field: [*domain.when] for field, domain in domains.items()}).static_order()
    return {field: domains[field] for field in names if field in domains}


def parse_constraints(draft: Draft, config: TrialConfig) -> tuple[list[Constraint], list[Problem]]:
    """Return the valid constraints, and the problems of the others."""
    fields = flatten(config.model_dump())
    constraints, problems = [], []
    for index, text in enumerate(draft.constraints):
        try:
            constraint = parse_constraint(text)
        except ValueError as error:
            problems.append(draft.problem("constraints", index, message=str(error)))
            continue
        unknown = [field for field in constraint.fields if field not in fields]
        for field in unknown:
            message = f"there is no field {field}; {nearest(field, fields)}"
            problems.append(draft.problem("constraints", index, message=message))
        if not unknown and not any(field in draft.domains for field in constraint.fields):
            message = (
                f"names no swept field, so it is the same for all points; swept fields: {', '.join(draft.domains)}"
            )
            problems.append(draft.problem("constraints", index, message=message))
        constraints.append(constraint)
    return constraints, problems


def complete_points(draft: Draft, space: Space, config: TrialConfig) -> tuple[list[Point], list[Problem]]:
    """Return the points to try first, with the values of missing fields from `config`, and their problems."""
    defaults = flatten(config.model_dump())
    points: list[Point] = []
    problems: list[Problem] = []
    for index, raw in enumerate(draft.points):
        invalid = list(_check_point(draft, space, index, defaults))
        point = _completed(space, flatten(raw), defaults)
        if not invalid and (violated := space.violated(point)) is not None:
            invalid = [draft.problem("points", index, message=f"is not allowed: {violated}")]
        if not invalid and point in points:
            invalid = [draft.problem("points", index, message=f"is the same as point {points.index(point)}: {point}")]
        problems += invalid
        points.append(point)
    return points, problems


def _completed(space: Space, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Point:
    point: Point = {}
    for field in space.fields:
        if space.is_active(field, point):
            value = values.get(field, defaults[field])
            point[field] = tuple(value) if isinstance(value, list) else value
    return point


def _check_point(draft: Draft, space: Space, index: int, defaults: Mapping[str, Any]) -> Iterator[Problem]:
    values = flatten(draft.points[index])
    point = _completed(space, values, defaults)
    for field in values:
        if field not in space.domains:
            message = f"is not swept; {nearest(field, space.fields)}"
        elif field not in point:
            message = f"is swept only when {_condition(space.domains[field])}; remove it"
        else:
            continue
        yield draft.problem("points", index, field, message=message)
    for field, value in point.items():
        if not space.domains[field].contains(value):
            verb = "is" if field in values else "is missing, and in `base` it is"
            domain = values_in_words(space.domains[field])
            yield draft.problem(
                "points", index, field, message=f"{verb} {in_words(value)}, outside the domain {domain}"
            )


def _condition(domain: AnyDomain) -> str:
    return " and ".join(f"{other} is {' or '.join(map(in_words, allowed))}" for other, allowed in domain.when.items())


def check_not_empty(draft: Draft, space: Space) -> Iterator[Problem]:
    """Check that the space has an allowed point. Of a finite space that is small enough, all points are checked."""
    suggester = RandomSuggester(random.Random(0))
    violated: str | None = None
    for _ in range(_DRAWS):
        violated = space.violated(space.suggest(suggester))
        if violated is None:
            return
    key = "constraints" if space.constraints else "space"
    if not space.is_listed:
        refused = f"all of {_DRAWS} random points were refused"
    elif space.grid():
        return
    else:
        refused = f"all {space.size()} points were refused"
    yield draft.problem(key, message=f"leaves no point to try: {refused}, the last one by: {violated}")
