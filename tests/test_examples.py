"""The examples in docstrings of public functions are run, as they are printed."""

import doctest
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from storage.memory import MemoryStore
from storage.runs import RunStore

MODULES = (
    "storage.lease",
    "storage.parallel",
    "storage.runs",
    "storage.uri",
    "trainables.config.trial",
    "trainables.datasets.errors",
    "trainables.datasets.prepared.digest",
    "trainables.execute",
    "trainables.graph",
    "trainables.metrics.flow",
    "trainables.metrics.nway",
    "trainables.metrics.pixels",
    "trainables.metrics.clip_metrics",
    "trainables.metrics.registry",
    "trainables.metrics.retrieval",
    "trainables.pages.exhibits",
    "trainables.preparation.atlas",
    "trainables.preparation.bids_files",
    "trainables.preparation.filtering",
    "trainables.preparation.lag",
    "trainables.preparation.noise_ceiling",
    "trainables.preparation.series",
)
"""Modules with examples. Add a module here when its docstrings get one."""


@pytest.fixture
def names(tmp_path: Path) -> Mapping[str, Any]:
    """Return the names that examples may use without defining them: an empty store of runs, and an empty folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return {"runs": RunStore(MemoryStore(), cache=tmp_path / "cache"), "folder": folder}


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_work(module: str, names: Mapping[str, Any]) -> None:
    result = doctest.testmod(import_module(module), extraglobs=dict(names))
    assert result.attempted > 0, f"{module} has no example; remove it from MODULES"
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {module} failed; see above"
