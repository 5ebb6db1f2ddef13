"""How much each swept field matters for a target, by fANOVA over the study's results."""

from collections.abc import Mapping, Sequence
from typing import Any

from platform.figures.axes import Axis
from platform.record.results import Result
from trainables.metrics.registry import Metric

ENOUGH = 4
"""Completed points below which no importance is computed: a forest over fewer says nothing."""
MOST_LABELS = 10
"""Categories of a field above which none is computed either: Optuna goes through all 2^n of their combinations."""


def importances(results: Sequence[Result], target: Metric, axes: Mapping[str, Axis]) -> dict[str, float]:
    """Return each field's share of the target's variance (fANOVA, Hutter et al. 2014), the largest first.

    Only fields that every completed point has and that take several values; empty if the points are too few, and for
    fewer than two such fields: the share of a single one is all of it, and says nothing.
    """
    usable = [result for result in results if result.value(target) is not None]
    shared = [name for name in axes if all(name in result.values for result in usable) and _varies(name, usable)]
    if len(usable) < ENOUGH or len(shared) < 2 or len({result.value(target) for result in usable}) < 2:
        return {}
    if any(axes[name].kind == "category" and len(axes[name].labels) > MOST_LABELS for name in shared):
        return {}
    import optuna

    from platform.record.optuna_study import in_memory, quiet

    study = in_memory([target])
    distributions = {name: _distribution(axes[name]) for name in shared}
    for result in usable:
        values = {name: _value(axes[name], result.values) for name in shared}
        study.add_trial(optuna.create_trial(params=values, distributions=distributions, value=result.value(target)))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    with quiet():
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _varies(name: str, results: Sequence[Result]) -> bool:
    return len({repr(result.values[name]) for result in results}) > 1


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if axis.kind == "category":
        return CategoricalDistribution(axis.labels)
    return FloatDistribution(axis.low, axis.high, log=axis.kind == "log")


def _value(axis: Axis, values: Mapping[str, Any]) -> str | float:
    position = axis.position(values)
    assert position is not None
    return axis.labels[int(position)] if axis.kind == "category" else position
