"""The values of metrics for pairs of clips, and the metrics that can be computed with given networks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainables.judging.controls import PairControl
from trainables.metrics.clip import UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS, ClipMetric
from trainables.metrics.video import Networks, Reading

STILL = "one frame per clip"
"""Why a system that makes still pictures has no values of metrics that look at several frames together."""


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

    `objects` includes metrics of a known object; `optional`: `clip_pairs`, `fifty_way` and `motion_energy`, if a
    protocol has them.
    """
    also = (*(("legacy_flow",) if legacy_flow else ()), *(("object",) if objects else ()), *optional)
    present = {*networks.present, *also}
    return tuple(metric for metric in CLIP_METRICS.values() if present.issuperset(metric.needs))


def above_average(values: Sequence[Value]) -> Iterator[Value]:
    """Yield `values` with CLIP-pcc 0 where the VIFI-score of the clip is not above its system's mean over clips."""
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for value in values:
        if value.metric == "vifi" and value.value is not None:
            scores.setdefault((value.system, value.control), {})[value.clip] = value.value
    means = {system: sum(of_clips.values()) / len(of_clips) for system, of_clips in scores.items()}
    for value in values:
        system = value.system, value.control
        gated = value.metric == "clip_pcc" and value.value is not None and system in means
        fails = gated and scores[system].get(value.clip, means[system]) <= means[system]
        yield replace(value, value=0.0) if fails else value


def clip_values(
    metrics: Iterable[ClipMetric], truth: Reading, prediction: Reading, *, threads: int = 1, still: bool = False
) -> Iterator[tuple[str, float | None, str]]:
    """Yield (short name, value, reason) of each metric. The value is None, with the reason, if it is undefined.

    `still`: the prediction is one frame that is held, of which metrics of several frames say nothing. A held frame has
    a CLIP-pcc of 1, and as EPE the mean length of the true flow.
    """
    for metric in metrics:
        if still and metric.of_time:
            yield metric.short, None, STILL
            continue
        try:
            yield metric.short, metric.score(truth, prediction, threads=threads), ""
        except UndefinedError as error:
            yield metric.short, None, str(error)
