"""Ablations of systems: still pictures are compared where they can be, and data that is not there is named."""

import pytest
from optuna.trial import TrialState

from platform.errors import UserError
from platform.events import Finished, Proposed
from platform.record.optuna_study import state_of
from platform.record.trial_log import PointResult, Records
from platform.study.ablation_file import load_ablation
from tests.platform import noop_ablations, study_texts
from tests.programs import ROOT

STILL = """\
primary: [evaluate.test_ssim, evaluate.test_epe, evaluate.test_vifi]
seeds: 1
unit: clips
baseline: {generator.test_clips: 60}
conditions: {pictures: {system: han_like}, others: {system: nishimoto2011}}
family: {pictures: [FAMILY], others: [evaluate.test_epe]}
"""


def test_a_still_system_is_compared_where_it_has_values() -> None:
    study = noop_ablations.build(STILL.replace("FAMILY", "evaluate.test_ssim"))
    targets = {spec.trial: spec.targets for _, spec in study.known_trials()}
    by_condition = {
        name: of_trial for trial, of_trial in targets.items() for name in ("pictures", "others") if name in trial
    }
    assert by_condition == {
        "pictures": ("evaluate.test_ssim",),
        "others": ("evaluate.test_ssim", "evaluate.test_epe", "evaluate.test_vifi"),
    }


@pytest.mark.parametrize(
    "text",
    [
        STILL.replace("FAMILY", "evaluate.test_epe"),
        STILL.replace("FAMILY", "evaluate.test_ssim").replace("{generator", "{system: wen2018, generator"),
    ],
)
def test_a_claim_about_the_motion_of_pictures_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"evaluate.test_epe looks at several frames together, but \w+ makes one frame"):
        noop_ablations.build(text)


@pytest.mark.parametrize("target", ["evaluate.vifi", "evaluate.shuffle_p_epe"])
def test_a_sweep_over_systems_with_a_target_that_pictures_lack_is_refused(target: str) -> None:
    text = f"""\
target: {target}
sampler: grid
base: {{generator.validation_clips: 4, generator.test_clips: 0}}
space: {{system: {{choice: [nishimoto2011, han_like]}}}}
"""
    with pytest.raises(UserError, match=r"looks at several frames together, but han_like makes one frame per clip"):
        study_texts.build(text)


@pytest.mark.parametrize("number", [3, 4, 15, 16])
def test_tables_of_other_data_plan_and_say_what_they_need(number: int) -> None:
    study = load_ablation(ROOT / "ablations" / f"table{number}.yaml")
    (note,) = [note for note in study.notes if note.startswith("needs ")]
    assert "platform.prepare" in note
    assert "dataset.kind=prepared" in note


def test_rows_that_a_published_table_does_not_have_are_refused() -> None:
    text = STILL.replace("FAMILY", "evaluate.test_ssim")
    published = "published: {table: table2.csv, key: system, conditions: {baseline: mindanimator}, rows: [neurons]}\n"
    with pytest.raises(UserError, match=r"table2.csv has no row 'neurons'"):
        noop_ablations.build(text + published)


def test_systems_are_not_compared_by_what_blur_or_stillness_wins_alone() -> None:
    text = STILL.replace("FAMILY", "evaluate.test_ssim").replace(", evaluate.test_vifi", "")
    with pytest.raises(UserError, match=r"compares systems by ssim, epe, which blur or stillness wins; add evaluate"):
        noop_ablations.build(text)
    alone = text.replace("han_like", "mindanimator, motion.depth: 3").replace(
        "nishimoto2011", "mindanimator, motion.depth: 4"
    )
    noop_ablations.build(alone)


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("voxels.normalise: test_stats", "standardises test fMRI by itself"),
        ("voxels.fitted_on: train_and_validation", "standardises by validation clips"),
    ],
)
def test_a_system_that_sees_test_fmri_is_not_compared_with_others(setting: str, what: str) -> None:
    text = STILL.replace("FAMILY", "evaluate.test_ssim").replace(
        "{system: nishimoto2011}", f"{{system: nishimoto2011, {setting}}}"
    )
    with pytest.raises(UserError, match=f"others: {setting} {what}.*; systems are compared without that"):
        noop_ablations.build(text)


def test_a_point_whose_system_has_no_value_is_completed_and_not_told_to_optuna() -> None:
    assert state_of(PointResult(0, {}, "COMPLETED", (), {})) is TrialState.FAIL
    assert state_of(PointResult(0, {}, "COMPLETED", (1.0,), {})) is TrialState.COMPLETE
    study = noop_ablations.build(STILL.replace("FAMILY", "evaluate.test_ssim"))
    records = Records(study)
    ((point, spec),) = [(point, spec) for point, spec in study.known_trials() if "pictures" in spec.trial]
    values = {"condition": "pictures", "subject": 0}
    common = {"point": point, "repeat": 0, "seed": 0, "values": values, "config": {}, "runs": []}
    records.new(Proposed, spec.trial, common)
    ended = {"outcome": "COMPLETED", "metrics": {"evaluate.test_ssim": 0.5}, "runs": {}, "error": None, "seconds": 1.0}
    records.new(Finished, spec.trial, ended)
    result = records.result(point)
    assert result is not None
    assert (result.outcome, result.values) == ("COMPLETED", ())
