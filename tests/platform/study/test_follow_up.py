"""The ablations that follow a sweep, as text: what is put back, the path, seeds, test clips, values."""

from dataclasses import replace
from typing import Any

import pytest

from platform.analysis.follow_ups import confirmation, taken_apart
from platform.analysis.search_result import SearchResult
from platform.errors import UserError
from platform.events import TrialEvent
from platform.record.trial_record import reduce_events
from platform.study import yaml_source
from platform.study.ablation_file import build_ablation
from platform.study.follow_up import around, baseline_of, difference_of, on_test_clips, written
from platform.study.space import Point
from platform.study.study import Study
from tests.platform.made_up_events import made_up_event
from tests.platform.study_texts import build
from trainables.config.trial import resolve

CMG = """\
target: motion.rollout_mse
trials: 4
repeats: 2
seed: 5
base: {voxels.subject: 1, motion.train.epochs: 2}
space:
  motion.patch_size: {choice: [8, 16]}
  motion.depth: {int: [1, 3]}
  motion.spatial_fusion: {choice: [cross, self]}
  motion.heads: {choice: [1, 2, 4], when: {motion.spatial_fusion: self}}
constraints:
  - motion.depth <= 2 or motion.patch_size == 16
points:
  - {motion.patch_size: 16, motion.depth: 2, motion.spatial_fusion: cross}
"""
FIRST: Point = {"motion.patch_size": 16, "motion.depth": 2, "motion.spatial_fusion": "cross"}
BEST: Point = {"motion.patch_size": 8, "motion.depth": 1, "motion.spatial_fusion": "self", "motion.heads": 2}


def tried(study: Study, *points: tuple[dict[str, Any], float]) -> SearchResult:
    """Return `study` after trials with these values and results."""
    events: list[TrialEvent] = []
    for point, (values, result) in enumerate(points):
        for repeat in range(study.repeats):
            trial = study.trial_name(point, repeat)
            runs: dict[str, Any] = {"runs": [], "config": {}}
            proposed = {"point": point, "repeat": repeat, "seed": study.seeds()[repeat], "values": values, **runs}
            metrics = {target.name: result for target in study.targets}
            end = {"outcome": "COMPLETED", "metrics": metrics, "runs": {}, "error": None, "seconds": 1.0}
            events.append(made_up_event(trial, 0, "proposed", 1.0, proposed))
            events.append(made_up_event(trial, 1, "finished", 2.0, end))
    return SearchResult(study, tuple(reduce_events(events).values()))


@pytest.fixture(scope="module")
def cmg() -> Study:
    return build(CMG, name="cmg")


def test_a_condition_overrides_what_differs_and_unsets_what_the_baseline_alone_has(cmg: Study) -> None:
    assert difference_of(cmg, BEST, FIRST) == BEST
    back = difference_of(cmg, FIRST, BEST)
    default = cmg.space.config({}).motion.heads
    assert back == {**FIRST, "motion.heads": default}
    assert difference_of(cmg, {**FIRST, "motion.depth": 1}, FIRST) == {"motion.depth": 1}


def test_fields_are_put_back_one_by_one_and_the_path_leads_to_the_best_point(cmg: Study) -> None:
    defaults = cmg.space.config({}).motion
    assert (defaults.patch_size, defaults.depth, defaults.spatial_fusion) == (16, 2, "cross")
    conditions, declared, notes = around(cmg, BEST)
    assert declared == ("default_patch_size", "default_depth", "default_spatial_fusion", "default_heads", "all_default")
    assert conditions["default_patch_size"] == {"motion.patch_size": 16}
    # heads exist only where spatial_fusion is self: both are put back
    assert conditions["default_spatial_fusion"] == {
        "motion.spatial_fusion": "cross",
        "motion.heads": defaults.heads,
    }
    assert conditions["all_default"]["motion.depth"] == 2
    assert [name for name in conditions if name.startswith("step")] == ["step1_patch_size", "step2_depth"]
    assert "motion.patch_size" not in conditions["step1_patch_size"]  # at its best value, as in the baseline
    assert conditions["step2_depth"] == conditions["default_spatial_fusion"]
    assert notes == ()


