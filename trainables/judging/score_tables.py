"""Summary of scores as terminal table, Markdown and LaTeX, and the values of all clips as Parquet."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Group
from rich.table import Table
from scipy.stats import DegenerateDataWarning, bootstrap

from trainables.judging.cluster_means import cluster_means
from trainables.judging.controls import PAIR_CONTROLS, PairControl, title_of
from trainables.judging.values import Value
from trainables.latex_text import escaped
from trainables.metrics.clip import Floats
from trainables.metrics.metric import Metric

_RESAMPLES = 4999
_SEED = 0
_EQUAL = 1e-12
"""Smaller differences, relative to the mean, are due to rounding."""
_FIXED = 3
"""Number of columns that describe a row: metric, chance, clips."""
_FRAME = 3
"""Width of a column on the terminal in addition to its text."""


@dataclass(frozen=True)
class ScoreRow:
    """The mean of a metric over clips, with its 95% interval; None if no clip has a value."""

    system: str
    control: PairControl
    metric: str
    clips: int
    """Number of clips with a value."""
    mean: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.mean is None:
            return "undefined"
        interval = f" [{self.low:.3f}, {self.high:.3f}]" if self.low is not None else ""
        return f"{self.mean:.3f}{interval}"


def share_clips(values: Sequence[Value]) -> bool:
    """Return whether all systems have a clip in common."""
    clips = _clips_by_system([value for value in values if value.control == ""])
    return bool(clips) and bool(set.intersection(*clips.values()))


def shared_clips(values: Sequence[Value], metric: Metric) -> frozenset[str] | None:
    """Return the clips for which all systems have a value of `metric`; None if the systems have no clip in common.

    A system without any value of the metric is not considered.
    """
    defined = [value for value in values if value.metric == metric.short and value.value is not None]
    clips = _clips_by_system([value for value in defined if value.control == ""])
    return frozenset.intersection(*map(frozenset, clips.values())) if clips and share_clips(values) else None


def summarise_scores(
    values: Sequence[Value], metrics: Sequence[Metric], *, clusters: Mapping[str, str] | None = None
) -> list[ScoreRow]:
    """Return the mean of every metric, system and control over clips.

    The mean is over the clips for which all systems have a value, so that a system gains nothing by a failure on a
    difficult clip. A system without any value of the metric is not considered. If the systems have no clip in common,
    the mean is over the clips of each system. `clusters` has the cluster of each clip: intervals are then over
    clusters.
    """
    systems = sorted({value.system for value in values})
    rows = []
    for metric in metrics:
        defined = [value for value in values if value.metric == metric.short and value.value is not None]
        common = shared_clips(values, metric)
        for system, control in product(systems, PAIR_CONTROLS):
            of_system = [value for value in defined if (value.system, value.control) == (system, control)]
            numbers = {
                value.clip: value.value
                for value in of_system
                if value.value is not None and (common is None or value.clip in common)
            }
            names = [clusters[clip] if clusters is not None else clip for clip in numbers]
            interval = mean_and_interval([*numbers.values()], names)
            rows.append(ScoreRow(system, control, metric.short, len(numbers), *interval))
    return rows


def _clips_by_system(values: Sequence[Value]) -> dict[str, set[str]]:
    clips: dict[str, set[str]] = {value.system: set() for value in values}
    for value in values:
        clips[value.system].add(value.clip)
    return clips


def mean_and_interval(
    values: Sequence[float], clusters: Sequence[str] | None = None
) -> tuple[float | None, float | None, float | None]:
    """Return the mean over clips and its 95% BCa bootstrap interval; fewer than three clips give none.

    `clusters` names the cluster of each clip. The interval is then over clusters, since clips of one are alike.
    """
    sample = np.array(values)
    if len(sample) == 0:
        return None, None, None
    mean = float(sample.mean())
    if clusters is not None:
        sample = cluster_means(sample, clusters).values
    if len(sample) < 3:
        return mean, None, None
    if np.ptp(sample) <= _EQUAL * abs(mean):
        return mean, mean, mean
    low, high = _interval(sample, "BCa")
    if not np.isfinite([low, high]).all():  # too few distinct values for the correction
        low, high = _interval(sample, "percentile")
    return mean, low, high


def _interval(sample: Floats, method: Literal["BCa", "percentile"]) -> tuple[float, float]:
    batch = max(1, 2_000_000 // len(sample))
    options = {"n_resamples": _RESAMPLES, "batch": batch, "rng": np.random.default_rng(_SEED)}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        interval = bootstrap((sample,), np.mean, vectorized=True, method=method, **options).confidence_interval
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Sheet:
    """A table of texts with the notes that explain it."""

    title: str
    header: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def terminal(self, *, width: int) -> Group:
        """Return the table for rich. It is split into several tables if it does not fit into `width` characters."""
        lines = (self.header, *self.body)
        words = [max(map(len, " ".join(line[i] for line in lines).split(" "))) for i in range(len(self.header))]
        words[1] = max(len(line[1]) for line in lines)  # the width that rich reserves first
        tables: list[Table] = []
        for columns in _parts(words, width=width):
            table = Table(title=None if tables else self.title, title_justify="left")
            for index in columns:
                table.add_column(self.header[index], justify="right" if index else "left", min_width=words[index])
            for line in self.body:
                table.add_row(*(line[index] for index in columns))
            tables.append(table)
        return Group(*tables, *self.notes)

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.header, tuple("---" if i == 0 else "---:" for i in range(len(self.header))), *self.body]
        table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        return "\n\n".join([f"## {self.title}", table, "\n".join(f"- {note}" for note in self.notes)]) + "\n"

    def latex(self) -> str:
        """Return the table as LaTeX. It needs the package booktabs."""
        rows = [" & ".join(map(escaped, line)) + r" \\" for line in (self.header, *self.body)]
        lines = [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(self.title)}. {escaped(' '.join(self.notes))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def _parts(words: Sequence[int], *, width: int) -> list[list[int]]:
    """Return the columns of each table, given the longest word of each column. All tables have the first columns."""
    parts = [list(range(_FIXED))]
    for index in range(_FIXED, len(words)):
        together = (*parts[-1], index)
        if len(parts[-1]) > _FIXED and 1 + sum(words[i] + _FRAME for i in together) > width:
            parts.append(list(range(_FIXED)))
        parts[-1].append(index)
    return parts


def column(system: str, control: PairControl) -> str:
    """Return the heading of the column of a system or of one of its controls."""
    return system if control == "" else f"{system}: {title_of(control)}"


def score_sheet(rows: Sequence[ScoreRow], metrics: Sequence[Metric], *, title: str, notes: Sequence[str]) -> Sheet:
    """Return the table of a summary: a row per metric, with chance level, and a column per system and control."""
    kinds = dict.fromkeys((row.system, row.control) for row in rows if row.clips > 0)
    cells = {(row.metric, row.system, row.control): row for row in rows}
    header = [
        "metric",
        "chance",
        "clips",
        *(column(system, control) for system, control in kinds),
    ]
    body = []
    for metric in metrics:
        scores = [cells[metric.short, *kind] for kind in kinds]
        counts = list(dict.fromkeys(row.clips for row in scores if row.control == ""))
        chance = metric.chance_text if metric.chance_text else "see right"
        body.append((f"{metric.label} {metric.arrow}", chance, "/".join(map(str, counts)), *map(str, scores)))
    return Sheet(title, tuple(header), tuple(body), tuple(notes))


def write_parquet(values: Sequence[Value], path: Path) -> None:
    """Write one row per system, control, clip and metric. An undefined value is null, with the reason."""
    names = ("system", "control", "clip", "metric", "value", "reason")
    schema = pa.schema([(name, pa.float64() if name == "value" else pa.string()) for name in names])
    columns = {name: [getattr(value, name) for value in values] for name in names}
    pq.write_table(pa.table(columns, schema=schema), path)
