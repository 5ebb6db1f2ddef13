"""The smallest effects that ablations have shown: a margin as large as one of them makes the word "same" empty.

A margin says which differences count as none. If taking a decoder away costs no more than the margin, a system
without this decoder is "the same". So the margin is compared with every effect that is known: those that the ablation
itself has shown, and those of the finished ablations in the same store.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from platform.analysis.collect import AblationResult, collect_data_sets
from platform.analysis.findings import Findings
from platform.analysis.per_clip import Floats
from platform.errors import UserError
from platform.statistics.multiplicity import holm
from platform.statistics.resampling import sign_flip_p
from platform.study.design import BASELINE
from storage.base import Store
from storage.errors import StoreError
from storage.studies import list_studies

SHARE = 0.2
"""The share of the smallest known effect that is advised as a margin."""
_LARGEST = 2000
"""Number of trials of an ablation beyond which it is not read for the sake of a note."""


@dataclass(frozen=True)
class KnownEffect:
    """A significant difference between a condition and the baseline."""

    metric: str
    condition: str
    size: float
    """Absolute mean difference."""
    study: str


def wide_margins(margins: Mapping[str, float], effects: Iterable[KnownEffect]) -> Iterator[str]:
    """Yield for each metric that its margin is not smaller than the smallest of the known `effects`, if so."""
    smallest: dict[str, KnownEffect] = {}
    for effect in effects:
        if effect.metric not in smallest or effect.size < smallest[effect.metric].size:
            smallest[effect.metric] = effect
    for metric, margin in margins.items():
        known = smallest.get(metric)
        if known is not None and margin >= known.size:
            yield (
                f"the margin of {metric}, {margin:g}, is not smaller than the smallest known effect, {known.size:.3g} "
                f"({known.condition} in {known.study}): within it, a system with that loss counts as the same. A fifth "
                f"of the effect is {SHARE * known.size:.2g}"
            )


def effects_shown(findings: Findings) -> Iterator[KnownEffect]:
    """Yield the significant declared differences of an ablation."""
    for each in findings.declared:
        if each.stars:
            yield KnownEffect(each.metric, each.name, abs(each.difference), findings.result.study)


def effects_in_store(store: Store, metrics: Iterable[str], *, cache: Path, besides: str) -> Iterator[KnownEffect]:
    """Yield the declared effects in `metrics` that other ablations in `store` have shown over seeds, Holm-adjusted.

    Ablations that cannot be read, are not finished or are very large are left out.
    """
    wanted = frozenset(metrics)
    for name in list_studies(store):
        results = () if name == besides else _finished(store, name, cache)
        if results and wanted & set(results[0].design.primary):
            yield from (effect for effect in _over_seeds(results) if effect.metric in wanted)


def _finished(store: Store, name: str, cache: Path) -> tuple[AblationResult, ...]:
    """Return the results of an ablation in each of its data sets; none if it is left out."""
    try:
        results = collect_data_sets(store, name, cache=cache)
    except (ValueError, UserError, StoreError):
        return ()  # a sweep, or an ablation of another version
    trials = sum(len(result.trials) for result in results)
    return results if all(result.complete for result in results) and trials <= _LARGEST else ()


def _over_seeds(results: Sequence[AblationResult]) -> Iterator[KnownEffect]:
    pairs = [(result, each.condition, each.metric) for result in results for each in result.design.family]
    differences = [_differences(*pair) for pair in pairs]
    rng = np.random.default_rng(0)
    p_values = [float(sign_flip_p(values, rng=rng)) if len(values) > 1 else 1.0 for values in differences]
    for (result, condition, metric), values, p in zip(pairs, differences, holm(p_values), strict=True):
        if p <= result.design.alpha and math.isfinite(size := abs(float(values.mean()))):
            yield KnownEffect(metric, condition, size, result.study)


def _differences(result: AblationResult, condition: str, metric: str) -> Floats:
    """Return condition minus baseline for the seeds that all subjects have, [seeds]."""
    values = result.scalars(metric)
    by_subject = values[condition] - values[BASELINE]
    return np.asarray(by_subject[:, np.isfinite(by_subject).all(axis=0)].mean(axis=0))
