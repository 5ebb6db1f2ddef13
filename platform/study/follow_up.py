"""Ablations that follow a sweep, as the text of their files: its best points confirmed, its best point taken apart."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform.statistics.attainable import seeds_for
from platform.study.design import has_clips
from platform.study.search_origin import SearchOrigin
from platform.study.space import Point
from platform.study.study import Study
from trainables.config.trial import resolve
from trainables.metrics.clip_metrics import EVALUATE
from trainables.metrics.metric import Metric
from trainables.metrics.registry import is_held_out

SUBJECT, TEST_CLIPS = "voxels.subject", "generator.test_clips"
_ALPHA = 0.05
_MORE_SEEDS = 1
"""Seeds beyond the fewest that can earn a star: one failed trial then costs no star."""
_NAME = re.compile(r"(?!(null|true|false)$)[a-z][a-z_]*(\.[a-z_0-9]+)*")
"""Texts that need no quotes."""


@dataclass(frozen=True)
class FollowUp:
    """An ablation that follows a sweep."""

    name: str
    heading: tuple[str, ...]
    """Lines of comment at the top of its file."""
    baseline: Mapping[str, Any]
    """Dotted overrides."""
    conditions: Mapping[str, Mapping[str, Any]]
    """Condition to its dotted overrides on top of the baseline."""
    declared: tuple[str, ...]
    """The conditions that are compared as a family."""
    origin: SearchOrigin
    notes: tuple[str, ...] = field(default=())


def written(follow_up: FollowUp, study: Study, *, seeds: int | None) -> str:
    """Return the text of the ablation's file. Its seeds begin after those of the sweep, so that all of them are fresh.

    Args:
        follow_up: What to run.
        study: The sweep that it follows.
        seeds: Number of seeds; by default one more than the fewest that can earn a star.
    """
    primary = on_test_clips(follow_up.origin.metric)
    count = seeds_for(_ALPHA, len(follow_up.declared)) + _MORE_SEEDS if seeds is None else seeds
    baseline = {name: value for name, value in follow_up.baseline.items() if name != SUBJECT}
    everything = set(follow_up.declared) == set(follow_up.conditions)
    family = {} if everything else {"family": dict.fromkeys(follow_up.declared, "all")}
    plugins = {"plugins": [source.path for source in study.plugins.sources]} if study.plugins.sources else {}
    parts: list[tuple[str, dict[str, Any]]] = [
        (_measured(primary, follow_up.origin.metric), {"primary": [primary], **plugins}),
        ("The subject of the sweep.", {"subjects": [follow_up.baseline.get(SUBJECT, _subject(study))]}),
        (_seeds_note(study), {"seeds": count, "seed": study.seed + study.repeats}),
        (_unit_note(primary), {"unit": "both" if has_clips(primary) else "seeds", "alpha": _ALPHA}),
        ("The baseline.", {"baseline": baseline}),
        ("Each differs from the baseline in:", {"conditions": {n: dict(c) for n, c in follow_up.conditions.items()}}),
        ("These comparisons are declared; all others are exploratory.", family),
        ("What the sweep measured; the report compares it with what is measured here.", _origin(follow_up.origin)),
    ]
    heading = "".join(f"# {line}\n" for line in follow_up.heading)
    return heading + "".join(f"\n# {comment}\n{_yaml(keys)}" for comment, keys in parts if keys)


def on_test_clips(metric: str) -> str:
    """Return the name of `metric` on test clips, or `metric` itself if it has no such form."""
    return metric.replace(".", ".test_", 1) if is_held_out(metric) else metric


def baseline_of(study: Study, values: Point, target: Metric) -> dict[str, Any]:
    """Return the dotted overrides of a point of `study`, with test clips if `target` needs some."""
    overrides = {**study.base, **values}
    clips = resolve({}).generator.test_clips
    if target.stage == EVALUATE and resolve(overrides).generator.test_clips == 0:
        overrides[TEST_CLIPS] = clips
    return overrides


def difference_of(study: Study, values: Point, baseline: Point) -> dict[str, Any]:
    """Return the overrides that make the point `values` of the point `baseline`.

    A conditional field that only the baseline sets is put back to its value without it.
    """
    resolved = study.space.fields_of(values)
    changed: dict[str, Any] = {}
    for name in study.space.fields:
        if name in values and (name not in baseline or baseline[name] != values[name]):
            changed[name] = values[name]
        elif name in baseline and name not in values and resolved[name] != baseline[name]:
            changed[name] = resolved[name]
    return changed


def put_back(study: Study, best: Point, fields: Sequence[str]) -> Point:
    """Return the point `best` with `fields` at their defaults: the values of `base`, or else of the config.

    A conditional field whose condition no longer holds is put back, too.
    """
    defaults = study.space.fields_of({})
    point: Point = {}
    for name in study.space.fields:
        if study.space.is_active(name, point):
            point[name] = defaults[name] if name in fields or name not in best else best[name]
    return point


def changed_fields(study: Study, best: Point) -> list[str]:
    """Return the swept fields in which `best` differs from the defaults, in the order of the search space."""
    defaults = study.space.fields_of({})
    return [name for name in study.space.fields if name in best and best[name] != defaults[name]]


def around(study: Study, best: Point) -> tuple[dict[str, dict[str, Any]], tuple[str, ...], tuple[str, ...]]:
    """Return the conditions around the point `best`, those that are declared, and notes on those that are left out.

    `default_<field>`: one field at its default. `all_default`: all of them. `step<k>_<field>`: all defaults but the
    first k fields, which have their best values: the path from the defaults to the best point.
    """
    fields = changed_fields(study, best)
    short = {name: _leaf(name, fields) for name in fields}
    points = {f"default_{short[name]}": put_back(study, best, [name]) for name in fields}
    if len(fields) > 1:
        points["all_default"] = put_back(study, best, fields)
    declared = tuple(points)
    for count in range(1, len(fields) - 1):  # the last step but one is a `default_` condition already
        points[f"step{count}_{short[fields[count - 1]]}"] = put_back(study, best, fields[count:])
    refused = {name: reason for name, point in points.items() if (reason := study.space.violated(point)) is not None}
    notes = tuple(f"{name} is left out: the search space does not allow it ({why})" for name, why in refused.items())
    conditions = {name: difference_of(study, point, best) for name, point in points.items() if name not in refused}
    return conditions, tuple(name for name in declared if name not in refused), notes


def _leaf(name: str, fields: Sequence[str]) -> str:
    leaf = name.rpartition(".")[2]
    return leaf if sum(other.rpartition(".")[2] == leaf for other in fields) == 1 else name


def _subject(study: Study) -> int:
    return study.space.config({}).voxels.subject


def _measured(primary: str, target: str) -> str:
    if primary != target:
        return f"The target of the sweep ({target}), on test clips, which the sweep did not see."
    return "The target of the sweep. It has no form on test clips: only the training seeds are fresh."


def _seeds_note(study: Study) -> str:
    last = study.seed + study.repeats - 1
    return f"Fresh seeds: the sweep trained under {study.seed if study.repeats == 1 else f'{study.seed} to {last}'}."


def _unit_note(primary: str) -> str:
    return "Tested over seeds and clips." if has_clips(primary) else f"{primary} is a number of a trial, not of a clip."


def _origin(origin: SearchOrigin) -> dict[str, Any]:
    return {"search": {**origin.model_dump(mode="json", exclude={"values"}), "values": dict(origin.values)}}


def _yaml(keys: Mapping[str, Any]) -> str:
    """Return `keys` as YAML that `yaml_source` reads back exactly: values as JSON, inner mappings on own lines."""
    lines = []
    for key, value in keys.items():
        nested = isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values())
        lines += [f"{key}:", *(f"  {name}: {_flow(inner)}" for name, inner in value.items())] if nested else []
        lines += [] if nested else [f"{key}: {_flow(value)}"]
    return "".join(f"{line}\n" for line in lines)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_flow(inner)}' for name, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    is_name = isinstance(value, str) and _NAME.fullmatch(value) is not None
    return value if is_name else json.dumps(value, ensure_ascii=False)
