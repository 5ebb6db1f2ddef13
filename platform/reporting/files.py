"""Writes the report as files: HTML, Markdown and LaTeX for readers, CSV and Parquet for programs, figures as SVG."""

import json
from collections.abc import Mapping, Sequence
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
from platform.reporting.texts import write_texts
from platform.reporting.words import finite_or_none
from platform.statistics.compare import Comparison

ANSWERS = "answers.json"
Columns: TypeAlias = Mapping[str, Sequence[Any]]


def write_files(report: AblationReport, folder: Path) -> Path:
    """Write all files into `folder`; return the path of the HTML page."""
    page = write_texts(report, folder)
    (folder / ANSWERS).write_text(json.dumps(answers_json(report), indent=2), encoding="utf-8")
    findings = report.findings
    _write(_comparisons(findings), folder / "comparisons")
    _write(_columns(control_rows(findings.control_tests)), folder / "controls")
    _write(_means(findings), folder / "means")
    _write(_trials(findings), folder / "trials")
    published = [cell for agreement in report.agreements for cell in agreement.cells]
    if published:
        _write(_columns([{**asdict(cell), "difference": cell.difference} for cell in published]), folder / "published")
        rankings = [asdict(ranking) for agreement in report.agreements for ranking in agreement.rankings]
        _write(_columns(rankings), folder / "order")
    return page


def answers_json(report: AblationReport) -> dict[str, Any]:
    """Return warnings, sentences, the baseline against its controls, and all comparisons, as JSON."""
    findings = report.findings
    tested = (*findings.declared, *findings.exploratory)
    return {
        "alerts": list(report.alerts),
        "answers": [text for _, text in report.conclusions],
        "controls": list(map(_finite, control_rows(findings.control_tests))),
        "comparisons": [_finite(_flat(comparison, findings)) for comparison in tested],
    }


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: finite_or_none(value) for name, value in row.items()}


def _comparisons(findings: Findings) -> Columns:
    return _columns([_flat(tested, findings) for tested in (*findings.declared, *findings.exploratory)])


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


def _means(findings: Findings) -> Columns:
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
    return _columns(rows)


def _trials(findings: Findings) -> Columns:
    """Return a table with one row per planned trial and one column per primary metric."""
    trials = list(findings.result.trials.values())
    columns: dict[str, list[Any]] = {
        "trial": [trial.name for trial in trials],
        "condition": [trial.condition for trial in trials],
        "subject": [trial.subject for trial in trials],
        "seed": [trial.seed for trial in trials],
        "outcome": [trial.outcome for trial in trials],
        "error": [error_line(trial.error) if trial.error else None for trial in trials],
        "seconds": [sum(trial.seconds.values()) if trial.seconds else None for trial in trials],
    }
    for measure in findings.measures:
        columns[measure.name] = [trial.metrics.get(measure.name) for trial in trials]
    return columns


def _columns(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _write(columns: Columns, stem: Path) -> None:
    """Write `<stem>.csv` and `<stem>.parquet`; NaN and infinity become null."""
    table = pa.table({name: [finite_or_none(value) for value in values] for name, values in columns.items()})
    pq.write_table(table, stem.with_suffix(".parquet"))
    pyarrow.csv.write_csv(table, stem.with_suffix(".csv"))
