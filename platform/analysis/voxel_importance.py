"""Importance of regions for each decoder, compared with the planted regions, from the stage `importance`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from platform.analysis.collect import AblationResult
from platform.analysis.per_clip import Floats
from platform.study.design import BASELINE
from storage.errors import StoreError

_STAGE = "importance"
PLANTED = "planted"
_ORDERS = 20_000


@dataclass(frozen=True)
class RegionMap:
    """The importance for one decoder by one method, over the trials of the baseline."""

    decoder: str
    method: str
    regions: tuple[str, ...]
    importance: Floats
    """[trials, regions], as the stage reports it."""
    planted: Floats | None
    """[regions]: mean share of a voxel's signal with the feature that the decoder predicts; None if it is unknown."""
    agreement: tuple[float, ...]
    """Spearman's correlation of each trial's importance with the planted shares, over regions."""
    chance: float
    """The 95th percentile of the agreement of random orders of the regions."""

    @property
    def title(self) -> str:
        """Decoder and method as text."""
        return f"{self.decoder}, {self.method.replace('_', ' ')}"


def region_maps(result: AblationResult) -> tuple[RegionMap, ...]:
    """Return the maps of the baseline's completed trials; empty if no trial has the stage."""
    read = list(_read(result))
    if not read:
        return ()
    regions = tuple(read[0][0]["regions"])
    chance = agreement_by_chance(len(regions))
    maps: dict[tuple[str, str], list[tuple[list[float], list[float] | None, float | None]]] = defaultdict(list)
    for facts, metrics in read:
        for decoder, by_method in facts["importance"].items():
            for method in (name for name in by_method if name != PLANTED):
                agreement = metrics.get(f"{_STAGE}.{decoder}_{method}_regions")
                maps[decoder, method].append((by_method[method], by_method.get(PLANTED), agreement))
    return tuple(
        RegionMap(
            decoder=decoder,
            method=method,
            regions=regions,
            importance=np.array([values for values, _, _ in trials], dtype=np.float64),
            planted=None if trials[0][1] is None else np.array(trials[0][1], dtype=np.float64),
            agreement=tuple(agreement for _, _, agreement in trials if agreement is not None),
            chance=chance,
        )
        for (decoder, method), trials in maps.items()
    )


def _read(
    result: AblationResult,
) -> Iterator[tuple[Mapping[str, Mapping[str, Mapping[str, list[float]]]], Mapping[str, float]]]:
    for (condition, _, _), trial in result.trials.items():
        if condition == BASELINE and trial.outcome == "COMPLETED" and _STAGE in trial.identities:
            try:
                yield result.runs.open(trial.identities[_STAGE]).json("regions.json"), trial.metrics
            except StoreError:
                continue  # the artifacts were deleted; the tables still have the metrics


def agreement_by_chance(regions: int) -> float:
    """Return the 95th percentile of Spearman's correlation for random orders of this number of regions."""
    rng = np.random.default_rng(0)
    ranks = np.arange(regions)
    orders = rng.permuted(np.tile(ranks, (_ORDERS, 1)), axis=1)
    centred = ranks - ranks.mean()
    correlations = (orders - ranks.mean()) @ centred / (centred @ centred)
    return float(np.quantile(correlations, 0.95))


def region_bars(region_map: RegionMap) -> list[tuple[str, float, float | None]]:
    """Return region, importance and planted share, relative to their maxima; negative importance counts as 0."""
    means = np.clip(region_map.importance.mean(axis=0), 0.0, None)
    of_condition = _scaled(means)
    planted = None if region_map.planted is None else _scaled(region_map.planted)
    return [
        (name, float(of_condition[i]), None if planted is None else float(planted[i]))
        for i, name in enumerate(region_map.regions)
    ]


def _scaled(values: Floats) -> Floats:
    largest = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    return np.nan_to_num(values / largest) if largest > 0 else np.zeros_like(values)
