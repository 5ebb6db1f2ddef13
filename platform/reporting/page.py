"""The report as one HTML file that needs no network and no script, for light and dark screens, wide and narrow."""

from pathlib import Path

from platform.reporting.contents import Report
from trainables.pages.kit import render

_TEMPLATE = Path(__file__).with_name("report.html")


def page(report: Report) -> str:
    """Return the page."""
    return render(_TEMPLATE, title=report.title, report=report)
