"""The metrics that stages of further systems report, besides those of their videos. Loads no heavy library."""

from trainables.metrics.metric import Metric
from trainables.metrics.mindvideo_metrics import MINDVIDEO_METRICS

SYSTEM_METRICS: tuple[Metric, ...] = (*MINDVIDEO_METRICS,)
