"""What to run after a sweep: its best points against the point tried first, or its best point taken apart."""

from collections.abc import Mapping
from typing import Any, Literal

from platform.analysis.search_result import SearchResult
from platform.errors import UserError
from platform.record.results import Result
from platform.study.design import BASELINE
from platform.study.follow_up import FollowUp, around, baseline_of, changed_fields, difference_of
from platform.study.search_origin import SearchOrigin
from platform.study.space import Point
from trainables.metrics.metric import Metric

Against = Literal["first", "default"]
"""The baseline of a confirmation: the first of the points that the sweep's file lists, or the defaults."""


def confirmation(search: SearchResult, target: Metric, *, top: int, against: Against | None) -> FollowUp:
    """Return the ablation of the `top` best points against the point tried first, or the defaults.

    By default, the baseline is the point that the sweep's file lists first, or the defaults if it lists none.

    Raises:
        UserError: The sweep has no completed point, or none that differs from the baseline.
    """
    order = _ordered(search, target)
    name, values, first = _baseline(search, against)
    same = _identities(search, values)
    others = [point for point in order if _identities(search, dict(point.values)) != same][:top]
    if not others:
        raise UserError(
            f"{search.study.id}: every completed point is equal to {name}, so there is nothing to confirm; "
            "continue the search, or choose the other baseline with --against"
        )
    conditions = {_name(point): difference_of(search.study, dict(point.values), values) for point in others}
    measured = {_name(point): point.metrics[target.name] for point in others}
    if first is not None and (value := first.value(target)) is not None:
        measured = {BASELINE: value, **measured}
    notes = _notes(search, order, others, top=top, same=same, name=name)
    lines = (
        f"Confirms the sweep {search.study.id}: its best points in {target.name} against {name},",
        "trained anew under fresh seeds. Written by `python -m platform.confirm`.",
    )
    return FollowUp(
        name=f"{search.study.name}-confirm",
        heading=lines,
        baseline=baseline_of(search.study, values, target),
        conditions=conditions,
        declared=tuple(conditions),
        origin=_origin(search, target, order, measured),
        notes=notes,
    )


def taken_apart(search: SearchResult, target: Metric) -> FollowUp:
    """Return the ablation of the best point: one field at a time at its default, and the path from the defaults to it.

    Raises:
        UserError: The sweep has no completed point, or its best point is the default.
    """
    best, *_ = order = _ordered(search, target)
    values: Point = dict(best.values)
    if not changed_fields(search.study, values):
        raise UserError(
            f"{search.study.id}: the best point ({_name(best)}) has the default of every swept field, so there is "
            "nothing to put back"
        )
    conditions, declared, notes = around(search.study, values)
    lines = (
        f"Takes the best point of the sweep {search.study.id} apart ({_name(best)}, by {target.name}): one field at a",
        "time at its default, all of them, and the path from the defaults to the best point, a field a step, in the",
        "order of the search space. Written by `python -m platform.ablate --from`.",
    )
    return FollowUp(
        name=f"{search.study.name}-apart",
        heading=lines,
        baseline=baseline_of(search.study, values, target),
        conditions=conditions,
        declared=declared,
        origin=_origin(search, target, order, {BASELINE: best.metrics[target.name]}),
        notes=(*_unfinished(search), *notes),
    )


def _ordered(search: SearchResult, target: Metric) -> tuple[Result, ...]:
    """Return the points with a value, best first. Raises `UserError` if there are none."""
    order = search.ordered_by(target)
    if not order:
        study_id = search.study.id
        if search.completed:
            bounds = ", ".join(each.text for each in search.study.outcome_constraints)
            raise UserError(
                f"none of the {len(search.completed)} completed points of {study_id} satisfies {bounds}, so it has no "
                "best point"
            )
        raise UserError(
            f"{study_id} has no completed point with a value of {target.name} ({search.counts}); python -m "
            f"platform.resume {study_id} continues it (--retry-failed starts failed trials again), python -m "
            f"platform.status {study_id} shows failures"
        )
    return order


def _baseline(search: SearchResult, against: Against | None) -> tuple[str, Point, Result | None]:
    """Return the baseline in words, its values, and its result in the sweep, if it has one."""
    first = search.first
    if against == "first" and first is None:
        raise UserError(
            f"--against first: the file of {search.study.id} lists no point to try first (`points`); use "
            "--against default"
        )
    if first is not None and against != "default":
        return f"the point tried first ({_name(first)})", dict(first.values), first
    if (reason := search.study.space.violated({})) is not None:
        raise UserError(f"--against default: the search space does not allow the defaults: {reason}")
    same = _identities(search, {})
    return "the defaults", {}, next((p for p in search.points if _identities(search, dict(p.values)) == same), None)


def _identities(search: SearchResult, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stage runs that determine all targets of a point, under the sweep's first seed."""
    study = search.study
    runs = study.runs(study.space.config(values), seed=study.seed)
    return tuple(run.identity for run in runs if run.stage in study.stages)


def _notes(
    search: SearchResult,
    order: tuple[Result, ...],
    others: list[Result],
    *,
    top: int,
    same: tuple[str, ...],
    name: str,
) -> tuple[str, ...]:
    notes = list(_unfinished(search))
    if _identities(search, dict(order[0].values)) == same:
        notes.append(f"the best point of the search is the baseline itself, {name}; the next best are compared with it")
    if len(others) < top:
        notes.append(
            f"only {len(others)} of the {top} best points differ from the baseline: no other point has completed"
        )
    return tuple(notes)


def _unfinished(search: SearchResult) -> tuple[str, ...]:
    if search.open_points <= 0:
        return ()
    return (
        f"{search.study.id} is not finished: {search.ended_points} of {search.study.trials} points have ended, and the "
        f"best of these are used; python -m platform.resume {search.study.id} finishes it first",
    )


def _origin(
    search: SearchResult, target: Metric, order: tuple[Result, ...], measured: Mapping[str, float]
) -> SearchOrigin:
    return SearchOrigin(
        study=search.study.id,
        metric=target.name,
        points=len(order),
        repeats=search.study.repeats,
        values=dict(measured),
    )


def _name(point: Result) -> str:
    return f"t{point.point:04d}"
