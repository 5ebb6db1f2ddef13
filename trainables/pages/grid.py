"""Tables: one content, written as HTML (`table` of templates/kit.html), Markdown or LaTeX."""

from dataclasses import dataclass
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
    hint: str = ""
    """What a page shows of it under the pointer."""

    @property
    def sign(self) -> str:
        """The mark of its tone; empty where the tone has none."""
        return _SIGNS.get(self.tone, "")

    def __str__(self) -> str:
        mark = f" {self.sign}" if self.sign else ""
        return "; ".join(part for part in (self.text, *self.small) if part) + mark


@dataclass(frozen=True)
class Grid:
    """A table with what must be known to read it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    own: int | None = None
    """The column that a page sets off from the others."""

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

    def look(self, column: int) -> str:
        """Return how a page sets a column off: `own`, `prose` (where some cell is) or not at all."""
        if column == self.own:
            return "own"
        return "prose" if any(row[column].tone == "prose" for row in self.rows if column < len(row)) else ""
