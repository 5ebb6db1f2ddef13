"""The evaluation of a trial: all contents of its page."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainables.judging.score_tables import ScoreRow
from trainables.judging.video_sequences import VideoSequence
from trainables.metrics.metric import Metric


@dataclass(frozen=True)
class JudgedSplit:
    """The n clips of one split."""

    split: str
    """`validation` or `test`."""
    clips: tuple[int, ...]
    """Indices of the clips in the data set."""
    names: tuple[str, ...]
    clusters: tuple[str, ...]
    """The cluster of each clip. Intervals and tests are over clusters."""
    captions: tuple[str, ...]
    videos: Mapping[str, VideoSequence]
    """Of `truth` and each of `SYSTEMS`, all of one size; read when they are looked at."""
    values: Mapping[tuple[str, str], tuple[float | None, ...]]
    """(system, metric) to n values; None if undefined."""
    rows: tuple[ScoreRow, ...]
    """Mean over clips and 95% interval over clusters of each system and metric; `control` is empty throughout."""


@dataclass(frozen=True)
class JudgedTrial:
    """The videos of a trial with the values of all metrics."""

    splits: tuple[JudgedSplit, ...]
    """The splits that have clips."""
    metrics: tuple[Metric, ...]
    """Metrics in the order of tables."""
    facts: tuple[tuple[str, str], ...]
    """Pairs of label and text: stage runs, settings, and networks of the metrics."""
