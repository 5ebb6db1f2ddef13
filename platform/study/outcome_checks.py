"""Checks the outcome constraints of a search-space file: metrics that are measured, bounds that can be violated."""

from collections.abc import Iterator, Sequence

from platform.errors import Problem, nearest
from platform.study.outcome_constraints import Bound, OutcomeConstraint
from platform.study.samplers import SAMPLERS
from platform.study.swept_stages import touched
from platform.study.unresolved_config import Draft
from platform.study.yielded import why_not_yielded
from trainables.config.trial import TrialConfig
from trainables.graph import ancestors
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS

_KEY = "outcome_constraints"


def outcome_constraints_of(draft: Draft) -> tuple[OutcomeConstraint, ...]:
    """Return the outcome constraints of a file without problems."""
    return tuple(OutcomeConstraint(METRICS[name], bound) for name, bound in draft.bounds.items())


def check_outcomes(draft: Draft, config: TrialConfig, systems: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the outcome constraints, and why sampler or scheduler cannot be used with them."""
    for name, bound in draft.bounds.items():
        if name not in METRICS:
            yield draft.problem(_KEY, name, message=f"there is no metric {name!r}; {nearest(name, METRICS)}")
        elif (reason := _unusable(draft, METRICS[name], bound, config, systems)) is not None:
            yield draft.problem(_KEY, name, message=reason)
    if draft.bounds:
        yield from _check_search(draft)


def _unusable(draft: Draft, metric: Metric, bound: Bound, config: TrialConfig, systems: Sequence[str]) -> str | None:
    """Return why no bound of `metric` is right for all points; None if one can be."""
    stages = [METRICS[name].stage for name in draft.target if name in METRICS]
    if metric.stage not in ancestors(stages, systems=systems):
        return (
            f"{metric.name} is not measured: the targets do not need the stage {metric.stage}; choose a metric of one "
            f"of the stages {', '.join(dict.fromkeys(stages))}, or make {metric.name} a target"
        )
    dependent = [field for field in draft.domains if any(map(metric.scale_depends_on, touched(field, systems=systems)))]
    if dependent:
        return f"is not comparable across {', '.join(dependent)}, on which its scale depends; bound another metric"
    swept_data = any(field.startswith("dataset.") for field in draft.domains)
    reason = None if swept_data else why_not_yielded(metric, config)
    return _pointless(metric, bound) if reason is None else reason


def _pointless(metric: Metric, bound: Bound) -> str | None:
    """Return that every value or no value of `metric` lies within `bound`, if so."""
    extent = f"values of {metric.name} lie between {metric.low:g} and {metric.high:g}"
    low = metric.low if bound.at_least is None else bound.at_least
    high = metric.high if bound.at_most is None else bound.at_most
    if low > metric.high or high < metric.low:
        return f"no point can satisfy it: {extent}"
    if low <= metric.low and high >= metric.high:
        return f"every point satisfies it: {extent}"
    return None


def _check_search(draft: Draft) -> Iterator[Problem]:
    ((scheduler, _),) = draft.scheduler.items()
    if scheduler != "fifo":
        message = (
            f"{scheduler} stops trials by the target alone, before it is known whether they satisfy {_KEY}; use fifo"
        )
        yield draft.problem("scheduler", message=message)
    if draft.sampler in SAMPLERS and not SAMPLERS[draft.sampler].knows_outcome_constraints:
        able = ", ".join(name for name, sampler in SAMPLERS.items() if sampler.knows_outcome_constraints)
        yield draft.problem("sampler", message=f"{draft.sampler} ignores {_KEY}; use one of: {able}")
