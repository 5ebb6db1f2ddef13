"""Variance components of the numbers of an ablation: of the baseline, and of the declared differences."""

from collections.abc import Iterator
from dataclasses import dataclass

from platform.analysis.findings import Findings
from platform.analysis.measures import Measure
from platform.statistics.paired import CompleteCases, Values
from platform.statistics.variance_components import VarianceComponents, variance_components
from platform.study.design import BASELINE

SUBJECT, SEED, CLIP, DRAW = "subject", "seed", "clip", "seed and data draw"


@dataclass(frozen=True)
class ComponentsOf:
    """The components of one quantity."""

    measure: Measure
    condition: str
    """The baseline: its values. Another condition: its differences to the baseline."""
    components: VarianceComponents


def components_of(findings: Findings) -> Iterator[ComponentsOf]:
    """Yield the components of each primary metric in the baseline, then of its declared differences.

    Quantities without two factors of several levels are left out, and those with a missing trial: the formulas need a
    value in every cell.
    """
    for measure in findings.measures:
        values = findings.tables[measure.name]
        names = [each.name for each in findings.declared if each.metric == measure.name]
        for condition in (BASELINE, *names):
            cases = values.complete_cases(values.by_condition[BASELINE], values.by_condition[condition])
            if cases.empty or cases.filled.any():
                continue
            of = cases.baseline if condition == BASELINE else cases.condition - cases.baseline
            components = _components(of, cases, own_clips=findings.result.design.varies_data)
            if components is not None:
                yield ComponentsOf(measure, condition, components)


def _components(of: Values, cases: CompleteCases, *, own_clips: bool) -> VarianceComponents | None:
    if not own_clips:
        return variance_components(of, (SUBJECT, SEED, CLIP), clusters=cases.clusters)
    # Each seed has clips of its own: clips are no factor that crosses seeds, so their means stand for a trial.
    return variance_components(of.mean(axis=2), (SUBJECT, DRAW))
