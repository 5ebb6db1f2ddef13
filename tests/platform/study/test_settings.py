"""`--set KEY=VALUE`: paths are taken as they are written, and every mistake is told with its setting."""

from pathlib import Path

import pytest

from tests.platform.study_texts import NOOP, build, complaints


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("/data/my data #2", "/data/my data #2"),
        ("/data/2024: new", "/data/2024: new"),
        ("'/data/quoted'", "/data/quoted"),
        ("/2024", "/2024"),
        ("2024", str(Path.cwd() / "2024")),
    ],
)
def test_a_path_is_taken_as_it_is_written(setting: str, path: str) -> None:
    study = build(NOOP, "dataset.kind=folder", f"dataset.path={setting}")
    assert study.space.base["dataset.path"] == path


@pytest.mark.parametrize(
    ("setting", "phrases"),
    [
        ("trials", ["must be KEY=VALUE"]),
        ("=3", ["must be KEY=VALUE"]),
        ("trials=many", ["--set trials=many: trials: must be a valid integer"]),
        ("sampler=tpee", ["--set sampler=tpee: sampler:", "did you mean tpe"]),
        ("motion.dept=3", ["--set motion.dept=3: motion.dept:", "did you mean motion.depth"]),
        ("motion.depth=deep", ["--set motion.depth=deep: base.motion.depth: must be a valid integer"]),
        ("motion.depth=[", ["is not a YAML value"]),
        ("noop.value=0.5", ["is swept at test.yaml:4:3"]),
        ("trails=3", ["did you mean trials"]),
        ("dataset.path=", ["--set dataset.path=: dataset.path: is empty"]),
    ],
)
def test_settings_that_cannot_be(setting: str, phrases: list[str]) -> None:
    text = "\n".join(complaints(NOOP, setting))
    assert [phrase for phrase in phrases if phrase not in text] == []
