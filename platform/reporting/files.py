"""Writes the report as files: HTML, Markdown and LaTeX for readers, CSV and Parquet for programs, figures as SVG."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from platform.analysis.findings import Findings
from platform.record.results import error_line
from platform.reporting.contents import AblationReport
from platform.reporting.control_standing import control_rows
from platform.reporting.data_sets import DataSetsReport
from platform.reporting.texts import write_texts
from platform.reporting.words import finite_or_none
from platform.statistics.compare import Comparison

ANSWERS = "answers.json"
Columns: TypeAlias = Mapping[str, Sequence[Any]]
Rows: TypeAlias = Sequence[Mapping[str, Any]]


def write_files(report: AblationReport | DataSetsReport, folder: Path) -> Path:
    """Write all files into `folder`; return the path of the HTML page.

    Of several data sets, the first column of each table names the data set.
    """
    page = write_texts(report, folder)
    (folder / ANSWERS).write_text(json.dumps(answers_json(report), indent=2), encoding="utf-8")
    for name, rows in (
        ("comparisons", _comparisons),
        ("controls", lambda part: control_rows(part.findings.control_tests)),
        ("means", lambda part: _means(part.findings)),
        ("trials", lambda part: _trials(part.findings)),
    ):
        _write(_columns(_of_parts(report, rows)), folder / name)
    published = _of_parts(report, _published)
    if published:
        _write(_columns(published), folder / "published")
        rankings = _of_parts(report, lambda part: [asdict(each) for of in part.agreements for each in of.rankings])
        _write(_columns(rankings), folder / "order")
    return page


def _of_parts(report: AblationReport | DataSetsReport, rows: Callable[[AblationReport], Rows]) -> Rows:
    """Return the rows of a report; of several data sets, with the data set of each row in its first column."""
    if isinstance(report, AblationReport):
        return rows(report)
    return [{"dataset": name, **row} for name, part in report.parts.items() for row in rows(part)]


def answers_json(report: AblationReport | DataSetsReport) -> dict[str, Any]:
    """Return warnings, sentences, the baseline against its controls, and all comparisons, as JSON."""
    controls = _of_parts(report, lambda part: control_rows(part.findings.control_tests))
    return {
        "alerts": list(report.alerts),
        "answers": [text for _, text in report.conclusions],
        "controls": list(map(_finite, controls)),
        "comparisons": list(map(_finite, _of_parts(report, _comparisons))),
    }


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: finite_or_none(value) for name, value in row.items()}


def _comparisons(report: AblationReport) -> Rows:
    findings = report.findings
    return [_flat(tested, findings) for tested in (*findings.declared, *findings.exploratory)]


def _published(report: AblationReport) -> Rows:
    cells = [cell for agreement in report.agreements for cell in agreement.cells]
    return [{**asdict(cell), "difference": cell.difference} for cell in cells]


def _flat(comparison: Comparison, findings: Findings) -> dict[str, Any]:
    effect, equivalence = comparison.effect, comparison.equivalence
    span = findings.span(comparison.metric)
    return {
        "condition": comparison.name,
        "metric": comparison.metric,
        "declared": findings.is_declared((comparison.name, comparison.metric)),
        "unit": comparison.unit,
        "subjects": comparison.sizes[0],
        "seeds": comparison.sizes[1],
        "clips": comparison.sizes[2],
        "clusters": comparison.clusters,
        "clustered_by": comparison.clustered,
        "baseline": comparison.baseline,
        "value": comparison.condition,
        "difference": comparison.difference,
        "low": comparison.interval.low,
        "high": comparison.interval.high,
        "interval": f"{comparison.interval.method} over {comparison.interval.unit}, {comparison.interval.level:.0%}",
        "share_of_ceiling_minus_control": None if span is None else comparison.difference / span,
        "p": comparison.p,
        "p_holm": comparison.p_holm,
        "q": comparison.q,
        "smallest_p": comparison.smallest_p,
        "stars": comparison.stars,
        "hedges_g_av": None if effect is None else effect.g_av.value,
        "hedges_g_z": None if effect is None else effect.g_z.value,
        "cliffs_delta": None if effect is None else effect.cliff.value,
        "margin": None if equivalence is None else equivalence.margin,
        "p_equivalence": None if equivalence is None else equivalence.p,
        "p_equivalence_holm": None if equivalence is None else equivalence.p_holm,
        "verdict": comparison.verdict,
        "reason": comparison.reason,
        "missing_trials": sum(gap.whole_trial for gap in comparison.missing),
        "worst_low": comparison.bounds.low,
        "worst_high": comparison.bounds.high,
        "warnings": "; ".join(comparison.warnings),
    }


def _means(findings: Findings) -> Rows:
    rows = []
    for (name, metric), mean in findings.means.items():
        shift = findings.differences.get((name, metric))
        rows.append(
            {
                "name": name,
                "kind": "condition" if name in findings.result.conditions else "control",
                "metric": metric,
                "mean": mean.value,
                "low": mean.low,
                "high": mean.high,
                "difference": None if shift is None else shift.value,
                "difference_low": None if shift is None else shift.low,
                "difference_high": None if shift is None else shift.high,
            }
        )
    return rows


def _trials(findings: Findings) -> Rows:
    """Return one row per planned trial, with one column per primary metric."""
    return [
        {
            "trial": trial.name,
            "condition": trial.condition,
            "subject": trial.subject,
            "seed": trial.seed,
            "outcome": trial.outcome,
            "error": error_line(trial.error) if trial.error else None,
            "seconds": sum(trial.seconds.values()) if trial.seconds else None,
            **{measure.name: trial.metrics.get(measure.name) for measure in findings.measures},
        }
        for trial in findings.result.trials.values()
    ]


def _columns(rows: Rows) -> Columns:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _write(columns: Columns, stem: Path) -> None:
    """Write `<stem>.csv` and `<stem>.parquet`; NaN and infinity become null."""
    table = pa.table({name: [finite_or_none(value) for value in values] for name, values in columns.items()})
    pq.write_table(table, stem.with_suffix(".parquet"))
    pyarrow.csv.write_csv(table, stem.with_suffix(".csv"))
