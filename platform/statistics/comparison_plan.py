"""What is declared about a comparison before the first trial, and what follows from it."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from platform.statistics.attainable import ClaimUnit, default_unit
from platform.statistics.paired import PairedTable
from platform.statistics.population import Varied

FEWEST_RESAMPLES = 999


@dataclass(frozen=True)
class ComparisonPlan:
    """Level, unit and margins, declared before the first trial."""

    alpha: float = 0.05
    unit: ClaimUnit | None = None
    """None: the most demanding one that the planned seeds, clips and family can attain."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """Metric to its margin of equivalence. Without a margin no verdict is `equivalent`."""
    resamples: int = 9999
    """Number of random sign flips if there are too many to compute all."""
    varied: Varied = "training"
    """What differs between the blocks, for the population of a claim."""
    dataset: str = ""
    """Of a study in several data sets, the name of this one, for the population of a claim."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0.0 < self.alpha < 1.0 and self.resamples >= FEWEST_RESAMPLES):
            raise ValueError(f"{self}: needs 0 < alpha < 1 and at least {FEWEST_RESAMPLES} resamples")
        if not all(margin > 0.0 for margin in self.margins.values()):
            raise ValueError(f"{self}: every margin must be above 0, in its metric's unit")


def unit_of(table: PairedTable, plan: ComparisonPlan, *, family: int) -> ClaimUnit:
    """Return the declared unit, or the most demanding one that the planned numbers can attain."""
    if plan.unit is not None:
        return plan.unit
    return default_unit(seeds=len(table.seeds), clips=planned_units(table), alpha=plan.alpha, family=max(1, family))


def generator_of(table: PairedTable, plan: ComparisonPlan) -> np.random.Generator:
    """Return the generator of all random draws for `table`: they do not depend on other tables."""
    return np.random.default_rng([plan.seed, zlib.crc32(f"{table.name}\n{table.metric.name}".encode())])


def planned_units(table: PairedTable) -> int:
    """Return the planned number of clusters, or of clips if they are independent."""
    return len(set(table.clusters)) if table.clusters else len(table.clips)
