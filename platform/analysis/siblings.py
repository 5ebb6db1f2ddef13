"""The other attempts at an ablation (`--fork`): what they concluded, so that no attempt is chosen by its result."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from platform.analysis.collect import AblationResult, collect_data_sets
from platform.analysis.findings import declared_comparisons
from storage import layout
from storage.base import Store


@dataclass(frozen=True)
class Sibling:
    """Another attempt at the same ablation."""

    study: str
    sha256: str
    seeds: int
    ended: int
    """How many of its planned trials have ended."""
    trials: int
    stars: int
    """Declared comparisons with a star."""
    verdicts: tuple[tuple[str, int], ...]
    """Verdict to the number of declared comparisons, the most frequent first."""


def siblings_of(store: Store, study: str, *, cache: Path) -> tuple[Sibling, ...]:
    """Return the other attempts at ablation `study` that `store` has, in order.

    Raises:
        UserError: An attempt was registered with a metric that this version does not have.
    """
    others = [other for other in _attempts(store, study) if other != study]
    return tuple(_sibling(collect_data_sets(store, other, cache=cache)) for other in others)


def _attempts(store: Store, study: str) -> Iterator[str]:
    name = study.partition(".")[0]  # names have no dots
    for number in count(1):
        attempt = name if number == 1 else f"{name}.{number}"
        if not store.exists(layout.study(attempt)):
            return
        yield attempt


def _sibling(results: Sequence[AblationResult]) -> Sibling:
    """Return the attempt with these results, one for each data set."""
    declared = [comparison for of_part in declared_comparisons(results) for comparison in of_part]
    trials = [trial for result in results for trial in result.trials.values()]
    return Sibling(
        study=results[0].study,
        sha256=results[0].registration.sha256,
        seeds=results[0].design.seeds,
        ended=sum(trial.outcome is not None for trial in trials),
        trials=len(trials),
        stars=sum(comparison.stars != "" for comparison in declared),
        verdicts=tuple(Counter(comparison.verdict for comparison in declared).most_common()),
    )
