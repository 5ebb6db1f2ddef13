"""The report as one HTML file that needs no network and no script, for light and dark screens, wide and narrow."""

from collections.abc import Iterable, Iterator
from html import escape

from platform.reporting.contents import Report, Section
from trainables.pages.drawing import styles


def page(report: Report) -> str:
    """Return the page."""
    title = escape(report.title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{styles("colours", "report", "chart")}</style>
</head>
<body>
<header><h1>{title}</h1></header>
<main>
{"".join(_body(report))}
</main>
</body>
</html>
"""


def _body(report: Report) -> Iterator[str]:
    for alert in report.alerts:
        yield f'<p class="alert">{escape(alert)}</p>\n'
    yield "<section><h2>Answer</h2>\n"
    answers = "\n".join(f'<li class="{tone}">{escape(text)}</li>' for tone, text in report.answers)
    yield f'<ul class="answers">\n{answers}\n</ul>\n'
    yield f"{_facts(report.facts)}</section>\n"
    yield from map(_section, report.sections)
    yield f"<section><h2>Methods</h2>\n<p>{escape(report.methods)}</p></section>\n"
    yield f"<section><h2>Provenance</h2>\n{_facts(report.provenance)}</section>\n"


def _section(section: Section) -> str:
    lead = f'<p class="lead">{escape(section.lead)}</p>\n' if section.lead else ""
    figures = "".join(f"<figure>{panel.svg()}</figure>\n" for panel in section.panels)
    panels = f'<div class="panels">\n{figures}</div>\n' if figures else ""
    tables = []
    for grid in section.grids:
        head = f"<h3>{escape(grid.title)}</h3>\n" if grid.title != section.title else ""
        tables.append(f"{head}{grid.html()}\n")
    content = f"{lead}{panels}{''.join(tables)}"
    if section.folded:
        content = f"<details><summary>Show</summary>\n{content}</details>"
    return f"<section><h2>{escape(section.title)}</h2>\n{content}</section>\n"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts)
    return f'<dl class="facts">{rows}</dl>\n'
