"""The baseline against its controls: the first question that a report answers.

A control that knows nothing of the clip (`Control.lacks`) shows which value a metric has without decoding. Where the
baseline is not better than all of them, a condition has nothing to lose, and "the same as the baseline" says nothing.

Each control is compared with the baseline's own reconstruction of the same subject, seed and clip, over the unit of the
design. "Better than all controls" is one claim per metric (an intersection-union test, Berger 1982): its p is the
largest of those of the controls, without adjustment over controls. The primary metrics are adjusted by Holm's method,
those of several data sets together.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from platform.analysis.collect import AblationResult
from platform.analysis.condition_values import ConditionValues, comparison_plan, control_table
from platform.analysis.measures import Measure
from platform.statistics.compare import Comparison, compare_exploratory
from platform.statistics.multiplicity import holm
from trainables.judging.controls import is_uninformed

Standing: TypeAlias = Literal["above", "at", "untested"]
"""`above`: better than all controls. `at`: not shown to be. `untested`: too few seeds or clips for any result."""


@dataclass(frozen=True)
class ControlTest:
    """The baseline against the controls that know nothing of the clip, in one metric."""

    measure: Measure
    comparisons: tuple[Comparison, ...]
    """Of the baseline (as condition) against each control (as baseline); `name` is the control."""
    p: float
    """Of "better than all controls": the largest p of a control, 1 for a control that is better. Not adjusted."""
    p_holm: float
    """Adjusted over the primary metrics."""
    standing: Standing

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self.measure.name

    @property
    def hardest(self) -> Comparison:
        """The comparison with the control that is closest to the baseline, or better by most."""
        sign = 1 if self.measure.metric.goal == "max" else -1
        return min(self.comparisons, key=lambda comparison: sign * comparison.difference)


def control_tests(
    parts: Sequence[tuple[AblationResult, Sequence[ConditionValues]]],
) -> tuple[tuple[ControlTest, ...], ...]:
    """Compare the baseline with its controls in every primary metric that has such controls.

    Args:
        parts: The result and the values of the primary metrics in each data set; Holm's adjustment is over all of them.

    Returns:
        The tests in each data set.
    """
    compared = [
        [(values.measure, found) for values in tables if (found := _comparisons(result, values))]
        for result, tables in parts
    ]
    p_values = [max(_p_better(each, measure) for each in found) for of_part in compared for measure, found in of_part]
    adjusted = iter(zip(p_values, holm(p_values), strict=True))
    return tuple(
        tuple(
            _control_test(measure, comparisons, next(adjusted), level=result.design.alpha, family=len(p_values))
            for measure, comparisons in of_part
        )
        for (result, _), of_part in zip(parts, compared, strict=True)
    )


def _control_test(
    measure: Measure, comparisons: tuple[Comparison, ...], p_values: tuple[float, float], *, level: float, family: int
) -> ControlTest:
    p, p_holm = p_values
    return ControlTest(measure, comparisons, p, p_holm, _standing(comparisons, p_holm, level=level, family=family))


def _comparisons(result: AblationResult, values: ConditionValues) -> tuple[Comparison, ...]:
    of_motion = values.measure.metric.of_motion
    names = [name for name in values.controls if is_uninformed(name, of_motion=of_motion)]
    plan = replace(comparison_plan(result, [values.unit]), margins={})
    compared = [compare_exploratory(control_table(result, values, name), plan) for name in names]
    return tuple(comparison for comparison in compared if math.isfinite(comparison.difference))


def _p_better(comparison: Comparison, measure: Measure) -> float:
    """Return the p of "better than this control", two-sided; 1 if the control is as good or better."""
    difference = comparison.difference
    return comparison.p if difference != 0 and measure.sense(difference) == "better" else 1.0


def _standing(comparisons: Sequence[Comparison], p_holm: float, *, level: float, family: int) -> Standing:
    if p_holm <= level:
        return "above"
    attainable = family * max(comparison.smallest_p for comparison in comparisons) <= level
    return "at" if attainable else "untested"


def without_floor_claims(comparison: Comparison, floors: Collection[str]) -> Comparison:
    """Return `comparison` without a claim of sameness if its metric is one of `floors`."""
    if comparison.metric not in floors or comparison.verdict in ("better", "worse"):
        return comparison
    return replace(comparison, verdict="inconclusive", reason="floor")


def floors_of(tests: Iterable[ControlTest]) -> frozenset[str]:
    """Return the metrics in which the baseline is not better than its controls."""
    return frozenset(test.metric for test in tests if test.standing == "at")
