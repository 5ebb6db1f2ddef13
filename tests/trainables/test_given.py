"""Videos made elsewhere: what belongs to which clip, what is refused, and that they are judged like our own."""

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from storage.memory import MemoryStore
from storage.runs import Artifacts, Manifest, RunStore
from tests.golden import inputs
from trainables.config.data import VoxelsConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, StageTask
from trainables.datasets import load_brains, load_clips, load_presentations
from trainables.graph import inputs_of, resolve_reference, stage_runs
from trainables.judging.given_videos import check_given, find_given, given_fingerprint, pair_given
from trainables.judging.pairing import PairingError
from trainables.stage_table import STAGES, VIDEO_STAGES
from trainables.stages.data import brain_facts
from trainables.stages.voxels import answers_of

WORLD = {"train_clips": 6, "validation_clips": 2, "test_clips": 3, "block_clips": 2, "subjects": 1, "voxels": 64}
NAMES = [f"phantom:0:{clip}" for clip in range(11)]
TEST = NAMES[8:]


class NoCheckpoints:
    def save(self, epoch: int, folder: Path, *, keep_older: bool = False) -> None:
        raise AssertionError("nothing is trained")

    def stored(self) -> Sequence[tuple[int, Path]]:
        return ()

    def latest(self) -> tuple[int, Path] | None:
        return None


def given(folder: Path, **overrides: object) -> TrialConfig:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return resolve(
        {"system": "given", "given.path": str(folder), "dataset": WORLD, "generator.test_clips": 3, **dotted}
    )


def write(folder: Path, names: list[str], *, frames: int = 8, side: int = 64) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        np.save(folder / f"{name}.npy", rng.integers(0, 255, (frames, side, side, 3), dtype=np.uint8))
    return folder


def run_stage(stage: str, config: TrialConfig, output: Path, artifacts: Mapping[str, Artifacts]) -> dict[str, float]:
    output.mkdir()
    needed = {name: artifacts[name] for name in inputs_of(stage, config.system, config)}
    task = StageTask(config, 0, needed, Context(output, NoCheckpoints()))
    metrics: dict[str, float] = dict(resolve_reference(STAGES[stage].implementation)(task).metrics)
    return metrics


def stored(folder: Path, cache: Path) -> Artifacts:
    runs = RunStore(MemoryStore(), cache=cache)
    info = {"videos": "4 videos, 64x64, 8 frames"}
    runs.commit(Manifest("given-0", "given", {"given": {}}, 0, {}, {}, {}, (), info, 0.0, 0.0), folder)
    return runs.open("given-0")


def test_every_system_of_the_config_has_one_stage() -> None:
    annotation = TrialConfig.model_fields["system"].annotation
    assert set(getattr(annotation, "__args__", ())) == set(VIDEO_STAGES)


def test_what_belongs_to_clips_by_name_and_by_number(tmp_path: Path) -> None:
    split = ["train"] * 6 + ["validation"] * 2 + ["test"] * 3
    named = find_given(given(write(tmp_path / "named", [*TEST, NAMES[6], "unknown"])))
    assert pair_given(named, NAMES, split) == {6: NAMES[6], 8: TEST[0], 9: TEST[1], 10: TEST[2]}
    with_suffix = [f"{name}.gif" for name in NAMES]
    assert list(pair_given(named, with_suffix, split)) == [6, 8, 9, 10]
    numbered = find_given(given(write(tmp_path / "numbered", ["1", "2", "10"])))
    with pytest.raises(PairingError, match="there are 3 test clips, but a video 10"):
        pair_given(numbered, NAMES, split)
    assert pair_given(numbered, NAMES, ["train"] + ["test"] * 10) == {1: "1", 2: "2", 10: "10"}
    strange = find_given(given(write(tmp_path / "strange", ["a"])))
    with pytest.raises(PairingError, match="no video has the name of a held-out clip; first here: a, first clip: phan"):
        pair_given(strange, NAMES, split)


