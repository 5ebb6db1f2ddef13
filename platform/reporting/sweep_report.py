"""The report of a sweep: what was searched and found, how much of it may be luck, and what it cost."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform.analysis.search_result import SearchResult
from platform.figures.study_data import StudyData
from platform.record.results import outcomes
from platform.reporting import sweep_charts, sweep_text
from platform.reporting.cost import cost_table, costs
from platform.reporting.references import sweep_references
from platform.reporting.sweep_findings import SweepFindings
from platform.reporting.sweep_tables import best_table, failed_table, space_table, stopping_table
from platform.reporting.texts import Report, ReportSection, write_texts
from platform.reporting.words import bracket, finite_or_none, number
from platform.screen.units import duration
from trainables.pages.grid import Cell, Grid

_DATA = "sweep.json"
_FIELDS = "Importance of fields"
_SPREAD = "Brackets: the share in 90% of random subsets of four fifths of the points."


@dataclass(frozen=True, kw_only=True)
class SweepReport(Report):
    """The report of a sweep, and what it was made from."""

    findings: SweepFindings


def build_sweep_report(
    search: SearchResult, *, store: str, pages: Sequence[tuple[str, str]] = (), followed_by: Sequence[str] = ()
) -> SweepReport:
    """Return the report on `search`.

    Args:
        search: The sweep.
        store: URI of its store, without secrets.
        pages: Title and file of further pages.
        followed_by: The ablations that confirm it or take it apart.
    """
    findings = SweepFindings(search)
    sections = tuple(_sections(findings))
    has_importance = any(section.title == _FIELDS and section.grids for section in sections)
    return SweepReport(
        title=f"Sweep {search.study.id}",
        alerts=tuple(sweep_text.alerts(findings)),
        conclusions=tuple(("", text) for text in sweep_text.conclusions(findings, followed_by)),
        facts=tuple(sweep_text.facts(findings)),
        sections=sections,
        methods=sweep_text.methods(findings),
        references=sweep_references(findings, has_importance=has_importance),
        provenance=sweep_text.provenance(findings, store),
        findings=findings,
        pages=tuple(pages),
    )


def write_sweep_report(report: SweepReport, folder: Path) -> Path:
    """Write all files into `folder`; return the path of the HTML page."""
    page = write_texts(report, folder)
    (folder / _DATA).write_text(json.dumps(_json(report), indent=2, allow_nan=False), encoding="utf-8")
    return page


def _sections(findings: SweepFindings) -> Iterator[ReportSection]:
    targets = findings.search.study.targets
    if findings.order:
        panels = [panel for target in targets if (panel := sweep_charts.history(findings, target)) is not None]
        yield ReportSection("Best points", grids=(best_table(findings),), panels=tuple(panels))
    yield ReportSection("Search space", grids=(space_table(findings),))
    yield _importance(findings)
    stopping = stopping_table(findings)
    if stopping is not None:
        yield ReportSection("Early stopping", grids=(stopping,))
    failed = failed_table(findings)
    if failed is not None:
        yield ReportSection("Failed trials", grids=(failed,))
    stage_costs = costs(findings.runs)
    if stage_costs:
        yield ReportSection("Cost", _not_counted(findings), grids=(cost_table(stage_costs),))


def _importance(findings: SweepFindings) -> ReportSection:
    from platform.figures.importance import importance, why_none  # Optuna takes a second to import

    study = findings.search.study
    trials = findings.search.trials
    data = StudyData(study.id, study.targets, study.space.domains, trials, study.outcome_constraints)
    panels, notes, rows = [], [], []
    for target in study.targets:
        found = importance(data, target)
        if found is None:
            reason = why_none(data, target)
            notes += [reason] if reason is not None else []
            continue
        subtitle = f"PED-ANOVA over {found.points} points: shares of what tells the best points from the rest"
        shares = {field.field: field.share for field in found.fields}
        panel = sweep_charts.importance(shares, target, null=found.null, subtitle=subtitle)
        panels += [panel] if panel is not None else []
        rows += [
            (
                Cell(each.field),
                Cell(target.name, tone="prose"),
                Cell(number(each.share, 2)),
                Cell(bracket(each.low, each.high, 2)),
            )
            for each in found.fields
        ]
        null = Cell("null line: 95 % of shuffled values")
        rows.append((null, Cell(target.name, tone="prose"), Cell(number(found.null, 2)), Cell("")))
        above = ", ".join(found.above_null) if found.above_null else "no field"
        notes.append(f"{target.name}: {above} above what shuffled values give ({number(found.null, 2)}).")
        notes += [f"Importance {found.warning}."] if found.warning else []
        if found.stopped_early:
            notes.append(
                f"{found.stopped_early} of the {found.points} points count with their last value, which they had after "
                "fewer epochs than others: a field that slows training looks important, one that pays late does not."
            )
    grids = (Grid(_FIELDS, ("field", "target", "share", "90% of subsets"), tuple(rows), (_SPREAD,)),) if rows else ()
    return ReportSection(_FIELDS, " ".join(dict.fromkeys(notes)), grids, tuple(panels))


def _not_counted(findings: SweepFindings) -> str:
    stopped = sum(trial.outcome == "PRUNED" for trial in findings.search.trials)
    if stopped == 0:
        return ""
    return f"Without the {stopped} trials that were stopped early, which took {duration(findings.seconds_stopped)}."


def _json(report: SweepReport) -> dict[str, Any]:
    findings, study = report.findings, report.findings.search.study
    return {
        "study": study.id,
        "alerts": list(report.alerts),
        "answers": [text for _, text in report.conclusions],
        "targets": [target.name for target in study.targets],
        "outcomes": outcomes(findings.search.trials),
        "best": [f"t{point.point:04d}" for point in findings.front],
        "points": [
            {
                "point": f"t{point.point:04d}",
                "outcome": point.outcome,
                "values": dict(point.values),
                "metrics": {name: finite_or_none(value) for name, value in point.metrics.items()},
                "seconds": point.seconds,
                "error": point.error,
            }
            for point in findings.search.points
        ],
        "stopped_at": {str(epoch): count for epoch, count in sorted(findings.stopped.items())},
        "luck": {
            t.name: dict(zip(("seed_sd", "best_of_all"), map(finite_or_none, findings.luck(t)), strict=True))
            for t in study.targets
        },
        "tables": [_table(grid) for section in report.sections for grid in section.grids],
        "methods": report.methods,
    }


def _table(grid: Grid) -> dict[str, Any]:
    sheet = grid.sheet
    return {"title": sheet.title, "header": list(sheet.header), "rows": [list(row) for row in sheet.body]}
