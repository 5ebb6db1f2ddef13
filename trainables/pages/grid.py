"""Tables that can be written as HTML (`table` of templates/kit.html), Markdown or LaTeX."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from trainables.judging.score_tables import Sheet
from trainables.pages.latex import latex_tables

Tone = Literal["", "better", "worse", "same", "agrees", "opposite", "quiet", "prose", "group"]
_NUMBER = re.compile(r"[^\w]*\d")
"""The start of a number, with signs before it."""
_WORD = re.compile(r"\w")
_SIGNS = {"better": "▲", "worse": "▼", "same": "=", "agrees": "✓", "opposite": "✗"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    small: tuple[str, ...] = ()
    """Smaller lines under the text."""
    tone: Tone = ""
    """Colour and mark. `prose` is long text. `group` is a heading of the following rows, alone in its row."""
    hint: str = ""
    """Tooltip of the cell in a page."""

    @property
    def sign(self) -> str:
        """The mark of its tone; empty if the tone has none."""
        return _SIGNS.get(self.tone, "")

    def __str__(self) -> str:
        mark = f" {self.sign}" if self.sign else ""
        return "; ".join(part for part in (self.text, *self.small) if part) + mark


@dataclass(frozen=True)
class Grid:
    """A table with the notes that explain it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    own: int | None = None
    """Index of the column that a page highlights."""

    @property
    def sheet(self) -> Sheet:
        """The table as plain texts."""
        width = len(self.header)
        body = tuple(tuple(map(str, row)) + ("",) * (width - len(row)) for row in self.rows)
        return Sheet(self.title, self.header, body, self.notes)

    def markdown(self) -> str:
        """Return the table as Markdown."""
        return self.sheet.markdown()

    def latex(self) -> str:
        """Return the table as LaTeX: one or more tables, as `trainables.pages.latex` describes."""
        return latex_tables(self)

    def column_class(self, column: int) -> str:
        """Return the CSS class of a column: `own` (highlighted), `prose` (a cell is), `text` (no number), or none."""
        if column == self.own:
            return "own"
        return "prose" if column in self._prose_columns else "text" if column in self._text_columns else ""

    @cached_property
    def _prose_columns(self) -> frozenset[int]:
        """The columns with long texts. They are asked for at every cell, so they are found once."""
        return frozenset(index for row in self.rows for index, cell in enumerate(row) if cell.tone == "prose")

    @cached_property
    def _text_columns(self) -> frozenset[int]:
        """The columns of texts that do not begin with a number, which are read from the left."""
        filled = {index for row in self.rows for index, cell in enumerate(row) if _WORD.search(cell.text)}
        numbers = {index for row in self.rows for index, cell in enumerate(row) if _NUMBER.match(cell.text)}
        return frozenset(filled - numbers)


def grid_of(sheet: Sheet) -> Grid:
    """Return a table of plain texts as a grid."""
    rows = tuple(tuple(map(Cell, line)) for line in sheet.body)
    return Grid(sheet.title, sheet.header, rows, sheet.notes)
