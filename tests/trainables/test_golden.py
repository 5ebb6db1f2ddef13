"""No stage and no metric changes without a new version; the guard itself sees what it must, and no more."""

import json
from dataclasses import replace

import pytest

from tests.golden import results, sources
from tests.golden.results import COMMAND, Recorded, recorded, refusals
from trainables.stage_table import STAGES

RECORDED = recorded()
RAISE = "raise the version in trainables/stage_table.py"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_makes_what_it_made_at_this_version(stage: str) -> None:
    assert stage in RECORDED.stages, f"{stage} is new: record it with `{COMMAND}`"
    assert STAGES[stage].version == RECORDED.versions[stage], f"{stage} has a new version: record it with `{COMMAND}`"
    found = results.differences(RECORDED.stages[stage], results.stage_result(stage))
    assert not found, f"{stage} makes other results at the same version: {RAISE}, then run `{COMMAND}`\n" + "\n".join(
        found
    )


def test_a_metric_gives_what_it_gave_at_this_version() -> None:
    changed = {name for name, version in results.versions().items() if RECORDED.versions.get(name) != version}
    assert not changed, f"{', '.join(sorted(changed))}: new, or of a new version: record with `{COMMAND}`"
    found = results.differences(RECORDED.metrics, results.metric_results())
    raise_both = "raise the metric's version in trainables/metrics and that of the stage evaluate"
    assert not found, f"metrics give other values: {raise_both}, then run `{COMMAND}`\n" + "\n".join(found)


def test_the_sources_of_a_stage_are_those_that_made_its_results() -> None:
    before = json.loads(results.SOURCES.read_text("utf-8"))
    now = sources.source_digests()
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    lines = [f"{name} (stages {', '.join(sources.stages_with(name)) or 'none any more'})" for name in changed]
    advice = f"{RAISE}, or confirm that results are equal with `{COMMAND}`"
    assert not lines, "sources changed: " + "; ".join(lines) + f": {advice}"


CODE = '"""A module."""\nX = 1\n"""What X is."""\n\ndef f(x):\n    """Do it."""\n    return x + X\n'


@pytest.mark.parametrize(
    "changed",
    [
        CODE.replace("A module.", "Another text."),
        CODE.replace("What X is.", "What X means."),
        CODE.replace('    """Do it."""\n', "    # a comment\n"),
        CODE.replace("def f(x):", "def f(\n    x\n):"),
    ],
)
def test_texts_and_layout_are_no_part_of_a_digest(changed: str) -> None:
    assert sources.digest(changed) == sources.digest(CODE)


@pytest.mark.parametrize("changed", [CODE.replace("X = 1", "X = 2"), CODE.replace("x + X", "x - X"), CODE + "f(1)\n"])
def test_code_is_part_of_a_digest(changed: str) -> None:
    assert sources.digest(changed) != sources.digest(CODE)


def test_modules_that_are_named_by_a_string_belong_to_a_stage() -> None:
    assert {"trainables.metrics.pixels", "trainables.metrics.flow"} <= sources.modules_of("evaluate")
    assert {"trainables.datasets.folder", "trainables.datasets.phantom.world"} <= sources.modules_of("data")
    assert "trainables.loop" in sources.modules_of("motion")
    assert "trainables.metrics.pixels" not in sources.modules_of("motion"), (
        "it reads what a metric is, not how it is computed"
    )
    assert "trainables.loop" not in sources.modules_of("data")
    assert sources.stages_with("trainables.stages.voxels") == ("voxels", "premask", "tokens", "cotrain", "mindvideo")


def test_nothing_is_recorded_over_results_of_the_same_version() -> None:
    before = Recorded({"voxels": 1, "evaluate": 1, "evaluate.ssim": 1}, {"voxels": {"a": 1.0}}, {"ssim": 0.5})
    now = replace(before, stages={"voxels": {"a": 1.01}}, metrics={"ssim": 0.6})
    assert refusals(before, before) == []
    assert refusals(before, now) == ["ssim: 0.6, recorded 0.5", "voxels: a: 1.01, recorded 1"]
    assert refusals(before, replace(now, versions={"voxels": 2, "evaluate": 2, "evaluate.ssim": 2})) == []
    assert refusals(before, replace(before, stages={"voxels": {"a": 1.0001}})) == [], "rounding is no change"
    added = replace(before, metrics={"ssim": 0.5, "mae": 3.0}, versions={**before.versions, "evaluate.mae": 1})
    assert refusals(before, added) == []


def test_a_metric_of_a_new_version_needs_a_stage_of_a_new_version() -> None:
    before = Recorded({"evaluate": 1, "evaluate.ssim": 1}, {"evaluate": {"a": 1.0}}, {"ssim": 0.5})
    now = replace(before, versions={"evaluate": 1, "evaluate.ssim": 2}, metrics={"ssim": 0.6})
    assert refusals(before, now) == ["evaluate.ssim: its version was raised, that of the stage evaluate was not"]
