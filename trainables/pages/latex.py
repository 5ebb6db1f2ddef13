"""Tables as LaTeX that can be read: at 7 points or more, turned or split if they are wide, over several pages if long.

The packages are booktabs, amssymb, longtable and pdflscape. Everything that pdflatex cannot set is replaced.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainables.latex_text import escaped

if TYPE_CHECKING:
    from trainables.pages.grid import Cell, Grid

PACKAGES = "booktabs,amssymb,longtable,pdflscape"
PORTRAIT = 88
"""Letters of 7 points that fit on a line of an article on A4 or letter paper (345 points)."""
LANDSCAPE = 150
"""The same on a turned page."""
PROSE = 46
"""Letters on a line of a column of long texts."""
_GAP = 3
"""Width of the space between two columns, in letters."""


def latex_tables(grid: "Grid") -> str:
    """Return `grid` as one or more tables. A grid that is wider than a turned page is split by columns."""
    widths = [_width(grid, column) for column in range(len(grid.header))]
    parts = _parts(widths)
    tables = [_table(grid, columns, widths, part=number) for number, columns in enumerate(parts)]
    return f"% needs \\usepackage{{{PACKAGES}}}\n" + "\n".join(tables)


def _width(grid: "Grid", column: int) -> int:
    """Return the width of a column in letters."""
    return PROSE if _is_wrapped(grid, column) else _longest(grid, column)


def _longest(grid: "Grid", column: int) -> int:
    cells = [row[column] for row in grid.rows if column < len(row) and row[column].tone != "group"]
    lines = [line for cell in cells for line in _lines(cell)]
    return max(map(len, (grid.header[column], *lines)))


def _is_wrapped(grid: "Grid", column: int) -> bool:
    """Return whether the texts of a column are too long for one line."""
    return _is_prose(grid, column) and _longest(grid, column) > PROSE


def _is_prose(grid: "Grid", column: int) -> bool:
    return grid.column_class(column) == "prose"


def _lines(cell: "Cell") -> tuple[str, ...]:
    first = f"{cell.text} {cell.sign}".strip()
    return tuple(line for line in (first, *cell.small) if line)


def _parts(widths: Sequence[int]) -> list[list[int]]:
    """Return the columns of each table; each begins with the first column."""
    parts = [[0]]
    for column in range(1, len(widths)):
        together = sum(widths[index] + _GAP for index in (*parts[-1], column))
        if together > LANDSCAPE and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(column)
    return parts


def _table(grid: "Grid", columns: Sequence[int], widths: Sequence[int], *, part: int) -> str:
    turned = sum(widths[column] + _GAP for column in columns) > PORTRAIT
    header = " & ".join(escaped(grid.header[column]) for column in columns) + r" \\"
    title = escaped(grid.title) + (" (continued)" if part > 0 else "")
    lines = [
        r"{\scriptsize\setlength{\tabcolsep}{4pt}",
        rf"\begin{{longtable}}{{{''.join(_alignment(grid, column) for column in columns)}}}",
        rf"\caption{{{title}}}\\",
        r"\toprule",
        header,
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *(_row(grid, row, columns) for row in grid.rows),
        r"\end{longtable}",
        *((f"\\noindent {escaped(' '.join(grid.notes))}\\par",) if grid.notes and part == 0 else ()),
        "}",
    ]
    return "\n".join([r"\begin{landscape}", *lines, r"\end{landscape}"] if turned else lines) + "\n"


def _alignment(grid: "Grid", column: int) -> str:
    if _is_wrapped(grid, column):
        return rf"p{{{PROSE}ex}}"
    return _side(grid, column)


def _side(grid: "Grid", column: int) -> str:
    return "l" if column == 0 or grid.column_class(column) in ("prose", "text") else "r"


def _row(grid: "Grid", row: Sequence["Cell"], columns: Sequence[int]) -> str:
    if row[0].tone == "group":
        return rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{{escaped(row[0].text)}}}}} \\"
    cells = []
    for column in columns:
        lines = [escaped(line) for line in _lines(row[column])] if column < len(row) else []
        stacked = len(lines) > 1 and not _is_wrapped(grid, column)
        cells.append(_stack(lines, _side(grid, column)) if stacked else " ".join(lines))
    return " & ".join(cells) + r" \\ \addlinespace[2pt]"


def _stack(lines: Sequence[str], side: str) -> str:
    """Return lines above each other; the first stands beside those of the other columns."""
    stacked = r"\\ ".join(lines)
    return rf"\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}{stacked}\end{{tabular}}"
