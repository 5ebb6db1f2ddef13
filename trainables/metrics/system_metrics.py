"""The metrics that stages of further systems report, besides those of their videos. Loads no heavy library."""

from trainables.metrics.metric import Metric

SYSTEM_METRICS: tuple[Metric, ...] = ()
