"""The values of metrics for pairs of clips, and the metrics that can be computed with given networks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainables.judging.controls import PairControl
from trainables.metrics.clip import UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS, ClipMetric
from trainables.metrics.video import Networks, Reading


@dataclass(frozen=True, slots=True)
class Value:
    """The value of one metric for one clip; None with the reason if it is undefined."""

    system: str
    control: PairControl
    clip: str
    metric: str
    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Scores:
    """Values of systems on the clips of one split, and their shuffle tests."""

    values: tuple[Value, ...]
    """With the index of the clip in the data set as `clip`."""
    shuffle: Mapping[str, Mapping[str, Any]]
    """System to metric (`epe`, `clip_pcc`) to the result of the shuffle test; empty for fewer than three frames."""


def available(
    networks: Networks, *, legacy_flow: bool = False, objects: bool = False, optional: Iterable[str] = ()
) -> tuple[ClipMetric, ...]:
    """Return the metrics that can be computed with `networks`.

    `objects` includes metrics of a known object; `optional` are `clip_pairs` and `fifty_way`, if a protocol has them.
    """
    also = (*(("legacy_flow",) if legacy_flow else ()), *(("object",) if objects else ()), *optional)
    present = {*networks.present, *also}
    return tuple(metric for metric in CLIP_METRICS.values() if present.issuperset(metric.needs))


def clip_values(
    metrics: Iterable[ClipMetric], truth: Reading, prediction: Reading, *, threads: int = 1
) -> Iterator[tuple[str, float | None, str]]:
    """Yield (short name, value, reason) of each metric. The value is None, with the reason, if it is undefined."""
    for metric in metrics:
        try:
            yield metric.short, metric.score(truth, prediction, threads=threads), ""
        except UndefinedError as error:
            yield metric.short, None, str(error)
