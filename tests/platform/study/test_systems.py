"""Studies of several systems: what is shared, what runs once, what varies, and what is refused."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from platform.errors import UserError
from platform.run.admission import Node, share_out
from platform.study.plan import make_plan
from storage.uri import open_store
from tests.platform import noop_ablations, study_texts
from tests.programs import ROOT, program

WORLD = "dataset: {train_clips: 40, validation_clips: 6, test_clips: 6, block_clips: 2}"
ABLATION = """\
primary: [evaluate.test_vifi]
subjects: [0, 1]
seeds: 7
unit: seeds
baseline: {generator.test_clips: 4, WORLD}
conditions: {theirs: {system: given, given.path: FOLDER}}
""".replace("WORLD", WORLD)
SWEEP = """\
target: evaluate.vifi
sampler: grid
repeats: 2
base: {generator.validation_clips: 4, generator.test_clips: 0, given.path: FOLDER, WORLD}
space:
  system: {choice: [mindanimator, given]}
""".replace("WORLD", WORLD)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for clip in range(40, 52):
        frames = np.full((8, 64, 64, 3), clip, dtype=np.uint8)
        np.save(tmp_path / f"phantom:0:{clip}.npy", frames)
    return tmp_path


def test_given_videos_are_a_condition_that_runs_once_per_subject(folder: Path) -> None:
    study = noop_ablations.build(ABLATION.replace("FOLDER", str(folder)))
    plan = make_plan(study, open_store("memory://"))
    runs = {stage.stage: stage.runs for stage in plan.stages}
    alone = {stage.stage: stage.needed for stage in plan.stages}
    assert (runs["given"], runs["evaluate"], runs["reconstruct"]) == (2, 14 + 2, 14)
    assert (runs["clips"], runs["features"], runs["voxels"]) == (1, 1, 2)
    assert (runs["controls"], runs["control_scores"]) == (2, 2)
    assert (alone["given"], alone["semantic"], alone["evaluate"]) == (14, 14, 28)
    assert plan.exact
    assert study.systems == ("mindanimator", "given")


def test_a_sweep_over_systems_varies_what_they_do_not_have_in_common(folder: Path) -> None:
    study = study_texts.build(SWEEP.replace("FOLDER", str(folder)))
    own = {"semantic", "structure", "motion", "reconstruct", "given", "evaluate"}
    assert set(study.own_stages()) == own
    shared = {"clips", "data", "features", "voxels", "controls", "library", "control_scores"}
    assert {run.stage for run in study.shared_runs()} == shared
    plan = make_plan(study, open_store("memory://"))
    assert {stage.stage: stage.runs for stage in plan.stages if stage.stage in own} == {
        "semantic": 2,
        "structure": 2,
        "motion": 2,
        "reconstruct": 2,
        "given": 1,
        "evaluate": 3,
    }


def test_a_decoder_that_only_one_system_has_still_changes_the_target(folder: Path) -> None:
    text = SWEEP.replace("FOLDER", str(folder)) + "  motion.depth: {int: [1, 2]}\n"
    assert "motion" in study_texts.build(text).own_stages()


def test_a_system_changes_no_metric_of_a_decoder(folder: Path) -> None:
    text = SWEEP.replace("FOLDER", str(folder)).replace("evaluate.vifi", "motion.rollout_mse")
    lines = study_texts.complaints(text)
    assert any("is the same in all trials" in line for line in lines)
    assert any("space.system: changes nothing that motion.rollout_mse depends on" in line for line in lines)


def test_what_is_missing_is_told_with_the_line_of_the_folder(folder: Path) -> None:
    (line,) = noop_ablations.complaints(ABLATION.replace("FOLDER", str(folder / "nowhere")))
    assert line.startswith("test.yaml:6:")
    assert "conditions.theirs.given.path" in line
    assert "there is no such folder" in line
    (folder / "phantom:0:47.npy").unlink()
    (line,) = noop_ablations.complaints(ABLATION.replace("FOLDER", str(folder)))
    assert "1 of 4 test clips have no video: phantom:0:47" in line
    (folder / "phantom:0:41.npy").unlink()
    (line,) = study_texts.complaints(SWEEP.replace("FOLDER", str(folder)))
    assert "base.given.path: " in line
    assert "1 of 4 validation clips have no video: phantom:0:41" in line
    (line,) = noop_ablations.complaints(ABLATION.replace(", given.path: FOLDER", ""))
    assert "system: given needs given.path" in line


def test_every_swept_folder_is_read_before_anything_starts(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    swept = f"  given.path: {{choice: [{folder}, OTHER], when: {{system: given}}}}\n"
    text = SWEEP.replace("FOLDER", str(folder)) + swept
    other = tmp_path_factory.mktemp("other")
    for clip in range(40, 46):
        shutil.copy(folder / f"phantom:0:{clip}.npy", other)
    assert study_texts.build(text.replace("OTHER", str(other))).systems == ("mindanimator", "given")
    (other / "phantom:0:43.npy").unlink()
    (line,) = study_texts.complaints(text.replace("OTHER", str(other)))
    assert line.startswith("test.yaml:7:")
    assert "space.given.path" in line
    assert "1 of 4 validation clips have no video: phantom:0:43" in line
    (line,) = study_texts.complaints(text.replace("OTHER", str(other / "nowhere")))
    assert "there is no such folder" in line


def test_a_plan_of_an_ablation_loads_no_scipy(folder: Path, tmp_path: Path) -> None:
    """Its import takes a second, half of the time of a large plan."""
    file = tmp_path / "plan.yaml"
    file.write_text(ABLATION.replace("FOLDER", str(folder)))
    command = program("loaded", "json", "scipy,torch", "platform.ablate", file, "--dry-run", "--home", tmp_path)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_metrics_of_decoders_are_not_compared_with_given_videos(folder: Path) -> None:
    text = ABLATION.replace("FOLDER", str(folder)).replace("[evaluate", "[motion.test_rollout_mse, evaluate")
    (line,) = noop_ablations.complaints(text)
    assert "motion.test_rollout_mse needs structure, motion, which theirs (system: given) does not have" in line


CHOSEN = """
target: evaluate.two_way_i
trials: 4
sampler: random
scheduler: fifo
base:
  system: han_like
  generator: {validation_clips: 4, test_clips: 0}
  dataset: {train_clips: 20, validation_clips: 4, test_clips: 4, block_clips: 2}
