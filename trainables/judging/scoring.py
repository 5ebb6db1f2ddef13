"""The values of metrics: which metrics can be had, and what each says of a pair of clips."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainables.metrics.clip import UndefinedError
from trainables.metrics.video import OBJECT_METRICS, VIDEO_METRICS, Networks, Reading, VideoMetric

Control: TypeAlias = Literal["", "still", "mismatched"]
CONTROLS: Mapping[Control, str] = {
    "": "the system",
    "still": "its first frame held: what does its motion add?",
    "mismatched": "its videos against other clips' truths: what does chance give?",
}


@dataclass(frozen=True)
class Value:
    """One metric of one clip; None with the reason where it is undefined."""

    system: str
    control: Control
    clip: str
    metric: str
    value: float | None
    reason: str = ""


def available(networks: Networks, *, legacy_flow: bool = False, objects: bool = False) -> tuple[VideoMetric, ...]:
    """Return the metrics that can be had of `networks`; `objects`: also those of a known object."""
    known = (*VIDEO_METRICS.values(), *(OBJECT_METRICS.values() if objects else ()))
    able = (metric for metric in known if all(map(networks.has, metric.needs)))
    return tuple(metric for metric in able if legacy_flow or metric.name != "epe_legacy")


def compare(
    metrics: Iterable[VideoMetric], truth: Reading, prediction: Reading, *, threads: int = 1
) -> Iterator[tuple[str, float | None, str]]:
    """Yield each metric's name and value; None and the reason where it is undefined."""
    for metric in metrics:
        try:
            yield metric.name, metric.score(truth, prediction, threads=threads), ""
        except UndefinedError as error:
            yield metric.name, None, str(error)
