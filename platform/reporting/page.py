"""The report as one HTML file without scripts or network access, for light and dark, wide and narrow screens."""

from pathlib import Path

from platform.reporting.contents import AblationReport
from trainables.pages.kit import render_template

_TEMPLATE = Path(__file__).with_name("report.html")


def report_page(report: AblationReport) -> str:
    """Return the HTML of the report."""
    return render_template(_TEMPLATE, title=report.title, report=report)
