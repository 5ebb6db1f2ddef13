"""The page of a trial: which clips it shows, that it needs nothing from outside, and that it says what must be said."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binom, ttest_rel

from trainables.datasets.clusters import each_its_own
from trainables.judging.controls import SYSTEMS, TRUTH, label_of
from trainables.judging.judged_trial import JudgedSplit, JudgedTrial
from trainables.judging.paired_marks import few_clips_note, paired_marks, paired_p
from trainables.judging.score_tables import ScoreRow
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.pages import trial_page
from trainables.pages.exhibits import choose_clips
from trainables.pages.strip import STRIP_ROWS, draw_strip, verdict_sentence

METRICS = tuple(CLIP_METRICS[name] for name in ("two_way_i", "ssim", "epe"))
SIDE, FRAMES = 16, 4


def judged(clips: int = 14, *, caption: str = "a red disc") -> JudgedTrial:
    """Flat clips whose brightness tells which they are; the first clip has the worst SSIM, the last the best."""
    grey = np.linspace(30, 220, clips).astype(np.uint8)[:, None, None, None, None]
    shape = (clips, FRAMES, SIDE, SIDE, 3)
    videos = {name: np.broadcast_to(grey + np.uint8(i), shape) for i, name in enumerate((TRUTH, *SYSTEMS))}
    values = {
        (system, metric.short): tuple(i / 20 + place / 100 for place in range(clips))
        for i, system in enumerate(SYSTEMS)
        for metric in METRICS
    }
    rows = [
        ScoreRow(system, "", m.short, clips, 0.5 + i, 0.4 + i, 0.6 + i)
        for i, system in enumerate(SYSTEMS)
        for m in METRICS
    ]
    rows[1] = ScoreRow("system", "", "ssim", 0, None, None, None)
    names = tuple(f"clip{place}" for place in range(clips))
    clusters = each_its_own(range(clips))
    split = JudgedSplit("test", tuple(range(clips)), names, clusters, (caption,) * clips, videos, values, tuple(rows))
    return JudgedTrial((split,), METRICS, (("reconstruct", "reconstruct-01<2"),))


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset") and value is not None]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_best_the_median_and_the_worst_by_value() -> None:
    values = [0.3, None, 0.9, 0.1, 0.5, 0.7, 0.2]
    assert choose_clips(values, CLIP_METRICS["ssim"], shown=1) == [("best", 1, 2), ("median", 3, 4), ("worst", 6, 3)]
    assert choose_clips(values, CLIP_METRICS["epe"], shown=1) == [("best", 1, 3), ("median", 3, 0), ("worst", 6, 2)]


@pytest.mark.parametrize("count", range(20))
def test_no_clip_is_shown_twice_and_places_are_in_order(count: int) -> None:
    chosen = choose_clips([float(value) for value in range(count)], CLIP_METRICS["ssim"])
    places = [place for _, place, _ in chosen]
    assert places == sorted(set(places))
    assert [count - place for place in places] == [index for _, _, index in chosen]
    assert len(chosen) == min(count, 12 if count >= 12 else max(count // 3, 1) * 3)


def test_a_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    trial_page.write_page(judged(caption="<script>alert(1)</script> & more"), tmp_path)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(link.startswith("data:image/webp;base64,") for link in page.links)
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text
    assert "<script>alert(1)</script> & more" in page.text
    assert "prefers-color-scheme: dark" in text
    assert "prefers-reduced-motion" in text


def test_every_control_stands_beside_the_system_with_chance_and_interval(tmp_path: Path) -> None:
    trial_page.write_page(judged(), tmp_path)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.tags.count("article") == 12
    assert page.tags.count("img") == 12 * (1 + len(SYSTEMS))
    for told in (
        "chance is 0.75, not 0.5",
        "None is selected by hand",
        "the best 4, the middle 4 and the worst 4",
    ):
        assert told in page.text
    for name, meaning in SYSTEMS.items():
        assert label_of(name) in page.text
        assert meaning in page.text
    for told in ("0.4000.600", "0.75", "undefined", "rank 1 of 14", "SSIM 0.130", "reconstruct-01<2"):
        assert told in page.text.replace(" to ", "")
    assert [page.text.index(group) for group in ("Best", "Median", "Worst")] == sorted(
        page.text.index(group) for group in ("Best", "Median", "Worst")
    )


def decoded(link: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))).convert("RGB"))


def test_strips_hold_all_frames_of_the_clip(tmp_path: Path) -> None:
    trial = judged()
    trial_page.write_page(trial, tmp_path)
    first = decoded(Page((tmp_path / "page.html").read_text(encoding="utf-8")).links[0])
    best = trial.splits[0].videos[TRUTH][13]
    assert first.shape == (SIDE, SIDE * FRAMES, 3)
    assert np.abs(first.astype(int) - np.concatenate(list(best), axis=1)).max() <= 2


def test_a_page_stays_below_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = judged(3)
    noise = np.random.default_rng(0).integers(0, 256, (3, FRAMES, 160, 120, 3), dtype=np.uint8)
    trial.splits[0].videos.update(dict.fromkeys((TRUTH, *SYSTEMS), noise))  # type: ignore[attr-defined]
    monkeypatch.setattr(trial_page, "LIMIT", 200_000)
    trial_page.write_page(trial, tmp_path)
    assert (tmp_path / "page.html").stat().st_size < 200_000
    assert decoded(Page((tmp_path / "page.html").read_text(encoding="utf-8")).links[0]).shape[0] < 128


def test_the_contact_sheet_has_a_row_for_each_and_a_column_for_each_clip(tmp_path: Path) -> None:
    trial_page.write_page(judged(), tmp_path)
    sheet = np.asarray(Image.open(tmp_path / "contact.png").convert("L")).astype(int)
    assert sheet.shape[0] > 64 * (1 + len(SYSTEMS))
    assert sheet.shape[1] > 12 * 3 * SIDE


def test_marks_are_of_paired_differences_adjusted_for_the_whole_table() -> None:
    """Clips differ by far more than systems, so intervals of means overlap; the differences are clear."""
    noise, clips = np.random.default_rng(0), 24
    hard = noise.normal(0.5, 0.2, clips)
    ssim, epe = CLIP_METRICS["ssim"], CLIP_METRICS["epe"]
    values: dict[tuple[str, str], list[float | None]] = {}
    for metric in (ssim, epe):
        for system, shift in (("system", 0.0), ("static", -0.03), ("ceiling", 0.03), ("plain", 0.0)):
            values[system, metric.short] = [*(hard + shift + noise.normal(0.0, 0.02, clips)).tolist(), None]
    found = paired_marks(values, (ssim, epe), ("system", "static", "ceiling", "plain"))
    assert found == {
        ("static", "ssim"): "worse",
        ("ceiling", "ssim"): "better",
        ("static", "epe"): "better",
        ("ceiling", "epe"): "worse",
    }
    few = {key: row[:5] for key, row in values.items()}
    assert paired_marks(few, (ssim, epe), ("system", "static", "ceiling")) == {}
    first, other = values["system", "ssim"][:-1], values["static", "ssim"][:-1]
    difference, p = paired_p(first, other)
    assert difference == pytest.approx(np.mean(other) - np.mean(first))  # type: ignore[arg-type]
    assert p == pytest.approx(ttest_rel(other, first).pvalue)


def test_tables_of_nothing_but_noise_have_marks_as_seldom_as_their_level_says() -> None:
    noise, tables, systems = np.random.default_rng(1), 300, ("system", "static", "ceiling", "plain")
    marked = 0
    for _ in range(tables):
        values = {(name, metric.short): noise.normal(size=20).tolist() for name in systems for metric in METRICS}
        marked += bool(paired_marks(values, METRICS, systems))
    assert marked <= binom.ppf(0.9999, tables, 0.05)


def test_few_clips_are_said_beside_their_intervals(tmp_path: Path) -> None:
    trial_page.write_page(judged(), tmp_path)
    text = Page((tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "A bootstrap interval over 14 clips is too narrow" in text
    assert few_clips_note(30) == ""


def with_two_way(split: JudgedSplit, *, control: float) -> JudgedSplit:
    means = {"system": 0.9, "shuffled_fmri": control, "ceiling": 0.999}
    rows = [ScoreRow(system, "", "two_way_i", 14, mean, mean - 0.05, mean + 0.04) for system, mean in means.items()]
    noise = np.random.default_rng(2)
    values = {(name, "two_way_i"): tuple((mean + noise.normal(0.0, 0.1, 14)).tolist()) for name, mean in means.items()}
    return replace(split, rows=tuple(rows), values={**split.values, **values})


@pytest.mark.parametrize(
    ("control", "verdict"), [(0.7, "show more of"), (0.88, "show no more of"), (1.2, "show less of")]
)
def test_the_sentence_of_a_strip_says_no_more_than_its_numbers(control: float, verdict: str) -> None:
    sentence = verdict_sentence(with_two_way(judged().splits[0], control=control))
    assert verdict in sentence
    assert f"2-way-I 0.90 [0.85, 0.94] against {control:.2f} [" in sentence
    assert "(chance 0.75, ceiling 1.00 [0.95, 1.04]) on 14 test clips." in sentence


def test_a_split_of_one_clip_has_no_control_and_no_strip(tmp_path: Path) -> None:
    split = judged(1).splits[0]
    rows = tuple(row for row in split.rows if row.system != "shuffled_fmri")
    with pytest.raises(ValueError, match="the control needs at least 2"):
        draw_strip(replace(split, rows=rows), tmp_path / "strip.png")


def test_a_strip_shows_truth_system_control_and_ceiling_of_the_best_the_median_and_the_worst(tmp_path: Path) -> None:
    split = with_two_way(judged().splits[0], control=0.7)
    sentence = draw_strip(split, tmp_path / "strip.png")
    assert sentence == verdict_sentence(split)
    picture = np.asarray(Image.open(tmp_path / "strip.png").convert("L")).astype(int)
    for column, clip in enumerate((13, 7, 0)):
        for row, name in enumerate(STRIP_ROWS):
            shade = picture[34 + 100 * row + 48, 180 + 404 * column + 48]
            assert abs(shade - int(split.videos[name][clip][0, 0, 0, 0])) <= 4, (column, name)
