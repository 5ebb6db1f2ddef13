"""What all reports consist of, and how their parts are written: HTML, Markdown, LaTeX, figures as SVG."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.pages.drawing import Drawing
from trainables.pages.grid import Grid, Tone
from trainables.pages.kit import render_template

PAGE = "report.html"
_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class ReportSection:
    """One part of a report."""

    title: str
    lead: str = ""
    grids: tuple[Grid, ...] = ()
    panels: tuple[Drawing, ...] = ()
    folded: bool = False
    """Whether it is collapsed on a page."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report on a study: the same parts for sweeps and ablations."""

    title: str
    alerts: tuple[str, ...]
    """Warnings at the top."""
    conclusions: tuple[tuple[Tone, str], ...]
    """The answers, each with its tone."""
    facts: tuple[tuple[str, str], ...]
    """Labels and texts below the answers."""
    sections: tuple[ReportSection, ...]
    methods: str
    provenance: tuple[tuple[str, str], ...]
    """Where the numbers come from."""
    references: tuple[str, ...] = ()
    """Publications of what was used."""
    pages: tuple[tuple[str, str], ...] = ()
    """Title and file of further pages in the report's folder, without the ending: each is there as .html and .md."""


def grids_of(report: Report) -> tuple[Grid, ...]:
    """Return all tables, in order."""
    return tuple(grid for section in report.sections for grid in section.grids)


def panels_of(report: Report) -> tuple[Drawing, ...]:
    """Return all figures, in order."""
    return tuple(panel for section in report.sections for panel in section.panels)


def report_page(report: Report) -> str:
    """Return the report as one HTML file without scripts or network access, for light and dark, wide and narrow."""
    return render_template(_TEMPLATE, title=report.title, report=report)


def write_texts(report: Report, folder: Path) -> Path:
    """Write page, Markdown, LaTeX and figures into `folder`; return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text(report_page(report), encoding="utf-8")
    (folder / "report.md").write_text(_markdown(report), encoding="utf-8")
    (folder / "report.tex").write_text("\n".join(grid.latex() for grid in grids_of(report)), encoding="utf-8")
    folder_of_figures = folder / "figures"
    folder_of_figures.mkdir(exist_ok=True)
    for panel in panels_of(report):
        name = re.sub(r"[^a-z0-9]+", "-", panel.title.lower()).strip("-")
        (folder_of_figures / f"{name}.svg").write_text(panel.svg(alone=True), encoding="utf-8")
    return folder / PAGE


def _markdown(report: Report) -> str:
    parts = [f"# {report.title}", *(f"> {alert}" for alert in report.alerts)]
    parts.append("\n".join(f"- {text}" for _, text in report.conclusions))
    parts.append(_listed(report.facts))
    parts += [f"[{title}]({file}.md)" for title, file in report.pages]
    for section in report.sections:
        parts += _section(section)
    parts += ["## Methods", report.methods]
    parts += ["## References", "\n".join(f"- {text}" for text in report.references)] if report.references else []
    parts += ["## Provenance", _listed(report.provenance)]
    return "\n\n".join(parts) + "\n"


def _section(section: ReportSection) -> Iterator[str]:
    """Yield the parts of a section. Its first table needs no second heading if it has the section's title."""
    if not section.grids and (section.panels or not section.lead):
        return  # figures alone, which this format does not show
    first = section.grids[0].title if section.grids else ""
    title = first if first.startswith(section.title) else section.title
    yield f"## {title}"
    yield from [section.lead] if section.lead else []
    for grid in section.grids:
        text = grid.markdown().rstrip()
        yield text.removeprefix(f"## {title}\n\n") if grid.title == title else f"#{text}"


def _listed(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in facts)
