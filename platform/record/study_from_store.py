"""Records the call that runs a study, and rebuilds the study from the store alone."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from platform.errors import UserError
from platform.record.provenance import tags_here
from platform.record.stored_plugins import named_plugins
from platform.study.ablation import AblationStudy, ablation_study
from platform.study.domains import AnyDomain, as_value
from platform.study.earlier_results import EarlierResults
from platform.study.outcome_constraints import recorded_outcome_constraints
from platform.study.registration import KIND, registered, seeds_of
from platform.study.schedulers import SCHEDULERS, SchedulerConfig, StopOptions
from platform.study.space import Point, Space
from platform.study.space_checks import in_dependency_order
from platform.study.study import Study
from storage.base import Store
from storage.errors import IntegrityError
from storage.events import EventLog
from storage.studies import load_calls, load_definition
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS, metric_named
from trainables.plugins.active import Plugins
from trainables.plugins.recorded import recorded_plugins
from trainables.provenance import LOCK, ROOT

_SWEEP = re.compile(r"(?P<name>[^.]+)-[0-9a-f]{8}(\.(?P<attempt>\d+))?")
_ABLATION = re.compile(r"(?P<name>[^.]+)(\.(?P<attempt>\d+))?")
_DOMAINS: TypeAdapter[dict[str, AnyDomain]] = TypeAdapter(dict[str, AnyDomain])
_HEADER_OF_EARLY_STUDIES = "# This study was run before files were recorded. This is its definition:\n"


def call_of(study: Study, *, root: Path = ROOT) -> dict[str, Any]:
    """Return the record of a call that runs `study`: the file, the command line's settings, the code and its lock.

    They are not part of the definition, since they do not change the study's identity.
    """
    lock = root / LOCK
    return {
        "source": study.source,
        "path": study.path,
        "settings": list(study.settings),
        "trials": study.trials,
        "base": json.loads(json.dumps(dict(study.base))),
        "fields": list(study.space.fields),
        **({} if study.stop is None else {"stop": study.stop.model_dump(mode="json", exclude_none=True)}),
        **({} if study.start_from is None else {"start_from": study.start_from.model_dump(mode="json")}),
        "provenance": tags_here(),
        "lock": lock.read_text(encoding="utf-8") if lock.is_file() else None,
        **recorded_plugins(study.plugins),
    }


def recorded_study(store: Store, study: str) -> Study:
    """Return `study` as it was last run, from the store's records alone. It is complete for views, but cannot be run.

    Raises:
        storage.errors.NotFoundError: There is no such study.
        storage.errors.IntegrityError: Its definition does not match its id.
        UserError: This version of Mindsweep cannot read the definition, for example because of an unknown metric.
    """
    plugins = named_plugins(store, study)
    with plugins.active():
        return _recorded(store, study, plugins)


def _recorded(store: Store, study: str, plugins: Plugins) -> Study:
    definition = load_definition(store, study)["definition"]
    calls = load_calls(store, study)
    try:
        call = calls[-1] if calls else _definition_of_early_study(store, study, definition)
        rebuilt = (_ablation if definition.get("kind") == KIND else _sweep)(store, study, definition, call)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"study {study} cannot be read by this version of Mindsweep: {_reason(error)}") from error
    rebuilt = replace(rebuilt, plugins=plugins)
    # Use the recorded definition: the defaults of this version may give another one.
    vars(rebuilt)["definition"] = definition
    if rebuilt.id != study:
        raise IntegrityError(f"the definition of {study} is that of {rebuilt.id}")
    return rebuilt


def provenance_by_time(calls: Sequence[Mapping[str, Any]]) -> Callable[[float], Mapping[str, str]]:
    """Return a function from a run's start time to its MLflow tags: those of the last of `calls` before that time."""

    def at(time: float) -> Mapping[str, str]:
        before = [call for call in calls if call["time"] <= time]
        tags: Mapping[str, str] = (before or calls[:1] or [{}])[-1].get("provenance", {})
        return tags

    return at


def _sweep(store: Store, study: str, definition: Mapping[str, Any], call: Mapping[str, Any]) -> Study:
    scheduler = dict(definition["scheduler"])
    kind = scheduler.pop("name")
    domains = _DOMAINS.validate_python(definition["space"])
    fields = call["fields"] if sorted(call["fields"]) == sorted(domains) else in_dependency_order(domains)
    return Study(
        name=_name_of(study, _SWEEP),
        space=Space(
            {name: domains[name] for name in fields}, base=call["base"], points=tuple(map(_point, definition["points"]))
        ),
        targets=tuple(METRICS[name] for name in definition["targets"]),
        sampler=definition["sampler"],
        scheduler=SchedulerConfig(kind, SCHEDULERS[kind].model_validate(scheduler)),
        trials=call["trials"],
        repeats=definition["repeats"],
        seed=definition["seed"],
        source=call["source"],
        path=call["path"],
        settings=tuple(call["settings"]),
        attempt=_attempt_of(study, _SWEEP),
        stop=StopOptions.model_validate(call["stop"]) if "stop" in call else None,
        outcome_constraints=recorded_outcome_constraints(definition),
        start_from=EarlierResults.model_validate(call["start_from"]) if "start_from" in call else None,
    )


def _point(values: Mapping[str, Any]) -> Point:
    return {name: as_value(value) for name, value in values.items()}


def _ablation(store: Store, study: str, definition: Mapping[str, Any], call: Mapping[str, Any]) -> AblationStudy:
    registration, amendments = registered(store, study)
    targets = [_metric(name) for name in definition["targets"]]
    study_of_design = ablation_study(registration.design, targets=targets, source=call["source"], path=call["path"])
    return replace(
        study_of_design,
        name=_name_of(study, _ABLATION),
        attempt=_attempt_of(study, _ABLATION),
        settings=tuple(call["settings"]),
        repeats=seeds_of(registration.design, amendments),
        amendments=amendments,
        search=registration.search,
    )


def _metric(name: str) -> Metric:
    metric = metric_named(name)
    if metric is None:
        raise KeyError(name)
    return metric


def _definition_of_early_study(store: Store, study: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call for a study that was run before calls were recorded, as far as it can be derived."""
    name = _name_of(study, _ABLATION if definition.get("kind") == KIND else _SWEEP)
    return {
        "source": _HEADER_OF_EARLY_STUDIES + yaml.safe_dump(definition, allow_unicode=True),
        "path": f"{name}.yaml",
        "settings": [],
        "trials": -(-len(EventLog(store, study).trials()) // definition["repeats"]),
        "base": definition.get("base", {}),
        "fields": [],
    }


def _name_of(study: str, pattern: re.Pattern[str]) -> str:
    match = pattern.fullmatch(study)
    return study if match is None else match["name"]


def _attempt_of(study: str, pattern: re.Pattern[str]) -> int:
    match = pattern.fullmatch(study)
    return 1 if match is None or match["attempt"] is None else int(match["attempt"])


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors())
    return f"{type(error).__name__}: {error}"
