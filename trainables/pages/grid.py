"""Tables of a report: one content, written as HTML, Markdown or LaTeX."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Literal

from trainables.judging.score_tables import Sheet

Tone = Literal["", "better", "worse", "same", "agrees", "opposite", "quiet", "prose", "group"]
_SIGNS = {"better": "▲", "worse": "▼", "same": "=", "agrees": "✓", "opposite": "✗"}
_LATEX = {
    "−": "$-$",
    "–": "--",
    "Δ": r"$\Delta$",
    "τ": r"$\tau$",
    "δ": r"$\delta$",
    "×": r"$\times$",
    "°": r"$^\circ$",
    "<": "$<$",
    ">": "$>$",
    "≤": r"$\leq$",
    "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "✓": r"$\checkmark$",
    "✗": r"$\times$",
    "“": "``",
    "”": "''",
}


@dataclass(frozen=True)
class Cell:
    """One place of a table."""

    text: str
    small: tuple[str, ...] = ()
    """Lines under it."""
    tone: Tone = ""
    """Colour and mark; `prose` may be long, `group` is a heading over the rows that follow, alone in its row."""

    def __str__(self) -> str:
        mark = f" {_SIGNS[self.tone]}" if self.tone in _SIGNS else ""
        return "; ".join(part for part in (self.text, *self.small) if part) + mark


@dataclass(frozen=True)
class Grid:
    """A table with what must be known to read it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def sheet(self) -> Sheet:
        """The same as plain texts."""
        width = len(self.header)
        body = tuple(tuple(map(str, row)) + ("",) * (width - len(row)) for row in self.rows)
        return Sheet(self.title, self.header, body, self.notes)

    def markdown(self) -> str:
        """Return it as Markdown."""
        return self.sheet.markdown()

    def latex(self) -> str:
        """Return it as a LaTeX table; needs the packages booktabs, amssymb and graphicx."""
        text = self.sheet.latex()
        for sign, command in _LATEX.items():
            text = text.replace(sign, command)
        text = text.replace(r"\begin{tabular}", "\\resizebox{\\linewidth}{!}{%\n\\begin{tabular}")
        text = text.replace(r"\end{tabular}", "\\end{tabular}}")
        return text.replace(r"\usepackage{booktabs}", r"\usepackage{booktabs,amssymb,graphicx}")

    def html(self) -> str:
        """Return it as HTML, in a region that scrolls by itself where the screen is narrow."""
        prose = {place for row in self.rows for place, cell in enumerate(row) if cell.tone == "prose"}
        tones = [' class="prose"' if place in prose else "" for place in range(len(self.header))]
        head = "".join(
            f'<th scope="col"{tone}>{escape(name)}</th>' for tone, name in zip(tones, self.header, strict=True)
        )
        rows = "\n".join(self._rows())
        notes = "".join(f"<p class=notes>{escape(note)}</p>" for note in self.notes)
        return f"""<div class="wide" role="region" tabindex="0" aria-label="{escape(self.title)}">
<table><thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody></table></div>
{notes}"""

    def _rows(self) -> Iterator[str]:
        for row in self.rows:
            first, *rest = row
            if first.tone == "group":
                span = f'scope="rowgroup" colspan="{len(self.header)}"'
                yield f'<tr class="group"><th {span}>{_breakable(first.text)}</th></tr>'
            else:
                head = f'<th scope="row">{_content(first)}</th>'
                yield f"<tr>{head}{''.join(f'<td{_tone(cell)}>{_content(cell)}</td>' for cell in rest)}</tr>"


def _tone(cell: Cell) -> str:
    return f' class="{cell.tone}"' if cell.tone else ""


def _content(cell: Cell) -> str:
    mark = (
        f'<span class="mark" role="img" aria-label="{cell.tone}">{_SIGNS[cell.tone]}</span>'
        if cell.tone in _SIGNS
        else ""
    )
    small = "".join(f"<small>{escape(line)}</small>" for line in cell.small if line)
    return f"{mark}{_breakable(cell.text)}{small}"


def _breakable(text: str) -> str:
    """Let names with underscores be broken after them, not anywhere."""
    return escape(text).replace("_", "_<wbr>")
