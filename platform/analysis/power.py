"""How many seeds a stated effect needs, by the trials that an ablation has already: its pilot."""

from collections.abc import Iterator

from rich import box
from rich.table import Table

from platform.analysis.collect import AblationResult
from platform.errors import UserError
from platform.study.design import has_clips
from trainables.metrics.registry import metric_named


def power_table(result: AblationResult, stated: str) -> Table:
    """Return the seeds that each declared comparison needs to find what `stated` (`METRIC=EFFECT`) names.

    Raises:
        UserError: It names no declared metric, or the pilot is too small.
    """
    name, _, text = stated.partition("=")
    declared = [one.condition for one in result.design.family if one.metric == name]
    if not declared:
        known = sorted({one.metric for one in result.design.family})
        raise UserError(f"--power {stated}: give METRIC=EFFECT, the metric being one of: {', '.join(known)}")
    try:
        effect = float(text)
        table = Table("comparison", "seeds", "cautious", "at least", "", box=box.SIMPLE)
        for row in _rows(result, name, declared, effect):
            table.add_row(*row)
    except ValueError as error:
        raise UserError(f"--power {stated}: {error}") from error
    return table


def _rows(result: AblationResult, name: str, conditions: list[str], effect: float) -> Iterator[tuple[str, ...]]:
    from platform.statistics.paired import Paired, complete
    from platform.statistics.power import Aim, seeds_needed

    metric, design = metric_named(name), result.design
    assert metric is not None, "it was found when the design was read"
    clips: tuple[int, ...] = (0,)
    if has_clips(name):
        found = result.clips(name)
        values, clips, unit = found.values, found.clips, design.unit
    else:  # a number of a trial as a whole
        values, unit = {arm: array[..., None] for arm, array in result.scalars(name).items()}, "seeds"
    aim = Aim(effect, alpha=design.alpha, family=len(design.family), unit=unit)
    baseline, *_ = result.conditions
    for condition in conditions:
        arms = (values[baseline], values[condition])
        pilot = Paired(condition, metric, *arms, tuple(map(str, result.subjects)), result.seeds, clips)
        plan = seeds_needed(complete(pilot).differences, aim)
        numbers = ["none" if seeds is None else str(seeds) for seeds in (plan.seeds, plan.cautious)]
        yield condition, *numbers, str(plan.fewest), plan.explanation
