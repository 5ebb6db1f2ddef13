"""What is known of a trial once its videos are judged: all that its page shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainables.judging.score_tables import ScoreRow
from trainables.metrics.clip import Clip
from trainables.metrics.registry import Metric


@dataclass(frozen=True)
class JudgedSplit:
    """The n clips of one split."""

    split: str
    """`validation` or `test`."""
    clips: tuple[int, ...]
    """Their numbers in the data set."""
    names: tuple[str, ...]
    captions: tuple[str, ...]
    videos: Mapping[str, Clip]
    """uint8 [n,F,H,W,3] of `truth` and each of `SYSTEMS`, all of one size."""
    values: Mapping[tuple[str, str], tuple[float | None, ...]]
    """(system, metric) to n values; None where undefined."""
    rows: tuple[ScoreRow, ...]
    """Mean and 95% interval of each system and metric; `control` is empty throughout."""


@dataclass(frozen=True)
class JudgedTrial:
    """One trial's videos with what metrics say of them."""

    splits: tuple[JudgedSplit, ...]
    """Those that have clips."""
    metrics: tuple[Metric, ...]
    """With title, goal and chance, in the order of tables."""
    facts: tuple[tuple[str, str], ...]
    """Labels and texts: which stage runs, settings and judges."""
