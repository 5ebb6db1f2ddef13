"""Small plug-ins for tests, as the text of their files."""

from pathlib import Path

DOUBLE = '''
"""Doubles a number."""

import math

from trainables.api import Config, Metric, NewStage, Plugin, Positive, StageResult


class Settings(Config):
    """Numbers of the stage."""

    value: float = 0.5
    """Number that is doubled."""
    scale: Positive = 1.0
    """Factor of the result."""


def run(task):
    settings = task.config.double
    return StageResult({"value": 2 * settings.value * settings.scale + task.seed})


PLUGIN = Plugin(
    api=1,
    stages=(NewStage(name="double", run=run, inputs=(), settings=Settings, seeded=True),),
    metrics=(Metric("double.value", title="twice", goal="min", low=-math.inf, high=math.inf, source="a test"),),
)
'''
SWEEP = """\
plugins: [double.py]
target: double.value
trials: 3
space:
  double.value: {uniform: [0.0, 1.0]}
"""
ABLATION = """\
plugins: double.py
primary: [double.value]
seeds: 6
unit: seeds
conditions:
  half: {double.value: 0.25}
"""


def written(folder: Path, **files: str) -> Path:
    """Write `name.py` and `name.yaml` files (`double_py=...`) into `folder` and return it."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder
