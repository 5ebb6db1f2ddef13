"""Tables of reports as LaTeX: every sign is set by pdflatex, no line is too wide, and letters have 7 points or more."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from platform.reporting.making import make_report
from storage.memory import MemoryStore
from tests.platform.reporting.made_up_ablation import EPE, SSIM, STUDY, TWO_WAY, MadeUp, write_study
from trainables.latex_text import escaped
from trainables.pages.grid import Cell, Grid
from trainables.pages.latex import PACKAGES

DOCUMENT = r"""\documentclass{article}
\usepackage{%s}
\begin{document}
\input{report}
\end{document}
"""


@pytest.fixture(scope="module")
def pdflatex() -> str:
    found = shutil.which("pdflatex")
    if found is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-base texlive-latex-recommended)")
    return found


def compiled(pdflatex: str, folder: Path) -> str:
    """Compile `report.tex` in `folder`; return the log."""
    (folder / "document.tex").write_text(DOCUMENT % PACKAGES, encoding="utf-8")
    command = [pdflatex, "-halt-on-error", "-interaction=nonstopmode", "document.tex"]
    for _ in range(2):  # longtable measures its columns in the first run
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-2000:]
    return (folder / "document.log").read_text(encoding="latin-1")


def too_wide(log: str) -> list[float]:
    """Return by how many points lines or tables leave the page, if it can be seen (2 points)."""
    return [points for width in re.findall(r"Overfull .hbox \(([\d.]+)pt", log) if (points := float(width)) > 2]


def test_a_report_like_table_6_fits_its_pages(tmp_path: Path, pdflatex: str) -> None:
    removed = {"semantic": TWO_WAY, "structure": SSIM, "motion": EPE}
    names = [name for part in removed for name in (f"wo_{part}", f"{part}_shuffled")]
    family = [(name, removed[name.removeprefix("wo_").removesuffix("_shuffled")]) for name in names]
    made = MadeUp(
        seeds=9,
        clips=6,
        family=family,
        effects={name: {} for name in names},
        published=False,
        failed=frozenset({"wo_motion-u0-s3"}),
        error="OSError: [Errno 2] könnte nicht 打开 ‘a_b’ → 100% \u03b5 \x1b[31m^ ~ {x} <y> | café ðþ",
    )
    store = MemoryStore()
    write_study(store, tmp_path, made)
    make_report(store, STUDY, tmp_path / "report")
    text = (tmp_path / "report" / "report.tex").read_text(encoding="utf-8")
    assert "resizebox" not in text
    assert not re.search(r"\\tiny", text)
    assert text.isascii()
    assert too_wide(compiled(pdflatex, tmp_path / "report")) == []


def test_published_values_beside_ours_fit_their_pages(tmp_path: Path, pdflatex: str) -> None:
    store = MemoryStore()
    write_study(store, tmp_path, MadeUp(subjects=(0, 1), seeds=9, clips=6, importance=True))
    make_report(store, STUDY, tmp_path / "report")
    assert too_wide(compiled(pdflatex, tmp_path / "report")) == []


def test_a_grid_wider_than_a_turned_page_is_split_and_each_part_names_its_rows() -> None:
    row = (Cell("wo_motion"), *(Cell("0.123456789", ("[0.1, 0.2], a long line below it",)) for _ in range(9)))
    text = Grid("wide", ("condition", *(f"metric {number}" for number in range(9))), (row,)).latex()
    tables = text.split(r"\begin{longtable}")[1:]
    assert len(tables) == 3
    assert all(r"wo\_motion" in table for table in tables)
    assert {name for table in tables for name in re.findall(r"metric \d", table)} == {f"metric {n}" for n in range(9)}


@pytest.mark.parametrize(
    ("text", "latex"), [("é", r"\'{e}"), ("打", "[U+6253]"), ("\x1b", " "), ("a|b", r"a\textbar{}b"), ("[1", "{[}1")]
)
def test_signs(text: str, latex: str) -> None:
    assert escaped(text) == latex