space:
"""


def test_a_stage_that_a_swept_field_chooses_is_the_trials_own() -> None:
    study = study_texts.build(CHOSEN + "  han.vae: {choice: [features, global]}\n")
    assert study.own_stages() == ("autoencoder", "han", "evaluate")
    assert "autoencoder" not in {run.stage for run in study.shared_runs()}
    assert "autoencoder" in {stage.stage for stage in make_plan(study, open_store("memory://")).stages}
    both = study_texts.build(
        CHOSEN + "  han.vae: {choice: [features, global]}\n  autoencoder.latent: {choice: [32, 64]}\n"
    )
    assert both.own_stages() == study.own_stages()


def test_a_stage_that_no_trial_chooses_is_not_planned() -> None:
    study = study_texts.build(CHOSEN + "  han.frame: {choice: [first, mean]}\n")
    assert study.own_stages() == ("han", "evaluate")
    assert "autoencoder" not in {stage.stage for stage in make_plan(study, open_store("memory://")).stages}
    message = "autoencoder.latent.*changes nothing that evaluate.two_way_i depends on"
    with pytest.raises(UserError, match=message):
        study_texts.build(CHOSEN + "  han.frame: {choice: [first, mean]}\n  autoencoder.latent: {choice: [32, 64]}\n")


def test_a_chosen_stage_is_shared_if_all_trials_choose_it() -> None:
    text = CHOSEN.replace("system: han_like", "system: han_like\n  han.vae: global")
    study = study_texts.build(text + "  han.frame: {choice: [first, mean]}\n")
    assert study.own_stages() == ("han", "evaluate")
    assert "autoencoder" in {run.stage for run in study.shared_runs()}


def test_an_own_autoencoder_is_trained_once_for_all_subjects_and_counts_for_the_workers() -> None:
    text = """
primary: [evaluate.test_two_way_i]
subjects: [0, 1]
seeds: 1
unit: clips
baseline: {system: han_like, autoencoder.train.workers: 2}
conditions: {own: {han.vae: global}}
family: {own: [evaluate.test_two_way_i]}
"""
    study = noop_ablations.build(text)
    runs = {stage.stage: stage.runs for stage in make_plan(study, open_store("memory://")).stages}
    assert (runs["autoencoder"], runs["han"], runs["features"]) == (1, 4, 1)
    with pytest.raises(UserError, match="autoencoder"):
        share_out(study, [Node("small", 1)])
    share_out(noop_ablations.build(text.replace("vae: global", "frame: mean")), [Node("small", 1)])