def test_what_is_wrong_is_found_before_anything_starts(tmp_path: Path) -> None:
    def error(folder: Path, **overrides: object) -> str:
        (problem,) = check_given(given(folder, **overrides)).errors
        return problem.text

    assert check_given(given(write(tmp_path / "good", TEST))).problems == ()
    assert "there is no such folder" in error(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no video" in error(tmp_path / "empty")
    assert f"1 of 3 test clips have no video: {TEST[2]}" in error(write(tmp_path / "two", TEST[:2]))
    assert "2 of 2 validation clips have no video" in error(tmp_path / "good", generator__validation_clips=2)
    assert "have fewer frames than the clips (8)" in error(write(tmp_path / "short", TEST, frames=6))
    (write(tmp_path / "broken", TEST) / f"{TEST[0]}.npy").write_bytes(b"no array")
    assert "cannot be decoded" in error(tmp_path / "broken")
    report = check_given(given(write(tmp_path / "large", TEST, side=96, frames=16)))
    assert report.errors == ()
    (warning,) = report.warnings
    assert "3 video(s) have another size or frame count than 64x64, 8 frames" in str(warning)


def test_clips_without_a_volume_are_not_asked_for(tmp_path: Path) -> None:
    """Of a run of two clips and 20 volumes, a lag of 16 leaves the second without; a run of one clip has 16 volumes."""
    judged = [NAMES[6], NAMES[8]]
    folder = write(tmp_path / "judged", judged)
    lagged = {"voxels__lag_tr": 16, "generator__validation_clips": 2}
    assert check_given(given(folder, **lagged)).errors == ()
    (problem,) = check_given(given(folder)).errors
    assert f"2 of 3 test clips have no video: {NAMES[9]}, {NAMES[10]}" in problem.text
    (problem,) = check_given(given(write(tmp_path / "first", judged[:1]), **lagged)).errors
    assert f"1 of 1 test clips have no video: {NAMES[8]}" in problem.text
    numbered = given(write(tmp_path / "numbered", ["1"]), voxels__lag_tr=16)
    (problem,) = check_given(numbered).errors
    assert f"videos are numbered, but 2 test clip(s) have no fMRI ({NAMES[9]}, {NAMES[10]})" in problem.text


@pytest.mark.parametrize("kind", ["phantom", "appearing"])
def test_what_the_check_takes_for_the_split_is_what_the_study_uses(kind: str) -> None:
    dataset = resolve({"dataset": {**WORLD, "kind": kind, "subjects": 2}}).dataset
    stimuli = load_clips(dataset)
    brains = load_brains(dataset, stimuli)
    shown = load_presentations(dataset, stimuli)
    for subject, lag in itertools.product((0, 1), (None, 0, 15, 16)):
        volumes = len(brains.subjects[subject].bold)
        answers = answers_of(brain_facts(brains), VoxelsConfig(subject=subject, lag_tr=lag), volumes=volumes)
        assert shown.split_of(subject, lag_tr=lag) == answers.split.tolist()
    assert "dropped" in shown.split_of(0, lag_tr=16)


def test_shapes_and_durations_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "wide", TEST)
    np.save(folder / f"{TEST[1]}.npy", np.zeros((8, 64, 80, 3), np.uint8))
    (problem,) = check_given(given(folder)).errors
    assert f"1 video(s) have another aspect ratio than the clips (64x64): {TEST[1]}" in problem.text
    films = tmp_path / "films"
    films.mkdir()
    for number, name in enumerate(TEST):
        rng = np.random.default_rng(number)
        frames = [Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)) for _ in range(8)]
        duration = 100 if number == 2 else 250
        frames[0].save(films / f"{name}.gif", save_all=True, append_images=frames[1:], duration=duration)
    (problem,) = check_given(given(films)).errors
    assert f"1 video(s) last longer or shorter than most (2.00 s): {TEST[2]}" in problem.text


