"""The data card says what one must know of a data set, in Markdown and as a page; it shows no clip unasked."""

import json
import re
from pathlib import Path

import numpy as np

from tests.trainables.prepared.labs import names, prepare_rows, prepare_series, rows_lab, series_lab, write_csv
from tests.trainables.prepared.test_reliability import LAG, TR, motion_lab, series_of
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.validate import checked_before


def cards(folder: Path) -> tuple[str, str]:
    return (folder / "card.md").read_text(), (folder / "card.html").read_text()


def test_the_card_of_a_series(tmp_path: Path) -> None:
    series_of(tmp_path / "lab", motion_lab(tmp_path / "lab"))
    write_csv(tmp_path / "lab" / "sub-01" / "runs.csv", {"run_id": ["run-8"], "excluded": ["he fell asleep"]})
    prepare_series(tmp_path / "lab", tmp_path / "out", lag=LAG * TR, citation=("Me et al. 2026",), space="fsLR-32k")
    digest = open_prepared(tmp_path / "out").description.digest
    for text in cards(tmp_path / "out"):
        plain = " ".join(re.sub(r"<[^>]+>", " ", text).split())
        for part in (
            "Data card: out", "CC0-1.0", "Me et al. 2026", "fsLR-32k", "source", digest, "he fell asleep",
            "Lag of sub-01" if text.startswith("#") else "lag 4 s", "Voxels by region", "PFC", "ceiling",
            "Known defects",
                        "What was done to the fMRI before", "texts per clip", "2 s",
        ):  # fmt: skip
            assert part in plain, part
        assert str(tmp_path / "out") not in text, "a card names no path of the machine but that of the source"
        assert ".out.partial" not in text


def test_the_table_of_splits_counts_clips_blocks_and_repeats(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    captions = json.loads((lab / "captions.json").read_text())
    (lab / "captions.json").write_text(json.dumps(dict.fromkeys(captions, captions["clip000"])))
    prepare_rows(lab, tmp_path / "out")
    text, page = cards(tmp_path / "out")
    assert "| the first text of a training clip | 3 of 3 | 3 of 3 |" in text
    assert "| split | clips | blocks | sources | repeats, sub-01 | repeats, sub-02 |" in text
    assert "| train | 6 | 2 | 2 | 2 | 2 |" in text
    assert "| test | 3 | 1 | 1 | 2 | 2 |" in text
    assert "<img" not in page
    assert "script" not in page


def test_previews_are_shown_only_where_the_licence_allows(tmp_path: Path) -> None:
    prepare_rows(rows_lab(tmp_path / "lab"), tmp_path / "out", previews=True)
    page = cards(tmp_path / "out")[1]
    assert page.count('<img src="data:image/webp') == 6
    assert "scene 0" in page


def test_findings_and_texts_are_escaped(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    (lab / "clips" / "clip000.gif").write_bytes((lab / "clips" / "clip011.gif").read_bytes())
    split = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    write_csv(lab / "clips.csv", {"clip_id": names(), "source": [f"f{i // 3}" for i in range(12)], "split": split})
    prepare_rows(lab, tmp_path / "out", name="<b>mine</b>", citation=("<i>",))
    text, page = cards(tmp_path / "out")
    assert "1 clip(s) have the pixels of a test or validation clip: clip000" in text
    assert "1 clip(s) have exactly the pixels of an earlier one" in text
    assert "| exactly the pixels of a training clip | 0 of 3 | 0 of 3 |" in text, "it is left out"
    assert "## Overlap of test and training clips" in text
    assert "| a film of which training clips were cut | 0 of 3 | 0 of 3 |" in text
    assert "<b>mine" not in page
    assert "&lt;b&gt;mine&lt;/b&gt;" in page


def test_a_card_may_be_edited_without_a_new_check(tmp_path: Path) -> None:
    prepare_series(series_lab(tmp_path / "lab"), tmp_path / "out")
    (tmp_path / "out" / "card.md").write_text("more")
    assert checked_before(tmp_path / "out") is not None


def test_the_page_of_a_set_without_regions_or_repeats(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    motion_lab(lab)
    (lab / "sub-01").mkdir()
    np.save(lab / "sub-01" / "rows.npy", np.random.default_rng(0).standard_normal((60, 3)))
    prepare_rows(lab, tmp_path / "out")
    text, _ = cards(tmp_path / "out")
    assert "| no region | 3 |" in text


def test_a_lag_that_is_rounded_to_whole_volumes_is_warned_about_and_stated(tmp_path: Path) -> None:
    result = prepare_series(series_lab(tmp_path / "lab", subjects=1), tmp_path / "out", lag=5.0)
    (warning,) = [problem for problem in result.report.warnings if problem.where.endswith("lag_s")]
    assert "is 5 s, not a whole number of volumes of 2 s; it is taken as 2 volume(s) = 4 s" in str(warning)
    for text in cards(tmp_path / "out"):
        assert "5 s from a clip&#39;s onset, in studies 2 volume(s) = 4 s" in text.replace("'", "&#39;")
        assert "it is taken as 2 volume(s) = 4 s" in text
    prepare_series(series_lab(tmp_path / "whole", subjects=1), tmp_path / "again", lag=4.0)
    assert "in studies" not in cards(tmp_path / "again")[0]


def test_clips_of_unknown_films_are_of_no_common_film(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    split = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    write_csv(lab / "clips.csv", {"clip_id": names(), "split": split})
    prepare_rows(lab, tmp_path / "out")
    text, _ = cards(tmp_path / "out")
    assert "| a film of which training clips were cut | 0 of 3 | 0 of 3 |" in text
    assert "| train | 6 | 6 | unknown | 2 | 2 |" in text
    assert "| test | 3 | 3 | unknown | 2 | 2 |" in text
