"""docs/api.md names exactly the public API, and docs/own-decoder.md runs from a folder outside the project."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.programs import ROOT
from trainables import api
from trainables.api import decoders, videos
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.video import Reading
from trainables.plugins.active import load_plugins
from trainables.plugins.source import read_source

API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "docs" / "own-decoder.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [api, decoders, videos], ids=lambda module: module.__name__)
def test_the_page_lists_the_public_names_of_each_module(module: object) -> None:
    name, public = vars(module)["__name__"], vars(module)["__all__"]
    section = API.partition(f"## `{name}`")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert {word for cell in first_cells for word in re.findall(r"`(\w+)`", cell)} == set(public)
    assert all(hasattr(module, word) for word in public)


@pytest.mark.parametrize("name", ["Plugin", "Decoder", "NewStage", "VideoMetric", "VideoControl", "DatasetKind"])
def test_the_page_names_every_field_of_a_declaration(name: str) -> None:
    row = next(line for line in API.splitlines() if line.startswith(f"| `{name}` |"))
    words = set(re.findall(r"`(\w+)", row))
    assert {field.name for field in dataclasses.fields(vars(api)[name])} <= words


def test_the_page_has_the_version_of_the_code() -> None:
    assert API.startswith(f"# The API for plug-ins, version {api.API_VERSION}\n")


def test_the_example_is_short_and_declares_what_the_page_says() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", EXAMPLE, re.DOTALL)
    assert len(program.splitlines()) < 60


def test_the_example_of_a_metric_judges_videos(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", API, re.DOTALL)
    (tmp_path / "mae.py").write_text(program, encoding="utf-8")
    truth, other = (Reading(np.full((8, 32, 32, 3), grey, np.uint8), {}, {}) for grey in (0, 7))
    with load_plugins([read_source("mae.py", folder=tmp_path)]).active():
        metric = CLIP_METRICS["mae"]
        assert (metric.name, metric.goal) == ("evaluate.mae", "min")
        assert metric.score(truth, other) == 7


@pytest.mark.long
def test_the_text_of_the_example_gives_a_report_with_a_p_value(tmp_path: Path) -> None:
    for language, name in (("python", "drift.py"), ("yaml", "own.yaml")):
        (text,) = re.findall(rf"```{language}\n(.*?)```", EXAMPLE, re.DOTALL)
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = next(
        line.strip() for line in EXAMPLE.splitlines() if "--inline" in line and line.startswith("    python")
    )
    arguments = command.replace("FOLDER", str(tmp_path)).split()[1:]
    done = subprocess.run(
        [sys.executable, *arguments, "--home", str(tmp_path / "home")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"Under drift, .* changes by .*p \(Holm\) = 0\.\d+, 6 seeds", done.stdout), done.stdout
    assert (tmp_path / "home" / "reports" / "own" / "report.html").is_file()
