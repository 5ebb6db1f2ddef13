"""The HTML kit: what is given to a template is escaped, columns are set off, and one style sheet dresses everything."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from trainables.pages.drawing import Drawing
from trainables.pages.grid import Cell, Grid
from trainables.pages.kit import render_template

PARTS = """{% extends "page.html" %}{% import "kit.html" as kit %}
{% block content %}{{ kit.facts(pairs) }}{{ kit.table(grid) }}{{ kit.panels(drawings) }}{% endblock %}"""


def shown(folder: Path, *, grid: Grid) -> str:
    template = folder / "parts.html"
    template.write_text(PARTS, encoding="utf-8")
    drawing = Drawing("bars & dots", 10.0, 10.0)
    drawing.text(0, 0, "<label>")
    return render_template(template, title="a < b", pairs=[("<dt>", "x & y")], grid=grid, drawings=[drawing])


def test_what_is_given_to_a_page_is_escaped(tmp_path: Path) -> None:
    page = shown(tmp_path, grid=Grid("<t>", ("<h>", "v"), ((Cell("<c>", hint='"q"'), Cell("1", ("<s>",))),), ("<n>",)))
    for markup in ("<t>", "<h>", "<c>", "<s>", "<n>", "<label>", "<dt>x", '"q"', "a < b"):
        assert markup not in page
    for text in (
        "&lt;t&gt;",
        "&lt;c&gt;",
        "&lt;s&gt;",
        "&lt;n&gt;",
        "&lt;label&gt;",
        "x &amp; y",
        "&#34;q&#34;",
        "a &lt; b",
    ):
        assert text in page


def test_a_table_sets_off_its_own_column_and_prose_and_says_what_arrows_and_marks_mean(tmp_path: Path) -> None:
    row = (Cell("SSIM ↑"), Cell("0.5", ("0.4 to 0.6",), "better"), Cell("long_words", tone="prose"))
    page = shown(tmp_path, grid=Grid("t", ("metric ↓", "ours", "why"), (row,), own=1))
    assert '<th scope="col" class="own">ours</th>' in page
    assert '<td class="better own">' in page
    assert '<th scope="col" class="prose">why</th>' in page
    assert '<td class="prose">long_<wbr>words</td>' in page
    assert 'aria-label="better">▲</span>0.5<small>0.4 to 0.6</small>' in page
    assert 'aria-label="higher is better">↑' in page
    assert 'aria-label="lower is better">↓' in page


def test_pages_and_drawings_carry_the_same_style_sheet_and_need_nothing_else(tmp_path: Path) -> None:
    page, alone = shown(tmp_path, grid=Grid("t", ("x",), ())), Drawing("d", 1.0).svg(alone=True)
    style = re.search(r"<style>\s*(.*?)\s*</style>", page, re.DOTALL)
    assert style is not None
    assert style[1] in alone
    assert not re.search(r"url\(|@import|https?:|<script|<link", page)
    assert "prefers-color-scheme: dark" in style[1]
    assert "@media print" in style[1]


def test_a_name_that_a_template_lacks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "wrong.html").write_text("{{ missing }}", encoding="utf-8")
    with pytest.raises(UndefinedError, match="missing"):
        render_template(tmp_path / "wrong.html", title="t")
