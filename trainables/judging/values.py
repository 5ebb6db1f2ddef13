"""The values of metrics: which metrics the networks allow, and the value of each for a pair of clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trainables.judging.controls import PairControl
from trainables.metrics.clip import UndefinedError
from trainables.metrics.registry import CLIP_METRICS, Metric
from trainables.metrics.video import Networks, Reading


@dataclass(frozen=True)
class Value:
    """One metric of one clip; None with the reason where it is undefined."""

    system: str
    control: PairControl
    clip: str
    metric: str
    value: float | None
    reason: str = ""


def available(networks: Networks, *, legacy_flow: bool = False, objects: bool = False) -> tuple[Metric, ...]:
    """Return the metrics that `networks` allow. With `objects`, metrics of a known object are included."""
    present = {*networks.present, *(("legacy_flow",) if legacy_flow else ()), *(("object",) if objects else ())}
    return tuple(metric for metric in CLIP_METRICS.values() if present.issuperset(metric.needs))


def clip_values(
    metrics: Iterable[Metric], truth: Reading, prediction: Reading, *, threads: int = 1
) -> Iterator[tuple[str, float | None, str]]:
    """Yield each metric's short name and value; None and the reason where it is undefined."""
    for metric in metrics:
        try:
            yield metric.short, metric.score(truth, prediction, threads=threads), ""
        except UndefinedError as error:
            yield metric.short, None, str(error)
