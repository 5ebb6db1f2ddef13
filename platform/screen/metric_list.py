"""All metrics as the page docs/metrics.md.

`python -m platform.screen.metric_list > docs/metrics.md` regenerates the page. A test checks that it is up to date.
"""

import math
import sys
from collections.abc import Iterable
from itertools import groupby

from platform.screen.field_list import markdown_table
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS

_INTRODUCTION = """\
# Metrics

Generated from the code by `make fields`. A search names one as its `target`, an ablation as `primary` or in its
`family`.

A name is that of the stage and of the metric; its value is of validation clips. With `test_` after the dot
(`evaluate.test_ssim`) it is of test clips: ablations may name it, searches may not, since they choose. A plug-in adds
metrics of its own ([api.md](api.md#a-metric-of-videos)).

"Chance" is the value of a decoder without information: a number, a rule, or the controls that show it beside each
score.
"""


def metrics_page() -> str:
    """Return all built-in metrics as one Markdown page."""
    parts = [_INTRODUCTION]
    for stage, metrics in groupby(METRICS.values(), key=lambda metric: metric.stage):
        parts += [f"## {stage}\n", _table(metrics)]
    return "\n".join(parts)


def _table(metrics: Iterable[Metric]) -> str:
    return markdown_table(("name", "title", "better", "range", "chance", "source"), map(_cells, metrics))


def _cells(metric: Metric) -> tuple[str, ...]:
    better = "higher" if metric.goal == "max" else "lower"
    only = f"only with `{metric.only_with[0]}: {metric.only_with[1]}`" if metric.only_with is not None else ""
    known = "only where the answer is known (phantoms)" if metric.needs_known_answer else ""
    source = "; ".join(text.rstrip(".") for text in (metric.source, metric.note, only, known) if text)
    return f"`{metric.name}`", metric.label, better, _range(metric), _chance(metric), source


def _range(metric: Metric) -> str:
    if math.isfinite(metric.high):
        return f"{metric.low:g} to {metric.high:g}"
    return f"from {metric.low:g}" if math.isfinite(metric.low) else "any"


def _chance(metric: Metric) -> str:
    if metric.chance is not None:
        return f"{metric.chance:g}"
    return metric.chance_rule or ", ".join(f"`{name}`" for name in metric.chance_controls)


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
