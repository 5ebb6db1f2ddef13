"""The overlap of test and training clips in the report of an ablation."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from platform.reporting.overlap import overlap_table
from platform.study.design import BASELINE
from storage.memory import MemoryStore
from storage.runs import Manifest, RunStore

QUANTILES = {"0%": 0.5, "25%": 0.6, "50%": 0.71, "75%": 0.8, "100%": 1.0}
OVERLAP = {"clips": 120, "same_frames": 3, "quantiles": QUANTILES, "any_training_clip": 0.25}


def result(tmp_path: Path, *, stored: bool = True) -> Any:
    runs = RunStore(MemoryStore(), cache=tmp_path / "cache")
    if stored:
        folder = tmp_path / "library"
        folder.mkdir()
        (folder / "overlap.json").write_text(json.dumps({"validation": {}, "test": OVERLAP}))
        runs.commit(Manifest("library-1", "library", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0), folder)
    trial = SimpleNamespace(identities={"library": "library-1"})
    before = SimpleNamespace(identities={"evaluate": "evaluate-1"})
    trials = {(BASELINE, 1, 0): before, (BASELINE, 0, 0): trial, (BASELINE, 0, 1): trial, ("other", 2, 0): trial}
    return SimpleNamespace(trials=trials, runs=runs)


def test_a_row_for_each_subject_says_how_near_its_test_clips_are(tmp_path: Path) -> None:
    grid = overlap_table(result(tmp_path))
    assert grid is not None
    (row,) = grid.rows
    texts = [str(cell) for cell in row]
    assert texts == ["0", "120", "3", "0.500", "0.600", "0.710", "0.800", "1.000", "0.250"]
    assert len(grid.header) == len(texts)


def test_without_the_stage_or_its_artifacts_there_is_no_table(tmp_path: Path) -> None:
    assert overlap_table(result(tmp_path, stored=False)) is None
