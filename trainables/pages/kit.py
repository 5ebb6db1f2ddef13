"""Rendering of pages from jinja2 templates that extend `page.html`, with the macros of `kit.html` and `style.css`.

A page is one file that needs no network and no script. All content is escaped.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

_FOLDER = Path(__file__).parent
_TEMPLATES = _FOLDER / "templates"
_ARROWS = {"↑": "higher is better", "↓": "lower is better"}


def render_template(template: Path, *, title: str, **content: object) -> str:
    """Return the page that `template` makes of `content`.

    `template` can be in any folder. It can extend and import the templates of its own folder and of this one.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(breakable=breakable, arrows=arrows)
    return environment.get_template(template.name).render(title=title, style=Markup(style_sheet()), **content)


def style_sheet() -> str:
    """Return the style sheet of all pages and drawings."""
    return (_FOLDER / "style.css").read_text(encoding="utf-8")


def breakable(text: str) -> Markup:
    """Return `text`, escaped, with possible line breaks after underscores."""
    return Markup(str(escape(text)).replace("_", "_<wbr>"))


def arrows(text: str) -> Markup:
    """Return `text` as `breakable` does, with the meaning of arrows for screen readers."""
    marked = str(breakable(text))
    for arrow, meaning in _ARROWS.items():
        marked = marked.replace(arrow, f'<span role="img" aria-label="{meaning}">{arrow}</span>')
    return Markup(marked)
