"""The number of seeds that a stated effect needs, estimated from the existing trials of an ablation (the pilot)."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from platform.analysis.collect import AblationResult
from platform.errors import UserError
from platform.study.design import has_clips
from trainables.datasets.clusters import kind_of
from trainables.metrics.registry import metric_named


def power_table(results: Sequence[AblationResult], stated: str) -> Table:
    """Return the number of seeds that each declared comparison needs for the effect `stated` (`METRIC=EFFECT`).

    `results` are those of one ablation in each of its data sets.

    Raises:
        UserError: `stated` names no declared metric, or the pilot is too small.
    """
    name, _, text = stated.partition("=")
    family = results[0].design.family
    declared = [comparison.condition for comparison in family if comparison.metric == name]
    if not declared:
        metrics = sorted({comparison.metric for comparison in family})
        raise UserError(f"--power {stated}: must be METRIC=EFFECT with one of the metrics: {', '.join(metrics)}")
    try:
        effect = float(text)
        table = Table("comparison", "seeds", "cautious", "at least", "", box=box.SIMPLE)
        for result in results:
            for comparison, *cells in _rows(result, name, declared, effect):
                table.add_row(": ".join(filter(None, (result.dataset, comparison))), *cells)
    except ValueError as error:
        raise UserError(f"--power {stated}: {error}") from error
    return table


def _rows(result: AblationResult, name: str, conditions: list[str], effect: float) -> Iterator[tuple[str, ...]]:
    from platform.statistics.clusters import in_clusters
    from platform.statistics.paired import PairedTable, TableIndex, complete_cases
    from platform.statistics.power import PowerTarget, seeds_needed

    metric, design = metric_named(name), result.design
    assert metric is not None, "the design was read with it"
    clips: tuple[int, ...] = (0,)
    clusters: tuple[str, ...] = ()
    if has_clips(name):
        per_clip = result.clips(name)
        values, clips, clusters = per_clip.values, per_clip.clips, per_clip.clusters
        unit = "seeds" if per_clip.own_clips else design.unit
    else:  # one value per trial
        values, unit = {side: array[..., None] for side, array in result.scalars(name).items()}, "seeds"
    aim = PowerTarget(effect, alpha=design.alpha, family=design.family_size, unit=unit, clustered=kind_of(clusters))
    baseline, *_ = result.conditions
    for condition in conditions:
        arrays = (values[baseline], values[condition])
        subjects, no_reasons = tuple(map(str, result.subjects)), dict[TableIndex, str]()
        pilot = PairedTable(condition, metric, *arrays, subjects, result.seeds, clips, no_reasons, clusters)
        plan = seeds_needed(in_clusters(complete_cases(pilot)).differences, aim)
        numbers = ["none" if seeds is None else str(seeds) for seeds in (plan.seeds, plan.cautious)]
        yield condition, *numbers, str(plan.fewest_seeds), plan.explanation
