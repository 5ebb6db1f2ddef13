"""Reads what a sweep takes from an earlier one (`start_from`): results of stage runs that it would run itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from platform.errors import UserError
from platform.events import Proposed, TrialEvent
from platform.record.results import Result, averaged, results_of
from platform.record.study_names import resolve_study
from platform.record.trial_record import reduce_events
from platform.study.domains import as_value
from platform.study.earlier_results import EarlierPoint, EarlierResults
from platform.study.registration import KIND
from platform.study.space import Point
from platform.study.study import Study
from storage import layout
from storage.base import Store
from storage.events import EventLog
from storage.studies import load_calls, load_definition
from storage.typed import check_mapping
from trainables.config.trial import flatten
from trainables.graph import needed_stages
from trainables.identity import decisive_names
from trainables.stage_table import STAGES

_SHOWN = 4
"""The largest number of differing fields that a message shows."""


def with_source_named(study: Study, store: Store) -> Study:
    """Return `study` with the full id of the sweep that it starts from, which is part of its own id.

    Raises:
        UserError: There is no such sweep, or several have the name.
    """
    if study.start_from is None:
        return study
    try:
        source = resolve_study(store, study.start_from.study)
    except UserError as error:
        raise UserError(f"{study.path}: start_from: {error}") from None
    if load_definition(store, source)["definition"].get("kind") == KIND:
        raise UserError(
            f"{study.path}: start_from: {source} is an ablation, whose conditions are no points of a search; "
            "name a sweep"
        )
    return replace(study, start_from=EarlierResults(study=source))


def with_earlier_results(study: Study, store: Store) -> Study:
    """Return `study` with the results of the sweep that it starts from: those that its first call recorded, if any.

    Raises:
        UserError: That sweep has no result that `study` could use, with the reason.
        storage.errors.StoreError: The records are damaged or cannot be read.
    """
    if study.start_from is None:
        return study
    source = study.start_from.study
    if source == study.id:
        raise UserError(f"{study.path}: start_from: {source} is this sweep itself; leave it out to continue it")
    recorded = _recorded(study, store)
    return replace(study, start_from=_read(study, source, store) if recorded is None else recorded)


def _recorded(study: Study, store: Store) -> EarlierResults | None:
    """Return what an earlier call of `study` took; None if there was none."""
    calls = load_calls(store, study.id) if store.exists(layout.study(study.id)) else ()
    taken = next((call["start_from"] for call in calls if "start_from" in call), None)
    return None if taken is None else EarlierResults.model_validate(taken)


def _read(study: Study, source: str, store: Store) -> EarlierResults:
    definition = load_definition(store, source)["definition"]
    check_mapping(definition, space=Mapping[str, Any])
    records = reduce_events(map(TrialEvent.from_json, EventLog(store, source).read()))
    completed = [point for point in averaged(results_of(records.values())) if point.outcome == "COMPLETED"]
    if not completed:
        raise _refusal(study, source, "it has no completed point")
    points: dict[str, EarlierPoint] = {}
    for result in completed:
        proposed = records[result.trial].proposed
        assert proposed is not None, "a trial is proposed before it can finish"
        point = _point(study, source, result, proposed, swept=tuple(definition["space"]))
        if point is not None:
            points.setdefault(str(sorted(point.values.items())), point)
    if not points:
        what = f"none of its {len(completed)} completed points lies in this search space"
        raise _refusal(study, source, f"{what}; write the values that it fixed or tried under `space` or `base`")
    return EarlierResults(study=source, points=tuple(points.values()), left_out=len(completed) - len(points))


def _point(
    study: Study, source: str, result: Result, proposed: Proposed, *, swept: Sequence[str]
) -> EarlierPoint | None:
    """Return a point of the earlier sweep in the fields of `study`; None if the search space does not contain it.

    Raises:
        UserError: `study` would not measure the same: a field that no search varies, a stage or the data differ.
    """
    missing = [target.name for target in study.targets if target.name not in result.metrics]
    if missing:
        raise _refusal(study, source, f"its trials have no {' and no '.join(missing)}, the target here")
    fields = flatten(proposed.config)
    values = _values(study, fields)
    if values is None:
        return None
    if _differs(study, values, proposed):
        _refuse_other(study, source, values, fields, swept)
        return None
    excesses = {each.metric.name: each.excess(result.metrics) for each in study.outcome_constraints}
    return EarlierPoint(
        point=result.point,
        values=values,
        targets=tuple(result.metrics[target.name] for target in study.targets),
        excesses=excesses,
    )


def _values(study: Study, fields: Mapping[str, Any]) -> Point | None:
    """Return the point of the search space with the values of a full config; None if there is none."""
    values: Point = {}
    for name, domain in study.space.domains.items():
        if study.space.is_active(name, values):
            if name not in fields or not domain.contains(as_value(fields[name])):
                return None
            values[name] = as_value(fields[name])
    return values if study.space.violated(values) is None else None


def _differs(study: Study, values: Point, proposed: Proposed) -> bool:
    """Return whether `study` would run other stage runs for its targets than the trial that was `proposed`."""
    runs = study.runs(study.space.config(values), seed=proposed.seed)
    return any(run.identity != proposed.identities.get(run.stage) for run in runs if run.stage in study.stages)


def _refuse_other(study: Study, source: str, values: Point, fields: Mapping[str, Any], swept: Sequence[str]) -> None:
    """Raise `UserError` unless the config with `fields` differs from `values` in a field that is swept there."""
    config = study.space.config(values)
    here = flatten(config.model_dump(mode="json"))
    stages = needed_stages(config, study.stages)
    sections = {section for stage in stages for section in STAGES[stage].sections}
    differing = {
        name: (fields[name], here[name])
        for name in decisive_names(config)
        if name.partition(".")[0] in sections and name in fields and fields[name] != here[name]
    }
    if any(name in swept for name in differing):
        return
    if not differing:
        stage = " or ".join(study.stages)
        raise _refusal(study, source, f"since then the code of {stage} or of a stage before it, or the data, changed")
    texts = [f"{name} (there {there}, here {here})" for name, (there, here) in [*differing.items()][:_SHOWN]]
    more = f" and {len(differing) - _SHOWN} more fields" if len(differing) > _SHOWN else ""
    raise _refusal(study, source, f"it differs in {', '.join(texts)}{more}")


def _refusal(study: Study, source: str, reason: str) -> UserError:
    return UserError(
        f"{study.path}: start_from: the results of {source} cannot be used, since {reason}. Results of another "
        "objective would mislead the sampler; to try the best points of that sweep first, list them under `points`"
    )
