"""The report as files: HTML, Markdown and LaTeX for people, CSV and Parquet for programs, figures as SVG."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from platform.analysis.findings import Findings
from platform.record.results import error_line
from platform.reporting.contents import AblationReport
from platform.reporting.page import report_page
from platform.statistics.compare import Comparison

PAGE = "report.html"
Columns: TypeAlias = Mapping[str, Sequence[Any]]


def write_files(report: AblationReport, folder: Path) -> Path:
    """Write all of it into `folder`; return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text(report_page(report), encoding="utf-8")
    (folder / "report.md").write_text(_markdown(report), encoding="utf-8")
    (folder / "report.tex").write_text("\n".join(grid.latex() for grid in report.grids), encoding="utf-8")
    findings = report.findings
    _write(_comparisons(findings), folder / "comparisons")
    _write(_means(findings), folder / "means")
    _write(_trials(findings), folder / "trials")
    beside = [cell for agreement in report.agreements for cell in agreement.cells]
    if beside:
        _write(_columns([{**asdict(cell), "difference": cell.difference} for cell in beside]), folder / "published")
        _write(
            _columns([asdict(one) for agreement in report.agreements for one in agreement.rankings]), folder / "order"
        )
    drawn = folder / "figures"
    drawn.mkdir(exist_ok=True)
    for panel in report.panels:
        name = re.sub(r"[^a-z0-9]+", "-", panel.title.lower()).strip("-")
        (drawn / f"{name}.svg").write_text(panel.svg(alone=True), encoding="utf-8")
    return folder / PAGE


def _markdown(report: AblationReport) -> str:
    parts = [f"# {report.title}", *(f"> {alert}" for alert in report.alerts)]
    parts.append("\n".join(f"- {text}" for _, text in report.answers))
    parts.append(_listed(report.facts))
    for section in report.sections:
        parts += [section.lead] if section.lead and section.grids else []
        parts += [grid.markdown().rstrip() for grid in section.grids]
    parts += ["## Methods", report.methods, "## Provenance", _listed(report.provenance)]
    return "\n\n".join(parts) + "\n"


def _listed(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in facts)


def _comparisons(findings: Findings) -> Columns:
    return _columns([_flat(one, findings) for one in (*findings.declared, *findings.exploratory)])


def _flat(one: Comparison, findings: Findings) -> dict[str, Any]:
    effect, same = one.effect, one.equivalence
    return {
        "condition": one.name,
        "metric": one.metric,
        "declared": findings.is_declared((one.name, one.metric)),
        "unit": one.unit,
        "subjects": one.kept[0],
        "seeds": one.kept[1],
        "clips": one.kept[2],
        "baseline": one.baseline,
        "value": one.condition,
        "difference": one.difference,
        "low": one.interval.low,
        "high": one.interval.high,
        "interval": f"{one.interval.method} over {one.interval.over}, {one.interval.level:.0%}",
        "p": one.p,
        "p_holm": one.p_holm,
        "smallest_p": one.smallest_p,
        "stars": one.stars,
        "hedges_g_av": None if effect is None else effect.g_av.value,
        "hedges_g_z": None if effect is None else effect.g_z.value,
        "cliffs_delta": None if effect is None else effect.cliff.value,
        "margin": None if same is None else same.margin,
        "p_equivalence": None if same is None else same.p,
        "p_equivalence_holm": None if same is None else same.p_holm,
        "verdict": one.verdict,
        "missing_trials": sum(gap.whole_trial for gap in one.missing),
        "worst_low": one.bounds.low,
        "worst_high": one.bounds.high,
        "warnings": "; ".join(one.warnings),
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
    """One row per planned trial; a column for every metric that the ablation is about."""
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
    for one in findings.measures:
        columns[one.name] = [trial.metrics.get(one.name) for trial in trials]
    return columns


def _columns(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _write(columns: Columns, stem: Path) -> None:
    """Write `<stem>.csv` and `<stem>.parquet`; what is not a number is null, never NaN."""
    table = pa.table({name: [_known(value) for value in values] for name, values in columns.items()})
    pq.write_table(table, stem.with_suffix(".parquet"))
    pyarrow.csv.write_csv(table, stem.with_suffix(".csv"))


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
