"""The registry of metrics: all that the stages report.

    >>> METRICS["noop.value"].goal, METRICS["importance.motion_gradient_voxels"].chance
    ('min', 0.0)
    >>> metric_named("evaluate.test_ssim").label  # the same metric on test clips
    'SSIM'

A study may optimise only a metric whose scale is the same over the search space. This module imports no heavy library.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from trainables.metrics.clip_metrics import EVALUATE, reported_metrics
from trainables.metrics.decoder_metrics import DECODER_METRICS, ENCODING_METRICS, IMPORTANCE_METRICS
from trainables.metrics.metric import Metric, title_in_words
from trainables.metrics.system_metrics import SYSTEM_METRICS
from trainables.stage_table import STAGES
from trainables.tables import Table

_NOOP = Metric(
    "noop.value",
    title=title_in_words("noop.value"),
    goal="min",
    low=-math.inf,
    high=math.inf,
    source="the platform's own tests and benchmarks",
)
METRICS: Mapping[str, Metric] = Table(
    "metrics",
    {
        metric.name: metric
        for metric in (
            *DECODER_METRICS.values(),
            *IMPORTANCE_METRICS,
            *ENCODING_METRICS,
            *reported_metrics(),
            *SYSTEM_METRICS,
            _NOOP,
        )
    },
)
"""Full name to metric that the stages report. `metric_named` also gives metrics on test clips."""


def comparable(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics whose scale does not depend on any of the swept `fields`."""
    swept = tuple(fields)
    return tuple(name for name, metric in METRICS.items() if not any(map(metric.scale_depends_on, swept)))


def metric_named(name: str) -> Metric | None:
    """Return the metric, also for a name on test clips (`evaluate.test_ssim`); None if there is none."""
    if name in METRICS:
        return METRICS[name]
    stage, _, short = name.partition(".")
    validation = METRICS.get(f"{stage}.{short.removeprefix('test_')}")
    return replace(validation, name=name) if validation is not None and is_held_out(validation.name) else None


def is_held_out(name: str) -> bool:
    """Return whether the metric `name` of `METRICS` is computed on validation clips and on test clips."""
    stage, _, short = name.partition(".")
    return stage == EVALUATE or (STAGES[stage].is_tested and not short.startswith("loss"))


def ablation_metrics() -> tuple[str, ...]:
    """Return the names for `metric_named` that an ablation can use."""
    tested = [name.replace(".", ".test_") for name in METRICS if is_held_out(name)]
    return (*tested, *(name for name in METRICS if not name.startswith(f"{EVALUATE}.")))
