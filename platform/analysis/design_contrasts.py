"""Contrasts that follow from a design: effects of its factorial, steps of a path, subjects alone."""

from collections.abc import Iterator
from itertools import pairwise, permutations, product

from platform.analysis.condition_values import ConditionValues, comparison_plan
from platform.analysis.findings import Findings
from platform.statistics.compare import Comparison, compare_exploratory
from platform.statistics.contrasts import Contrast, between, contrast_table, factorial_effects
from platform.statistics.paired import PairedTable
from platform.statistics.prevalence import Prevalence, prevalence
from platform.statistics.signed_p import SignedP, signed_ps
from platform.study.conditions import cell_name
from platform.study.design import BASELINE, Design


def contrasts_of(design: Design) -> tuple[Contrast, ...]:
    """Return the effects of the factorial of `design`, then the steps of its path; none if it has neither."""
    return (*_factorial(design), *_path(design))


def _factorial(design: Design) -> tuple[Contrast, ...]:
    factorial = design.factorial
    if factorial is None:
        return ()
    for order in permutations(factorial.fields):  # names are in the order of the file, but records sort the fields
        fields = {name: factorial.fields[name] for name in order}
        named = {levels: cell_name(dict(zip(fields, levels, strict=True))) for levels in product(*fields.values())}
        if all(name in factorial.cells for name in named.values()):
            return factorial_effects(fields, {levels: factorial.cells[name] for levels, name in named.items()})
    return ()


def _path(design: Design) -> Iterator[Contrast]:
    """Yield the steps from `all_default` to the best point, which `ablate --from` makes the baseline."""
    steps = [name for name in design.order if name.startswith("step")]
    single = [name for name in design.order if name.startswith("default_")]
    if "all_default" in design.conditions and len(steps) == max(0, len(single) - 2):
        for before, after in pairwise(["all_default", *steps, single[-1], BASELINE]):
            yield between(after, before)


def compared_contrasts(findings: Findings) -> tuple[Comparison, ...]:
    """Return the contrasts of the design in all primary metrics: exploratory, not adjusted, without stars."""
    result = findings.result
    return tuple(
        compare_exploratory(_table(findings, contrast, findings.tables[measure.name]), comparison_plan(result, [unit]))
        for contrast in contrasts_of(result.design)
        for measure in findings.measures
        for unit in [findings.tables[measure.name].unit]
    )


def _table(findings: Findings, contrast: Contrast, values: ConditionValues) -> PairedTable:
    axes = (tuple(map(str, findings.result.subjects)), findings.result.seeds, values.clips)
    return contrast_table(contrast, values.by_condition, values.measure.metric, axes, clusters=values.clusters)


def by_subject(findings: Findings, condition: str, metric: str) -> tuple[SignedP, ...]:
    """Return difference and p of `condition` against the baseline in each subject alone: exploratory."""
    values, result = findings.tables[metric], findings.result
    plan = comparison_plan(result, [values.unit])
    tables = []
    for index, subject in enumerate(result.subjects):
        alone = {name: array[index : index + 1] for name, array in values.by_condition.items()}
        axes = ((str(subject),), result.seeds, values.clips)
        contrast = between(condition, BASELINE)
        tables.append(contrast_table(contrast, alone, values.measure.metric, axes, clusters=values.clusters))
    return signed_ps(tables, plan)


def prevalence_of(tested: tuple[SignedP, ...], *, alpha: float) -> Prevalence:
    """Return the prevalence of the effect that most subjects show: significant, in the same direction."""
    significant = [each.difference for each in tested if each.p <= alpha]
    up = sum(difference > 0 for difference in significant)
    # One direction: by chance alone a subject is positive there with half the level.
    return prevalence(max(up, len(significant) - up), len(tested), alpha=alpha / 2, level=1 - alpha)
