"""The HTML of a page: one file that needs no network and no script, for light and dark screens."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from trainables.judging.score_tables import Row
from trainables.metrics.clip import Clip
from trainables.metrics.registry import CLIP_METRICS, Metric, notes
from trainables.pages.exhibits import Exhibit, Section
from trainables.pages.pictures import strip_uri

_STYLE = Path(__file__).with_name("page.css")
_NOTES = (
    "Means over clips with 95% BCa bootstrap intervals over clips.",
    *notes(CLIP_METRICS.values()),
    "No formula gives the chance level of the other metrics: their controls show it.",
)
_GOALS = {"max": "higher is better", "min": "lower is better"}
_SIGNS = {"better": "▲", "worse": "▼"}


def document(
    title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section], *, side: int, quality: int
) -> str:
    """Return the page; `side` (pixels) and `quality` (WebP, 0 to 100) decide how large it becomes."""
    body = "\n".join(_section(section, side=side, quality=quality) for section in sections)
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><dl class="facts">{listed}</dl></header>
<label class="switch"><input type="checkbox" id="switch"><span class="moving">Pause the videos</span>
<span class="still">Play the videos</span></label>
<main>
{body}
</main>
</body>
</html>
"""


def _section(section: Section, *, side: int, quality: int) -> str:
    meanings = "".join(
        f"<div><dt>{_label(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in section.systems.items() if text
    )
    groups = []
    for group, exhibits in groupby(section.exhibits, key=lambda exhibit: exhibit.group):
        shown = "\n".join(_exhibit(exhibit, section, side=side, quality=quality) for exhibit in exhibits)
        groups.append(f"<h3>{group.capitalize()}</h3>\n{shown}")
    return f"""<section>
<h2>{escape(section.title)} <small>{section.clips} clips</small></h2>
{_table(section)}
<dl class="facts">{meanings}</dl>
<p class="rule">{escape(section.rule)}</p>
{"".join(groups)}
</section>"""


def _table(section: Section) -> str:
    cells = {(row.metric, row.system): row for row in section.rows}
    head = "".join(f'<th scope="col">{_label(name)}</th>' for name in section.systems)
    lines = []
    for metric in section.metrics:
        chance = metric.chance_text if metric.chance_text else "–"
        first = cells.get((metric.short, next(iter(section.systems))))
        values = "".join(_cell(cells.get((metric.short, name)), first, metric) for name in section.systems)
        arrow = f'<span role="img" aria-label="{_GOALS[metric.goal]}">{metric.arrow}</span>'
        title = f"{escape(metric.label)}&nbsp;{arrow}"
        lines.append(
            f'<tr><th scope="row" title="{escape(metric.source)}">{title}</th><td>{chance}</td>{values}</tr>\n'
        )
    first_name = _label(next(iter(section.systems)))
    legend = f"{escape(' '.join(_NOTES))} ▲ better and ▼ worse than {first_name}: their intervals do not touch."
    return f"""<div class="wide" role="region" tabindex="0" aria-label="Metrics: {escape(section.title)}">
<table><thead><tr><th scope="col">Metric</th><th scope="col">Chance</th>{head}</tr></thead>
<tbody>
{"".join(lines)}</tbody></table></div>
<p class="notes">{legend}</p>"""


def _cell(row: Row | None, first: Row | None, metric: Metric) -> str:
    if row is None or row.mean is None:
        return "<td>undefined</td>"
    low, high, digits = row.low, row.high, 3 if abs(row.mean) < 10 else 1
    interval = f"<small>{low:.{digits}f} to {high:.{digits}f}</small>" if low is not None and high is not None else ""
    verdict = verdict_on(row, first, metric)
    if verdict is None:
        return f"<td>{row.mean:.{digits}f}{interval}</td>"
    mark = f'<span class="mark" role="img" aria-label="{verdict}">{_SIGNS[verdict]}</span>'
    return f'<td class="{verdict}">{mark}{row.mean:.{digits}f}{interval}</td>'


def verdict_on(row: Row, first: Row | None, metric: Metric) -> str | None:
    """Return `better` or `worse` where the intervals of `row` and of the first column do not touch, else None."""
    if first is None or first.low is None or first.high is None or row.low is None or row.high is None:
        return None
    if row.low > first.high:
        return "better" if metric.goal == "max" else "worse"
    if row.high < first.low:
        return "worse" if metric.goal == "max" else "better"
    return None


def _exhibit(exhibit: Exhibit, section: Section, *, side: int, quality: int) -> str:
    films = "".join(
        _film(exhibit, name, clip, section.ranked_by, strip_uri(clip, side=side, quality=quality))
        for name, clip in exhibit.videos.items()
    )
    caption = f"<q>{escape(exhibit.caption)}</q>" if exhibit.caption else ""
    head = f"<h4>{escape(exhibit.name)} <small>place {exhibit.place} of {section.clips}</small></h4>{caption}"
    return f'<article>{head}\n<div class="films">{films}</div></article>'


def _film(exhibit: Exhibit, name: str, clip: Clip, metric: Metric, uri: str) -> str:
    frames, height, width = clip.shape[:3]
    score = exhibit.scores.get(name)
    value = f"<small>{escape(metric.label)} {score:.3f}</small>" if score is not None else ""
    return (
        f'<figure><div class="film" style="--frames:{frames};aspect-ratio:{width}/{height}">'
        f'<img src="{uri}" alt="{_label(name)}, {escape(exhibit.name)}"></div>'
        f"<figcaption>{_label(name)}{value}</figcaption></figure>"
    )


def _label(name: str) -> str:
    return escape(name.replace("_", " "))
