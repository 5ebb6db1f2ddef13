"""Reports say whose the parts of each system are, and nothing where all conditions have the default one."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from platform.reporting.systems_table import systems_table
from platform.study.design import Condition
from platform.study.swept_stages import touched
from tests.platform.reporting.made_up_ablation import MadeUp
from trainables.config import presets, trial
from trainables.config.trial import resolve
from trainables.systems import ABOUT


def result(**conditions: dict[str, Any]) -> Any:
    changed = {name: Condition(overrides=overrides) for name, overrides in conditions.items()}
    design = MadeUp().design.model_copy(update={"conditions": changed})
    return SimpleNamespace(design=design)


def test_a_row_for_each_system_names_its_conditions() -> None:
    grid = systems_table(result(deep={"motion.depth": 3}, theirs={"system": "given"}, plugin={"system": "mine"}))
    assert grid is not None
    rows = {str(row[0]).partition(":")[0]: list(map(str, row)) for row in grid.rows}
    assert set(rows) == {"mindanimator", "given"}
    assert rows["mindanimator"][1] == "baseline, deep"
    assert rows["given"][2:5] == [ABOUT["given"].authors, ABOUT["given"].ours, ABOUT["given"].data]


def test_one_system_needs_no_table() -> None:
    assert systems_table(result(deep={"motion.depth": 3})) is None


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What `system: given` changes in shared sections, for one test; defaults are remembered."""
    changed = {"generator.steps": 7, "generator.guidance": 2.0}
    monkeypatch.setitem(presets.SYSTEMS, "given", changed)
    trial._defaults.cache_clear()
    yield changed
    trial._defaults.cache_clear()


def test_a_system_sets_defaults_that_a_trial_may_override(settings: dict[str, Any]) -> None:
    config = resolve({"system": "given", "given.path": "/x", "generator.guidance": 4.0})
    assert (config.generator.steps, config.generator.guidance) == (7, 4.0)
    assert config.generator.procedure == "img2img"
    assert resolve({}).generator.steps == 20
    assert touched("system") >= {"system", *settings}
