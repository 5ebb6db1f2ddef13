"""The counts of `tests.structure`, on small trees."""

from pathlib import Path

import pytest

from tests import structure


def tree(root: Path, files: dict[str, str]) -> tuple[structure.Module, ...]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return structure.modules(root)


def test_a_circle_is_found_across_three_rooms_and_inside_functions(tmp_path: Path) -> None:
    modules = tree(
        tmp_path,
        {
            "platform/cli.py": "import platform.run.driver\n",
            "platform/run/driver.py": "def start():\n    from platform.screen import progress\n",
            "platform/screen/progress.py": "from platform import cli\nfrom platform.errors import UserError\n",
            "platform/errors.py": "import trainables.loop\n",
            "trainables/loop.py": "",
        },
    )
    assert structure.circles(structure.rooms(modules)) == [("platform.cli", "platform.run", "platform.screen")]


def test_imports_within_a_room_and_downwards_are_no_circle(tmp_path: Path) -> None:
    modules = tree(
        tmp_path,
        {
            "trainables/metrics/__init__.py": "",
            "trainables/metrics/video.py": "from trainables.metrics import flow\n",
            "trainables/metrics/flow.py": "from trainables.metrics.video import score\n",
            "trainables/stages/evaluate.py": "from trainables import metrics\nimport storage.uri\n",
            "storage/uri.py": "",
        },
    )
    graph = structure.rooms(modules)
    assert graph == {"trainables.metrics": set(), "trainables.stages": {"trainables.metrics"}}
    assert structure.circles(graph) == []


@pytest.mark.parametrize(
    "definition",
    ["class Plan: pass", "def Plan(): pass", "Plan = dict[str, int]", "Plan: int = 3", "async def Plan(): 1"],
)
def test_a_name_that_two_modules_define_is_counted(tmp_path: Path, definition: str) -> None:
    modules = tree(tmp_path, {"platform/plan.py": definition, "storage/plan.py": "class Plan: pass"})
    (definitions,) = structure.ambiguous_names(modules).values()
    assert [definition.module for definition in definitions] == ["platform.plan", "storage.plan"]


def test_private_names_imports_methods_and_type_variables_are_not_counted(tmp_path: Path) -> None:
    text = 'from typing import TypeVar\nItem = TypeVar("Item")\n_hidden = 1\nclass {}:\n    def run(self): pass\n'
    modules = tree(tmp_path, {"platform/a.py": text.format("A"), "storage/b.py": text.format("B")})
    assert structure.ambiguous_names(modules) == {}


def test_the_same_function_of_every_stage_is_one_meaning_and_another_one_is_not(tmp_path: Path) -> None:
    run = "def run(): pass\n"
    stages = {"trainables/stages/data.py": run, "trainables/stages/voxels.py": run}
    assert structure.ambiguous_names(tree(tmp_path, stages)) == {}
    assert list(structure.ambiguous_names(tree(tmp_path, {"platform/study.py": run}))) == ["run"]