def test_what_the_search_space_does_not_allow_is_left_out_with_a_note(cmg: Study) -> None:
    best = {**BEST, "motion.patch_size": 16, "motion.depth": 3}
    narrow = build(CMG.replace("motion.depth <= 2", "motion.depth >= 3"), name="cmg")
    conditions, declared, notes = around(narrow, {**best, "motion.patch_size": 8})
    assert "default_depth" not in conditions
    assert "default_depth" not in declared
    assert [note.partition(" is left out: the search space does not allow it")[0] for note in notes] == [
        "default_depth",
        "step1_patch_size",
    ]


def test_a_confirmation_has_fresh_seeds_the_sweeps_subject_and_test_clips(cmg: Study) -> None:
    search = tried(cmg, (FIRST, 0.5), (BEST, 0.4), ({**BEST, "motion.depth": 2}, 0.45))
    follow_up = confirmation(search, cmg.targets[0], top=2, against=None)
    study = build_ablation(yaml_source.parse(written(follow_up, cmg, seeds=None), path="x/cmg-confirm.yaml"))
    design = study.design
    assert (study.id, design.seed, design.seeds, design.subjects) == ("cmg-confirm", 7, 8, (1,))  # 7 can earn a star
    assert design.primary == ("motion.test_rollout_mse",)
    assert design.baseline == {"motion.train.epochs": 2, **FIRST}
    assert {name: condition.overrides for name, condition in design.conditions.items()} == {
        "t0001": BEST,
        "t0002": {name: value for name, value in BEST.items() if name != "motion.depth"},  # as in the baseline
    }
    assert study.search is not None
    assert (study.search.repeats, study.search.values) == (2, {"baseline": 0.5, "t0001": 0.4, "t0002": 0.45})


def test_the_default_is_the_baseline_if_the_file_lists_no_point(cmg: Study) -> None:
    without = build(CMG.partition("points:")[0], name="cmg")
    search = tried(without, (BEST, 0.4), (FIRST, 0.5))
    follow_up = confirmation(search, without.targets[0], top=1, against=None)
    assert follow_up.baseline == dict(without.base)
    assert follow_up.origin.values == {"baseline": 0.5, "t0000": 0.4}  # the second point has the defaults
    first = tried(cmg, (FIRST, 0.4), (BEST, 0.5))
    noted = confirmation(first, cmg.targets[0], top=1, against=None)
    assert any("the best point of the search is the baseline itself" in note for note in noted.notes)


def test_several_targets_need_a_choice() -> None:
    text = "target: [motion.rollout_mse, structure.latent_mse]\n" + CMG.partition("\n")[2].replace(
        "motion.depth: {int: [1, 3]}", "motion.depth: {int: [1, 3]}\n  structure.hidden: {choice: [16, 32]}"
    ).replace("points:\n  - {", "points:\n  - {structure.hidden: 16, ")
    study = build(text)
    search = tried(study, ({**FIRST, "structure.hidden": 16}, 0.5), ({**BEST, "structure.hidden": 32}, 0.4))
    with pytest.raises(UserError, match=r"has 2 targets.*--target motion.rollout_mse or --target structure.latent_mse"):
        search.named(None)
    follow_up = taken_apart(search, search.named("structure.latent_mse"))
    assert follow_up.origin.metric == "structure.latent_mse"


def test_metrics_of_video_are_judged_on_test_clips_even_if_the_search_had_none() -> None:
    text = """\
target: evaluate.ssim
trials: 2
base: {generator.test_clips: 0, generator.validation_clips: 4}
space:
  reconstruct.structure: {choice: [decoded, noise]}
"""
    study = build(text)
    overrides = baseline_of(study, {"reconstruct.structure": "noise"}, study.targets[0])
    assert overrides["generator.test_clips"] == resolve({}).generator.test_clips > 0
    assert on_test_clips("evaluate.ssim") == "evaluate.test_ssim"
    assert on_test_clips("motion.loss") == "motion.loss"


@pytest.mark.parametrize(
    "value", ["1e-3", "yes", "null", "a: b # c", "ü 'x' \"y\"", "/a b/c", "1.5", 5e-05, 1e16, True]
)
def test_values_are_read_back_as_they_were(value: Any, cmg: Study) -> None:
    follow_up = confirmation(tried(cmg, (FIRST, 0.5), (BEST, 0.4)), cmg.targets[0], top=1, against=None)
    text = written(replace(follow_up, baseline={"dataset.path": value, "x": [value, {"y": value}]}), cmg, seeds=6)
    read = yaml_source.parse(text, path="x.yaml").data["baseline"]
    assert (read["dataset.path"], read["x"]) == (value, [value, {"y": value}])
    assert type(read["dataset.path"]) is type(value)
