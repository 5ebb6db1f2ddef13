"""The figures of a study as files: one HTML page to hover and zoom over, which needs no network, and PNG."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from platform.figures import png
from platform.figures.optuna_plots import StudyFigure, draw_plots, too_few
from platform.figures.study_data import StudyData

_STYLE = (
    "body{font-family:sans-serif;margin:2em auto;padding:0 1.5em;max-width:1050px;color:#1f2937}"
    "h1{font-size:1.4em}h2{font-size:1.1em}"
)


def write(data: StudyData, *, page: Path, pictures: Path) -> None:
    """Write every figure for which there are points enough, into the HTML file `page` and into a folder as PNG."""
    figures = list(draw_plots(data))
    page.write_text(html(data, figures), encoding="utf-8")
    for each in figures:
        png.save(each.figure, pictures / f"{each.name}.png", title=f"{each.title}, {data.study}", subtitle=data.counts)


def html(data: StudyData, figures: Sequence[StudyFigure]) -> str:
    """Return the page, with plotly's script once."""
    from plotly.offline import get_plotlyjs

    title = escape(data.study)
    reasons = dict.fromkeys(reason for target in data.targets if (reason := too_few(data, target)) is not None)
    notes = "".join(f"<p>{escape(reason)}</p>" for reason in reasons)
    sections = "".join(
        f"<h2>{escape(each.title)}</h2>{each.figure.to_html(full_html=False, include_plotlyjs=False)}"
        for each in figures
    )
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script>'
    body = f"<h1>{title}</h1><p>{data.counts}</p>{notes}{sections}"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"
