"""The programs of docs/results.md run as they are printed, on a small sweep of cmg.yaml."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from platform.sweep import main

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "dataset.train_clips=40", "dataset.validation_clips=10", "dataset.test_clips=10", "dataset.block_clips=2",
    "features.image_variants=0", "features.text_variants=0", "structure.train.epochs=1", "motion.train.epochs=1",
    "scheduler=fifo",
)  # fmt: skip


@pytest.mark.long
def test_the_programs_run_as_they_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "results.md").read_text("utf-8"), re.DOTALL)
    assert ["pandas" in programs[0], "duckdb" in programs[1], "mlflow" in programs[2], len(programs)] == [True] * 3 + [
        3
    ]
    settings = [word for setting in SMALL for word in ("--set", setting)]
    file = str(ROOT / "search_spaces" / "cmg.yaml")
    assert main([file, "--inline", "--points", "2", *settings, "--home", str(tmp_path / "runs")]) == 0
    monkeypatch.chdir(tmp_path)
    for program in programs:
        if "duckdb" not in program or find_spec("duckdb") is not None:
            capsys.readouterr()
            exec(compile(program, "docs/results.md", "exec"), {})
            assert re.search(r"t0000|COMPLETED", capsys.readouterr().out), program
