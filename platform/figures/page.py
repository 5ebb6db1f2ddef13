"""The figures of a study as files: one interactive HTML page, which needs no network, and PNG."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from platform.figures import png
from platform.figures.importance import why_none
from platform.figures.optuna_plots import StudyFigure, draw_plots
from platform.figures.study_data import StudyData

_STYLE = (
    "body{font-family:sans-serif;margin:2em auto;padding:0 1.5em;max-width:1050px;color:#1f2937}"
    "h1{font-size:1.4em}h2{font-size:1.1em}"
)


def write(data: StudyData, *, page: Path, pictures: Path) -> None:
    """Write every figure with enough points to the HTML file `page` and, as PNG, to the folder `pictures`."""
    figures = list(draw_plots(data))
    page.write_text(html(data, figures), encoding="utf-8")
    for figure in figures:
        title = f"{figure.title}, {data.study}"
        png.save(figure.figure, pictures / f"{figure.name}.png", title=title, subtitle=data.counts)


def html(data: StudyData, figures: Sequence[StudyFigure]) -> str:
    """Return the page, which contains plotly's script once."""
    from plotly.offline import get_plotlyjs

    title = escape(data.study)
    reasons = dict.fromkeys(reason for target in data.targets if (reason := why_none(data, target)) is not None)
    notes = "".join(f"<p>{escape(reason)}</p>" for reason in reasons)
    sections = "".join(
        f"<h2>{escape(figure.title)}</h2>{figure.figure.to_html(full_html=False, include_plotlyjs=False)}"
        for figure in figures
    )
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script>'
    body = f"<h1>{title}</h1><p>{data.counts}</p>{notes}{sections}"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"
