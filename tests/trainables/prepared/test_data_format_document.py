"""docs/data-format.md: its example runs as it is printed, and its tables are those of the code."""

import re
import shlex
from pathlib import Path

import pytest

from platform.prepare import main
from trainables.config.trial import resolve
from trainables.datasets import load
from trainables.datasets.prepared.tables import TABLES, columns_of

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "data-format.md").read_text(encoding="utf-8")


def test_the_example_works_as_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(python|sh)\n(.*?)```", DOCUMENT, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "sh", "python"]
    for kind, text in blocks:
        if kind == "python":
            exec(compile(text, "docs/data-format.md", "exec"), {})
        for line in text.splitlines() if kind == "sh" else ():
            words = shlex.split(line)
            assert words[:3] == ["python", "-m", "platform.prepare"]
            assert main(words[3:]) == 0, line
    assert "0 error(s), 0 warning(s)" in capsys.readouterr().out
    config = resolve({"dataset.kind": "prepared", "dataset.path": "mine"})
    assert load(config.dataset).brains.subjects[0].bold.shape == (32, 20)


@pytest.mark.parametrize("name", TABLES)
def test_the_columns_are_those_of_the_code(name: str) -> None:
    section = DOCUMENT.partition(f"### {name}\n")[2].partition("\n#")[0]
    documented = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", section, re.MULTILINE)
    expected = [
        (c.name, str(c.type).replace("item: ", "") + ("" if c.required else ", may be empty"), c.meaning)
        for c in columns_of(TABLES[name])
    ]
    assert documented == expected
