"""Search-space texts that tests read, and how they read them."""

import pytest

from platform.errors import UserError
from platform.study import yaml_source
from platform.study.study import Study
from platform.study.sweep_file import build_study

NOOP = """\
target: noop.value
trials: 4
space:
  noop.value: {uniform: [0, 1]}
  noop.fail_at: {int: [0, 3]}
"""
"""The smallest study: it needs no data set."""

MOTION = """\
target: motion.rollout_mse
trials: 4
base:
  motion.depth: 2
space:
  motion.train.lr: {log_uniform: [1e-4, 1e-2]}
"""
"""A small sweep of the motion decoder without a mistake."""


def build(text: str, *settings: str, name: str = "test") -> Study:
    return build_study(yaml_source.parse(text, path="test.yaml"), name=name, settings=settings)


def complaints(text: str, *settings: str) -> list[str]:
    """Return the lines of the `UserError` that `text` must raise."""
    with pytest.raises(UserError) as caught:
        build(text, *settings)
    return str(caught.value).splitlines()
