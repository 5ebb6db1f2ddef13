"""The clips that a page shows: best, median and worst by one metric. They are never selected by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from trainables.datasets.clusters import kind_of
from trainables.judging.controls import label_of
from trainables.judging.paired_marks import Mark
from trainables.judging.score_tables import ScoreRow
from trainables.metrics.clip import Clip
from trainables.metrics.metric import Metric
from trainables.pages.grid import Grid

Group = Literal["best", "median", "worst"]
_SHOWN = 4
"""Number of clips in each group."""


@dataclass(frozen=True)
class Exhibit:
    """One clip of a page: the truth and the video of each system."""

    group: Group
    rank: int
    """From 1 (best)."""
    name: str
    caption: str
    """Empty if the clip has none."""
    videos: Mapping[str, Clip]
    """Name to uint8 [F,H,W,3], the truth first; all of the same size. They may be read when they are looked at."""
    scores: Mapping[str, float | None]
    """Name to value of the metric by which the clips were selected."""


@dataclass(frozen=True)
class ExhibitSection:
    """A section of a page: the table and some clips of one split, or of one evaluation of videos."""

    title: str
    clips: int
    """Number of judged clips. The exhibits are some of them."""
    systems: Mapping[str, str]
    """Column of the table to its meaning. The others are compared with the first."""
    metrics: tuple[Metric, ...]
    rows: tuple[ScoreRow, ...]
    marks: Mapping[tuple[str, str], Mark]
    """(system, short metric) to whether it is better or worse than the first system."""
    ranked_by: Metric
    exhibits: tuple[Exhibit, ...]
    clusters: tuple[str, ...] = ()
    """The cluster of each judged clip; empty if every clip is on its own."""
    comparisons: tuple[Grid, ...] = ()
    """Tables that compare systems, below the table of scores."""

    @property
    def units(self) -> tuple[int, str]:
        """How many independent units the judged clips are, and their kind: `clip`, `film`, `block` or the like."""
        kind = kind_of(self.clusters) if self.clusters else "clip"
        return (len(set(self.clusters)) if kind != "clip" else self.clips), kind

    @property
    def meanings(self) -> list[tuple[str, str]]:
        """Name and meaning of the systems that have a meaning."""
        return [(label_of(name), text) for name, text in self.systems.items() if text]

    @property
    def groups(self) -> list[tuple[Group, list[Exhibit]]]:
        """The exhibits of each group."""
        grouped = groupby(self.exhibits, key=lambda exhibit: exhibit.group)
        return [(group, list(exhibits)) for group, exhibits in grouped]

    @property
    def rule(self) -> str:
        """The rule by which the exhibits were selected, as text of the page."""
        return (
            f"Selected by rule: of the {self.clips} clips, sorted by {self.ranked_by.label} of "
            f"{label_of(next(iter(self.systems)))}, the best {_SHOWN}, the middle {_SHOWN} and the worst {_SHOWN} "
            f"(fewer if there are fewer than {3 * _SHOWN} clips). None is selected by hand."
        )


def choose_clips(
    values: Sequence[float | None], metric: Metric, *, shown: int = _SHOWN
) -> list[tuple[Group, int, int]]:
    """Return group, rank (from 1) and index of the clips to show, best first.

    Clips without a value have no rank. With fewer than 3 x `shown` clips, the groups are smaller, and no clip is in two
    groups.

    Example:
        >>> from trainables.metrics.clip_metrics import CLIP_METRICS
        >>> choose_clips([0.1, 0.9, None, 0.5], CLIP_METRICS["ssim"], shown=1)
        [('best', 1, 1), ('median', 2, 3), ('worst', 3, 0)]
    """
    sign = -1 if metric.goal == "max" else 1
    order = [index for _, index in sorted((sign * value, i) for i, value in enumerate(values) if value is not None)]
    share = min(shown, max(1, len(order) // 3), len(order))
    middle = (len(order) - share) // 2
    starts: tuple[tuple[Group, int], ...] = (("best", 0), ("median", middle), ("worst", len(order) - share))
    chosen: dict[int, tuple[Group, int, int]] = {}
    for group, start in starts:
        for position in range(start, start + share):
            chosen.setdefault(order[position], (group, position + 1, order[position]))
    return list(chosen.values())
