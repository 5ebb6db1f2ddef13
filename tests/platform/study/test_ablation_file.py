"""What an ablation file means, and what is answered to mistakes in it."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from platform.analysis.measures import measure_named
from platform.statistics.attainable import seeds_for
from platform.study.ablation_file import ABLATIONS, load_ablation
from platform.study.design import BASELINE, DeclaredComparison, Design
from tests.platform.noop_ablations import NOOP, build, complaints
from trainables.metrics.registry import METRICS, ablation_metrics, metric_named

DECODERS = """\
primary: [structure.latent_mse, motion.rollout_mse]
seeds: 8
unit: seeds
components:
  structure: {structure.residual_layers: 0}
  motion: {motion.kind: per_frame_mlp}
leave_one_out: [structure, motion]
"""


def test_conditions_are_written_out_or_generated_in_the_order_of_the_file() -> None:
    both = "{structure.residual_layers: 0, motion.kind: per_frame_mlp}"
    more = f"conditions: {{wo_both: {both}, per_frame: {{motion.kind: per_frame_mlp}}, deep: {{motion.depth: 3}}}}\n"
    study = build(DECODERS + more, "seeds=9")
    design = study.design
    assert design.names == (BASELINE, "wo_structure", "wo_motion", "wo_both", "per_frame", "deep")
    assert design.conditions["wo_both"].overrides == {
        "structure.residual_layers": 0,
        "motion.kind": "per_frame_mlp",
    }
    assert design.conditions["wo_motion"].overrides == {"motion.kind": "per_frame_mlp"}
    assert design.conditions["wo_motion"].origin == "leave_one_out"
    same = "per_frame and wo_motion are the same after resolution: their stage runs are executed once"
    assert same in study.notes
    assert Design.model_validate(design.model_dump(mode="json")) == design


def test_the_family_is_all_unless_it_is_declared() -> None:
    text = DECODERS + "family: {wo_motion: [motion.rollout_mse]}\n"
    assert [(one.condition, one.metric) for one in build(DECODERS).design.family] == [
        ("wo_structure", "structure.latent_mse"),
        ("wo_structure", "motion.rollout_mse"),
        ("wo_motion", "structure.latent_mse"),
        ("wo_motion", "motion.rollout_mse"),
    ]
    design = build(text).design
    assert design.family == (DeclaredComparison(condition="wo_motion", metric="motion.rollout_mse"),)
    assert design.is_declared("wo_motion", "motion.rollout_mse")
    assert not design.is_declared("wo_motion", "structure.latent_mse")


def test_a_replication_has_no_conditions_on_purpose() -> None:
    study = build("primary: [noop.value]\nseeds: 2\nunit: seeds\nconditions: {}\n")
    assert study.design.names == (BASELINE,)
    assert study.design.family == ()
    assert [spec.trial for spec in study.specs] == ["baseline-u0-s0", "baseline-u0-s1"]


def test_a_design_whose_order_forgets_a_condition_is_none() -> None:
    design = build(NOOP).design.model_dump(mode="json")
    with pytest.raises(ValidationError, match="order must name each condition once"):
        Design.model_validate({**design, "order": []})


def test_a_level_that_the_baseline_has_is_no_condition() -> None:
    study = build(NOOP.replace("conditions:\n  half: {noop.value: 0.5}", "factorial: {fields: {noop.epochs: [1, 2]}}"))
    assert study.design.names == (BASELINE, "epochs-2")
    assert study.design.factorial is not None
    assert study.design.factorial.cells == {"epochs-1": BASELINE, "epochs-2": "epochs-2"}
    assert study.notes[0] == "epochs-1 is equal to the baseline: it has no trials of its own"


def test_a_factorial_has_every_combination_of_levels_once() -> None:
    fields = "{noop.epochs: [2, 3], noop.value: [0.5, 1.0, 1.5]}"
    design = build(
        NOOP.replace("conditions:\n  half: {noop.value: 0.5}", f"factorial: {{fields: {fields}}}"), "seeds=9"
    ).design
    assert [condition.overrides for condition in design.conditions.values()] == [
        {"noop.epochs": epochs, "noop.value": value} for epochs in (2, 3) for value in (0.5, 1.0, 1.5)
    ]
    assert design.order[0] == "epochs-2.value-0.5"


def test_one_at_a_time_takes_a_named_set() -> None:
    text = "primary: motion.rollout_mse\nseeds: 11\nunit: seeds\none_at_a_time: released_code\n"
    scales = "baseline: {features.latents: mode, features.image_target: mean, features.crop_position: each, "
    scales += "features.text_operations: each, features.text_variants: 8, features.condition_target: caption}\n"
    design = build(text + scales).design
    assert design.conditions["motion.fmri_tokens"].overrides == {"motion.fmri_tokens": 1}
    assert not any(name.startswith("semantic.") for name in design.conditions), "they change no roll-out"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{noop.value: 0.5}", "{}", "test.yaml:5:3: conditions.half: half overrides nothing; name a field, or a seed_"),
        ("{noop.value: 0.5}", "{noop.value: 0.0}", "test.yaml:5:3: conditions.half: half changes nothing that noop"),
        ("{noop.value: 0.5}", "{motion.depth: 3}", "test.yaml:5:3: conditions.half: half changes nothing that noop"),
        ("{noop.value: 0.5}", "{noop.sleep: 1.0}", "test.yaml:5:3: conditions.half: half changes nothing that noop"),
        (
            "{noop.value: 0.5}",
            "{noop.valu: 0.5}",
            "test.yaml:5:10: conditions.half.noop.valu: there is no such key; did",
        ),
        ("{noop.value: 0.5}", "{noop.value: a}", "test.yaml:5:10: conditions.half.noop.value: must be a valid number"),
        ("{noop.value: 0.5}", '{noop.epochs: "4"}', "test.yaml:5:10: conditions.half.noop.epochs: must be of the type"),
        ("{noop.value: 0.5}", "{voxels.subject: 1}", "test.yaml:5:10: conditions.half.voxels.subject: subjects are bl"),
        ("{noop.value: 0.5}", "3", "test.yaml:5:3: conditions.half: must be a mapping"),
        ("{noop.value: 0.5}", "{seed_offset: -1}", "test.yaml:5:10: conditions.half.seed_offset: must be a whole numb"),
        (
            "half:",
            "baseline:",
            "test.yaml:5:3: conditions.baseline: 'baseline' is reserved for the condition without overrides",
        ),
        ("half:", "a/b:", "test.yaml:5:3: conditions.a/b: 'a/b' is used in names of trials and files"),
        (
            "conditions:\n  half: {noop.value: 0.5}\n",
            "",
            "test.yaml:1:1: conditions: there is no condition; name one under",
        ),
        (
            "noop.value]",
            "noop.valu]",
            "test.yaml:1:11: primary[0]: there is no metric 'noop.valu'; did you mean noop.val",
        ),
        ("[noop.value]", "[]", "test.yaml:1:1: primary: is empty; name at least one"),
        ("seeds: 6", "seeds: 0", "test.yaml:2:1: seeds: must be greater than or equal to 1"),
        ("seeds: 6", "seeds: 6\nsubjects: [0, 0]", "test.yaml:3:15: subjects[1]: 0 is listed twice"),
        ("seeds: 6", "sed: 6", "test.yaml:2:1: sed: there is no such key; did you mean seed"),
        ("unit: seeds", "unit: blocks", "test.yaml:3:1: unit: there is no 'blocks'; there are: both, clips, seeds"),
        ("unit: seeds", "unit: clips", "test.yaml:3:1: unit: noop.value has one value per trial, not per clip"),
        (
            "unit: seeds",
            "unit: seeds\nscheduler: asha",
            "test.yaml:4:1: scheduler: early stopping is not allowed in an ablation",
        ),
        ("unit: seeds", "unit: seeds\nearly_stopping: 3", "test.yaml:4:1: early_stopping: early stopping is not"),
        ("unit: seeds", "unit: seeds\nfamily: {haf: all}", "test.yaml:4:10: family.haf: there is no condition 'haf'; "),
        (
            "unit: seeds",
            "unit: seeds\nfamily: {half: [noop.v]}",
            "test.yaml:4:10: family.half: noop.v is not a primary metric",
        ),
        ("unit: seeds", "unit: seeds\nfamily: {}", "test.yaml:4:1: family: declares no comparison"),
        (
            "unit: seeds",
            "unit: seeds\nfigures: [embedding_map]",
            "test.yaml:4:1: figures: embedding_map needs the stage semantic, but noop does not use it",
        ),
        (
            "unit: seeds",
            "unit: seeds\nfigures: [embeding_map]",
            "test.yaml:4:11: figures[0]: there is no 'embeding_map'; did you mean embedding_map",
        ),
        (
            "unit: seeds",
            "unit: seeds\nmargins: {noop.v: 1}",
            "test.yaml:4:11: margins.noop.v: is not a primary metric",
        ),
        (
            "unit: seeds",
            "unit: seeds\nleave_one_out: [x]",
            "test.yaml:4:17: leave_one_out[0]: there is no component 'x'",
        ),
        (
            "unit: seeds",
            "unit: seeds\none_at_a_time: x",
            "test.yaml:4:1: one_at_a_time: there is no set of settings 'x'",
        ),
        (
            "unit: seeds",
            "unit: seeds\nbaseline: {voxels.subject: 1}",
            "test.yaml:4:12: baseline.voxels.subject: is set b",
        ),
        (
            "unit: seeds",
            "unit: seeds\nbaseline: {noop.valu: 1}",
            "test.yaml:4:12: baseline.noop.valu: there is no such",
        ),
        (
            "unit: seeds",
            "unit: seeds\npublished: {table: t.csv}",
            "test.yaml:4:13: published.table: there is no such ta",
        ),
        (
            "unit: seeds",
            "unit: seeds\npublished: {table: table6.csv, conditions: {half: ful}}",
            "test.yaml:4:45: published.conditions.half: table6.csv has no row 'ful'; did you mean full",
        ),
        (
            "unit: seeds",
            "unit: seeds\nfactorial: {fields: {noop.epochs: [2]}}",
            "test.yaml:4:22: factorial.fields.noop.epochs: needs two or more",
        ),
        (
            "unit: seeds",
            "unit: seeds\nfactorial: {fields: {noop.epochs: [1, 2]}, generators: [B=A]}",
            "test.yaml:4:44: factorial.generators: there is no such key; there are: fields",
        ),
        ("unit: seeds", "unit: seeds\ngroups: {a: [b, c]}", "test.yaml:4:1: groups: there is no such key; "),
        ("unit: seeds", "unit: seeds\nadd_one_in: [a]", "test.yaml:4:1: add_one_in: there is no such key; "),
    ],
)
def test_mistakes_are_answered_with_place_and_way_out(old: str, new: str, expected: str) -> None:
    assert old in NOOP
    lines = complaints(NOOP.replace(old, new))
    assert any(line.startswith(expected) for line in lines), lines


def test_too_few_seeds_are_refused_with_the_number_that_would_do() -> None:
    (line,) = complaints(NOOP, "seeds=5")
    why = "5 seeds allow no p below 0.0625, but a family of 1 at 0.05 needs a p of 0.05: 6 seeds are enough"
    assert line == f"--set seeds=5: seeds: {why}"
    assert build(NOOP, "seeds=6").design.seeds == 6


def test_too_few_clusters_of_test_clips_are_refused_with_the_number_that_would_do() -> None:
    text = "primary: evaluate.test_ssim\nseeds: 8\nunit: both\nconditions: {a: {motion.depth: 3}}\n"
    scenes = "baseline: {dataset.scene_clips: 10, generator.test_clips: 50}\n"
    (line,) = complaints(text + scenes)
    assert line.startswith(
        "test.yaml:3:1: unit: 5 scenes allow no p below 0.0625, but a family of 1 at 0.05 needs a p of 0.05: 6 scenes "
        "are enough; 50 test clips are judged (generator.test_clips: 50) in 5 scenes; judge more, or test over seeds"
    )
    assert build(text + scenes.replace("50", "51")).design.unit == "both"
    assert build(text.replace("both", "seeds") + scenes).design.unit == "seeds"


def test_a_number_of_a_trial_stands_in_no_family_that_is_tested_over_clips() -> None:
    ssim = "unit: both\nconditions: {a: {motion.depth: 3}}\n"
    text = "primary: [evaluate.test_ssim, motion.test_rollout_mse]\nseeds: 8\n" + ssim
    (line,) = complaints(text)
    assert line.startswith("test.yaml:3:1: unit: motion.test_rollout_mse has one value per trial, not per clip")
    assert build(text + "family: {a: [motion.test_rollout_mse]}\n").design.unit == "both", "which is seeds for it"


@pytest.mark.parametrize("name", ["semantic.retrieval_image_top1", "motion.rollout_mse", "evaluate.ssim"])
def test_what_is_measured_on_validation_clips_is_measured_on_test_clips_too(name: str) -> None:
    tested = name.replace(".", ".test_")
    assert metric_named(tested) == replace(METRICS[name], name=tested)
    assert tested in ablation_metrics()
    assert measure_named(name).title == f"{measure_named(tested).title} (validation)"


@pytest.mark.parametrize("name", ["motion.test_loss", "noop.test_value", "importance.test_semantic_gradient_voxels"])
def test_a_metric_without_clips_of_its_own_has_no_test_clips(name: str) -> None:
    assert metric_named(name) is None
    assert name not in ablation_metrics()


def test_a_metric_on_another_scale_is_refused() -> None:
    text = "primary: semantic.loss\nseeds: 6\nunit: seeds\nconditions: {a: {semantic.alpha: 0.1}}\n"
    (line,) = complaints(text)
    assert line.startswith(
        "test.yaml:1:1: primary: semantic.loss is not comparable in a: its scale depends on semantic.a"
    )


def test_the_command_line_changes_keys_and_fields_of_the_baseline() -> None:
    design = build(NOOP, "noop.epochs=3", "seeds=7", "subjects=[0, 2]").design
    assert design.baseline == {"noop.epochs": 3}
    assert (design.seeds, design.subjects) == (7, (0, 2))
    assert complaints(NOOP, "conditons=3")[0].startswith("--set conditons=3: conditons: there is no such key")


def test_a_subject_that_is_not_there() -> None:
    (line,) = complaints(DECODERS, "subjects=[0, 5]")
    assert "the data set has 3 subject(s)" in line


def test_subjects_and_clips_of_a_condition_that_are_not_there() -> None:
    pooled = "voxels: {subjects: [0, 2, 7], own_clips: 3000}"
    lines = complaints(DECODERS + f"conditions: {{pooled: {{{pooled}}}}}\n")
    assert [line.partition("conditions.")[2] for line in lines] == [
        "pooled.voxels.subjects: has [7]; the data set has 3 subject(s), numbered from 0",
        "pooled.voxels.own_clips: is 3000; the data set has 2400 training clips (dataset.train_clips)",
    ]


def test_each_subject_of_a_design_can_be_trained_on_the_others_clips() -> None:
    """`voxels.subjects` need not name the subject that is judged, which a block sets."""
    text = DECODERS + "conditions: {pooled: {voxels.subjects: [1, 2]}}\n"
    assert build(text, "subjects=[0, 1, 2]").design.conditions["pooled"].overrides["voxels.subjects"] == [1, 2]


def test_no_room_for_a_failed_training_is_noted_and_shipped_designs_have_room_for_two() -> None:
    (note,) = build(NOOP).notes
    assert note.startswith("6 seeds are the fewest with which a result can be significant")
    assert "seeds: 8 leaves room for two" in note
    assert build(NOOP, "seeds=7").notes == ()
    for path in ABLATIONS.glob("*.yaml"):
        design = load_ablation(path).design
        if design.conditions and design.unit != "clips":  # systems without a seed are trained once
            assert design.seeds >= seeds_for(design.alpha, len(design.family)) + 2, path
