"""The baseline against the nearest training clip: does it reconstruct, or would finding a training clip do?

The control `nearest_clip` knows the fMRI. It shows the training clip whose CLIP embedding is nearest to the one that
ridge regression decodes. So a metric in which it does as well cannot tell a reconstruction from a clip that was found.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from platform.analysis.collect import AblationResult
from platform.analysis.condition_values import ConditionValues, comparison_plan, control_table
from platform.analysis.measures import Measure
from platform.statistics.compare import Comparison, compare_exploratory

FINDER = "nearest_clip"


@dataclass(frozen=True)
class FinderTest:
    """The baseline (as condition) against the control (as baseline) in one metric: exploratory, not adjusted."""

    measure: Measure
    comparison: Comparison


def against_finder(result: AblationResult, tables: Iterable[ConditionValues]) -> Iterator[FinderTest]:
    """Yield the comparison in each metric of `tables` in which the control was measured."""
    for values in tables:
        if FINDER in values.controls:
            plan = replace(comparison_plan(result, [values.unit]), margins={})
            comparison = compare_exploratory(control_table(result, values, FINDER), plan)
            if math.isfinite(comparison.difference):
                yield FinderTest(values.measure, comparison)
