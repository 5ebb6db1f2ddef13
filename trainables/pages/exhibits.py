"""Which clips a page shows: the best, the median and the worst by one metric, never a hand-picked set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from trainables.judging.score_tables import ScoreRow
from trainables.metrics.clip import Clip
from trainables.metrics.registry import Metric

Group = Literal["best", "median", "worst"]
SHOWN = 4
"""Clips of each group."""


@dataclass(frozen=True)
class Exhibit:
    """One clip, as the truth has it and as each system made it."""

    group: Group
    place: int
    """In the order from best to worst, from 1."""
    name: str
    caption: str
    """Empty where there is none."""
    videos: Mapping[str, Clip]
    """Name to uint8 [F,H,W,3], the truth first; all of one size."""
    scores: Mapping[str, float | None]
    """Name to value of the metric by which clips were chosen."""


@dataclass(frozen=True)
class ExhibitSection:
    """One split, or one contest: a table and some clips."""

    title: str
    clips: int
    """How many were judged; the exhibits are some of them."""
    systems: Mapping[str, str]
    """Columns of the table and what each tells; the first is the one that all others are compared with."""
    metrics: tuple[Metric, ...]
    rows: tuple[ScoreRow, ...]
    ranked_by: Metric
    exhibits: tuple[Exhibit, ...]

    @property
    def meanings(self) -> list[tuple[str, str]]:
        """What each system is, for the reader; only those of which something is to be said."""
        return [(name.replace("_", " "), text) for name, text in self.systems.items() if text]

    @property
    def groups(self) -> list[tuple[Group, list[Exhibit]]]:
        """The exhibits of each group."""
        grouped = groupby(self.exhibits, key=lambda exhibit: exhibit.group)
        return [(group, list(exhibits)) for group, exhibits in grouped]

    @property
    def rule(self) -> str:
        """How the exhibits were chosen, for the reader."""
        return (
            f"Chosen by rule: of the {self.clips} clips, in the order of {self.ranked_by.label} of "
            f"{next(iter(self.systems))}, the best {SHOWN}, the {SHOWN} in the middle and the worst {SHOWN} "
            f"(fewer where there are fewer than {3 * SHOWN}). None is picked by hand."
        )


def choose_clips(values: Sequence[float | None], metric: Metric, *, shown: int = SHOWN) -> list[tuple[Group, int, int]]:
    """Return group, place (from 1) and index of the clips to show, best first.

    Clips without a value have no place. Where there are fewer than 3 x `shown`, the groups are smaller, and no clip
    is in two of them.
    """
    sign = -1 if metric.goal == "max" else 1
    order = [index for _, index in sorted((sign * value, i) for i, value in enumerate(values) if value is not None)]
    share = min(shown, max(1, len(order) // 3), len(order))
    middle = (len(order) - share) // 2
    starts: tuple[tuple[Group, int], ...] = (("best", 0), ("median", middle), ("worst", len(order) - share))
    chosen: dict[int, tuple[Group, int, int]] = {}
    for group, start in starts:
        for place in range(start, start + share):
            chosen.setdefault(order[place], (group, place + 1, order[place]))
    return list(chosen.values())
