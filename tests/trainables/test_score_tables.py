"""Means with their intervals, over which clips they are taken, and how they are written."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import t as student

from trainables.judging.score_tables import mean_and_interval, score_sheet, summarise_scores
from trainables.judging.values import Value
from trainables.metrics.clip_metrics import CLIP_METRICS

SSIM, HUE = CLIP_METRICS["ssim"], CLIP_METRICS["hue_pcc"]


def value(system: str, clip: str, number: float | None, *, metric: str = "ssim") -> Value:
    return Value(system, "", clip, metric, number, "" if number is not None else "grey")


def test_means_are_over_the_clips_that_all_systems_have_defined() -> None:
    values = [
        *(value("a", clip, number) for clip, number in (("1", 0.1), ("2", 0.2), ("3", 0.9))),
        *(value("b", clip, number) for clip, number in (("1", 0.3), ("2", 0.5), ("3", None))),
    ]
    rows = {row.system: row for row in summarise_scores(values, [SSIM]) if row.control == ""}
    assert (rows["a"].clips, rows["b"].clips) == (2, 2)
    assert rows["a"].mean == pytest.approx(0.15)
    assert rows["b"].mean == pytest.approx(0.4)


def test_systems_without_a_common_clip_keep_their_own() -> None:
    rows = {
        row.system: row
        for row in summarise_scores([value("a", "1", 0.1), value("b", "2", 0.3)], [SSIM])
        if row.control == ""
    }
    assert (rows["a"].mean, rows["b"].mean) == (0.1, 0.3)


def test_special_characters_survive_markdown_and_latex() -> None:
    written = score_sheet(
        summarise_scores([value("my_net|50%", "1", 0.1)], [SSIM]), [SSIM], title="a & b", notes=["100% {of} it"]
    )
    assert r"my\_net\textbar{}50\%" in written.latex()
    assert r"\caption{a \& b. 100\% \{of\} it}" in written.latex()
    assert "| metric | chance | clips | my_net/50% |" in written.markdown()
    assert "| SSIM ↑ | see right | 1 | 0.100 |" in written.markdown()


def test_intervals_cover_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    covered = [
        low <= 0 <= high
        for _, low, high in (mean_and_interval(list(random.normal(size=60))) for _ in range(200))
        if low is not None and high is not None
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)
    sample = list(random.normal(size=400))
    half = student.ppf(0.975, 399) * np.std(sample, ddof=1) / 20
    mean, low, high = mean_and_interval(sample)
    assert (mean, low, high) == pytest.approx(
        (np.mean(sample), np.mean(sample) - half, np.mean(sample) + half), abs=0.02
    )


def test_degenerate_samples_have_no_or_a_flat_interval() -> None:
    assert mean_and_interval([]) == (None, None, None)
    assert mean_and_interval([1.0, 2.0]) == (1.5, None, None)
    assert mean_and_interval([0.5] * 10) == (0.5, 0.5, 0.5)


def test_a_metric_undefined_everywhere_is_said_so_in_the_table() -> None:
    values = [value("ours", "a", None, metric="hue_pcc"), value("ours", "a", 0.5)]
    rows = summarise_scores(values, [HUE, SSIM])
    assert [str(row) for row in rows if row.control == ""] == ["undefined", "0.500"]


def test_on_a_narrow_terminal_no_number_is_cut() -> None:
    numbers = [
        value(system, str(clip), 0.1 * clip) for system in ("a", "b", "c", "d", "e", "f", "g") for clip in range(9)
    ]
    table = score_sheet(summarise_scores(numbers, [SSIM]), [SSIM], title="scores", notes=["a note"])
    console = Console(width=80, record=True, file=StringIO())
    console.print(table.terminal(width=80))
    shown = console.export_text()
    words = {word for cell in table.body[0] for word in cell.split(" ")}
    assert "a note" in shown
    assert all(word in shown for word in words)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert sum(line.startswith("┏") for line in shown.splitlines()) == 2
