"""The examples in docstrings of public functions are run, as they are printed."""

import doctest
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from storage.memory import MemoryStore
from storage.runs import RunStore
from tests.examples import failures
from tests.platform import noop_ablations
from tests.platform.noop_studies import inline_in, noop_study
from trainables.config.trial import resolve
from trainables.context import Context, StageTask

ROOT = Path(__file__).resolve().parent.parent
ENTRY_POINTS = {
    "platform.analysis.collect": "collect_ablation",
    "platform.mlflow_view.registry": "load_best",
    "platform.run.driver": "run_study",
    "platform.study.ablation_file": "load_ablation",
    "platform.study.sweep_file": "load_study",
    "trainables.execute": "execute",
    "trainables.metrics.pixels": "ssim",
    "trainables.stages.noop": "run",
}
"""Module to the function with which other programs begin."""
ELSEWHERE = ("platform.mlflow_view.registry",)
"""Modules whose examples need a server: its tests run them with `tests.examples`."""


def modules() -> Iterator[str]:
    """Yield the modules of the project whose docstrings have examples."""
    for tree in ("storage", "trainables", "platform"):
        for file in sorted((ROOT / tree).rglob("*.py")):
            if ">>> " in file.read_text(encoding="utf-8"):
                yield ".".join(file.relative_to(ROOT).with_suffix("").parts)


MODULES = tuple(modules())


@pytest.fixture
def names(tmp_path: Path) -> Mapping[str, Any]:
    """Return the names that examples may use without defining them, each explained there in a comment."""
    folder, output = tmp_path / "folder", tmp_path / "output"
    folder.mkdir()
    output.mkdir()
    runs = RunStore(MemoryStore(), cache=tmp_path / "cache")
    config = resolve({"noop.value": 0.5})
    return {
        "runs": runs,
        "folder": folder,
        "task": StageTask(config, 0, {}, Context(output, runs.checkpoints("noop-0000000000000000"))),
    }


@pytest.fixture
def study_names(tmp_path: Path) -> Mapping[str, Any]:
    """Return the same for examples of sweeps and ablations: a sweep of two trials, and a store with an ablation."""
    store = MemoryStore()
    ablation = noop_ablations.build(path="small.yaml")
    noop_ablations.register(ablation, store)
    noop_ablations.play(ablation, store)
    return {"study": noop_study(tmp_path, "trials: 2"), "options": inline_in(tmp_path / "home"), "store": store}


@pytest.mark.parametrize("module", [module for module in MODULES if module not in ELSEWHERE])
def test_the_examples_of_a_module_work(
    module: str, names: Mapping[str, Any], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    examples_may_use = {**names, **(request.getfixturevalue("study_names") if module.startswith("platform.") else {})}
    result = doctest.testmod(import_module(module), extraglobs=examples_may_use)
    assert result.attempted > 0
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {module} failed; see above"


@pytest.mark.parametrize(("module", "function"), ENTRY_POINTS.items())
def test_an_entry_point_has_an_example_that_is_run(module: str, function: str) -> None:
    documented = getattr(import_module(module), function).__doc__
    assert doctest.DocTestParser().get_examples(documented), f"{module}.{function} has no example"
    assert "+SKIP" not in documented
    assert module in MODULES


def test_a_wrong_example_is_found() -> None:
    def wrong() -> None:
        """Do nothing.

        >>> 1 + one
        3
        """

    assert failures(wrong, one=1) == 1
    assert failures(wrong, one=2) == 0
