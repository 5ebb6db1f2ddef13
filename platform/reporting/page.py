"""The report as one HTML file that needs no network and no script, for light and dark screens, wide and narrow."""

from pathlib import Path

from platform.reporting.contents import AblationReport
from trainables.pages.kit import render_template

_TEMPLATE = Path(__file__).with_name("report.html")


def report_page(report: AblationReport) -> str:
    """Return the page."""
    return render_template(_TEMPLATE, title=report.title, report=report)