def test_identity_follows_content_and_not_the_folder(tmp_path: Path) -> None:
    def identity(folder: Path) -> str:
        return stage_runs(given(folder), seed=0, targets=["given"])[-1].identity

    first = write(tmp_path / "first", TEST)
    shutil.copytree(first, tmp_path / "second")
    assert given_fingerprint(given(first)) == given_fingerprint(given(tmp_path / "second"))
    before = identity(first)
    assert identity(tmp_path / "second") == before
    np.save(first / f"{TEST[0]}.npy", np.zeros((8, 64, 64, 3), np.uint8))
    assert identity(first) != before


@pytest.mark.long
def test_exported_reconstructions_are_judged_as_they_were(tmp_path: Path) -> None:
    artifacts = dict(inputs.write_inputs(tmp_path))
    ours = run_stage("evaluate", inputs.config(), tmp_path / "ours", artifacts)
    videos = load_file(artifacts["reconstruct"].path("videos.safetensors"))
    folder = tmp_path / "exported"
    folder.mkdir()
    for clip, video in zip(videos["index"], videos["videos"], strict=True):
        np.save(folder / f"film {clip}.npy", video)
    ours_config = inputs.config().model_dump(exclude={"system", "given"})
    config = resolve({**ours_config, "system": "given", "given.path": str(folder)})
    run_stage("given", config, tmp_path / "given", artifacts)
    artifacts["given"] = stored(tmp_path / "given", tmp_path / "cache")
    theirs = run_stage("evaluate", config, tmp_path / "theirs", artifacts)
    plain = {name for name in ours if "_plain" in name and "ceiling" not in name}
    assert theirs.keys() == ours.keys() - plain, "what needs decoded features is left out"
    read = load_file(tmp_path / "given" / "videos.safetensors")
    assert np.array_equal(read["videos"], videos["videos"]), ".npy is lossless"
    # Flow of the same frames differs by about 1e-10 from call to call, also that of the controls.
    assert theirs == pytest.approx({name: ours[name] for name in theirs}, rel=1e-6)
    systems = set(pq.read_table(tmp_path / "theirs" / "per_clip.parquet").column("system").to_pylist())
    assert {"system", "static", "shuffled_fmri", "ceiling", "random_clip", "mean_latent"} <= systems
    assert "plain" not in systems
    assert "4 videos, 64x64, 8 frames" in (tmp_path / "theirs" / "page.html").read_text("utf-8")


@pytest.mark.parametrize("form", ["png", "gif"])
def test_pictures_come_back_within_the_error_of_their_format(form: str, tmp_path: Path) -> None:
    artifacts = inputs.write_inputs(tmp_path)
    videos = load_file(artifacts["reconstruct"].path("videos.safetensors"))
    folder = tmp_path / form
    folder.mkdir()
    for clip, video in zip(videos["index"], videos["videos"], strict=True):
        export(video, folder / f"film {clip}", form)
    config = resolve({"system": "given", "given.path": str(folder)})
    run_stage("given", config, tmp_path / "given", artifacts)
    read = load_file(tmp_path / "given" / "videos.safetensors")
    assert read["index"].tolist() == videos["index"].tolist()
    error = np.abs(read["videos"].astype(float) - videos["videos"]).mean()
    assert error == 0.0 if form == "png" else error < 12.0, "256 colours of noisy frames"


def export(video: NDArray[np.uint8], path: Path, form: str) -> None:
    if form == "npy":
        np.save(f"{path}.npy", video)
    elif form == "png":
        path.mkdir()
        for number, frame in enumerate(video):
            cv2.imwrite(str(path / f"{number}.png"), frame[..., ::-1])
    else:
        first, *rest = (Image.fromarray(frame) for frame in video)
        first.save(f"{path}.gif", save_all=True, append_images=rest, duration=250, loop=0)
