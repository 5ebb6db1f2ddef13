"""Recorded studies with plug-ins: views read them without their code, repetitions run it only after consent."""

import importlib
import re
from pathlib import Path

import pytest

from platform import ablate, export, rebuild, report, reproduce, resume, status, sweep
from tests.plugin_files import ABLATION, DOUBLE, SWEEP, written

import_study = importlib.import_module("platform.import").main  # `import` is a keyword
MARK = 'open("EXECUTED", "a").write("x")'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    marked = DOUBLE.replace("import math\n", f"import math\n\n{MARK}\n")
    return written(tmp_path, double_py=marked, sweep_yaml=SWEEP, ablation_yaml=ABLATION)


def executed(folder: Path) -> bool:
    """Return whether code of the plug-in was executed since the last call."""
    mark = folder / "EXECUTED"
    was_executed = mark.exists()
    mark.unlink(missing_ok=True)
    from trainables.plugins.loading import load_plugin

    load_plugin.cache_clear()
    return was_executed


@pytest.fixture
def finished(folder: Path, no_figures: None) -> Path:
    assert sweep.main(["sweep.yaml", "--inline", "--home", "home"]) == 0
    assert ablate.main(["ablation.yaml", "--inline", "--home", "home"]) == 0
    assert executed(folder)
    (folder / "double.py").unlink()
    return folder


def test_status_report_and_rebuild_execute_no_code_of_a_plugin(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", "home"]
    assert status.main(home) == status.main(["sweep", *home]) == status.main(["ablation", *home]) == 0
    assert report.main(["ablation", *home]) == 0
    assert rebuild.main(["ablation", *home]) == 0
    page = (finished / "home" / "reports" / "ablation" / "report.html").read_text(encoding="utf-8")
    assert "twice" in page
    assert re.search(r"plug-in double\W.*?SHA-256 [0-9a-f]{64}", page, re.DOTALL)
    assert not executed(finished)


@pytest.mark.parametrize("study", ["sweep", "ablation"])
def test_recorded_code_is_executed_only_after_consent_to_its_digest(
    finished: Path, capsys: pytest.CaptureFixture[str], study: str
) -> None:
    for verb in (reproduce, resume):
        assert verb.main([study, "--home", "home"]) == 2
        text = capsys.readouterr().err
        assert "Nothing of it is executed without your consent" in text
        assert not executed(finished)
        digest = text.rpartition("--trust-plugin ")[2].split()[0]
        assert verb.main([study, "--home", "home", "--trust-plugin", "0" * 64]) == 2
        assert not executed(finished)
        inline = ["--inline"] if verb is resume else []
        assert verb.main([study, "--home", "home", "--trust-plugin", digest, *inline]) == 0
        assert executed(finished)


def test_a_bundle_brings_the_plugin_and_executes_it_only_after_consent(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main(["ablation", "bundle", "--artifacts", "all", "--home", "home"]) == 0
    assert import_study(["bundle", "--home", "there"]) == 0
    assert report.main(["ablation", "--home", "there"]) == status.main(["ablation", "--home", "there"]) == 0
    capsys.readouterr()
    assert reproduce.main(["ablation", "--home", "there"]) == 2
    text = capsys.readouterr().err
    assert "Nothing of it is executed without your consent" in text
    assert not executed(finished)
    digest = text.rpartition("--trust-plugin ")[2].split()[0]
    assert reproduce.main(["ablation", "--home", "there", "--trust-plugin", digest]) == 0
    assert executed(finished)
    assert "bit-equal" in capsys.readouterr().out
