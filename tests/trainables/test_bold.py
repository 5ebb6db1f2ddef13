"""Whether the phantom's brain holds what decoders are to find in it, where it should."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.trainables.dataset_tools import Folder, run_data, run_stage
from trainables.config.trial import resolve
from trainables.datasets import clip_rows
from trainables.datasets.phantom import stimuli
from trainables.datasets.phantom.bold import AREAS, TR, hrf, scan_subject
from trainables.datasets.phantom.drives import CHANNEL_SHAPES, DRIVES, drives, words
from trainables.datasets.phantom.schedule import TAIL, schedule
from trainables.stages import voxels

TRAIN = 600

Stages = dict[str, Folder]
Arrays = dict[str, NDArray[Any]]
Facts = dict[str, Any]
Values = NDArray[Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """A phantom with half the clips, one subject, and all else, the noise too, as by default."""
    folder = tmp_path_factory.mktemp("phantom")
    config = resolve({"dataset.train_clips": TRAIN, "dataset.subjects": 1})
    stages = run_data(config, folder)
    stages["voxels"] = run_stage(voxels.run, config, folder / "voxels", stages)
    return stages


@pytest.fixture(scope="module")
def fmri(made: Stages) -> Arrays:
    return load_file(made["voxels"].path("voxels.safetensors"))


@pytest.fixture(scope="module")
def driven(made: Stages) -> Arrays:
    clips = load_file(made["clips"].path("clips.safetensors"))["clips"]
    return drives(clips, [texts[0] for texts in made["clips"].json("clips.json")["captions"]])


@pytest.fixture(scope="module")
def facts(made: Stages) -> Facts:
    shown, brains = made["clips"].json("clips.json"), made["data"].json("data.json")
    return {**shown, **brains, "captions": [texts[0] for texts in shown["captions"]]}


def ridge(x: Values, y: Values, strength: float = 200.0) -> Values:
    """Fit on the training clips, and return predictions for the others."""
    train = x[:TRAIN]
    weights = np.linalg.solve(
        train.T @ train + strength * np.eye(x.shape[1]), train.T @ (y[:TRAIN] - y[:TRAIN].mean(0))
    )
    return np.asarray(x[TRAIN:] @ weights + y[:TRAIN].mean(0))


def explained(x: Values, y: Values) -> float:
    """Share of the variance of held-out clips that is predicted."""
    left = ((ridge(x, y) - y[TRAIN:]) ** 2).sum()
    return float(1 - left / ((y[TRAIN:] - y[:TRAIN].mean(0)) ** 2).sum())


def hits(x: Values, labels: NDArray[np.int64], classes: int) -> float:
    """Share of held-out clips whose class is found by regression on its indicator."""
    return float((ridge(x, np.eye(classes)[labels]).argmax(1) == labels[TRAIN:]).mean())


def of(fmri: Arrays, *names: str) -> Values:
    index = [list(AREAS).index(name) for name in names]
    return fmri["fmri"][:, np.isin(fmri["roi"], index)].astype(float)


def test_first_frame_is_decodable(made: Stages, fmri: Arrays) -> None:
    frames = load_file(made["clips"].path("clips.safetensors"))["clips"][:, 0]
    coarse = frames.reshape(len(frames), 16, 4, 16, 4, 3).mean((2, 4)).reshape(len(frames), -1)
    early = of(fmri, "V1", "V2", "V3")
    assert explained(early, coarse) > 0.65
    assert explained(early, coarse) > explained(of(fmri, "MT", "MST"), coarse) + 0.4
    shuffled = early.copy()
    shuffled[:TRAIN] = np.random.default_rng(0).permutation(shuffled[:TRAIN])
    assert explained(shuffled, coarse) < 0.02


def test_place_of_the_object_is_in_early_areas_and_not_its_velocity(fmri: Arrays, facts: Facts) -> None:
    factors = {name: np.array(values) for name, values in facts["factors"].items()}
    place = np.stack([factors["start_x"], factors["start_y"]], axis=1)
    assert explained(of(fmri, "V1", "V2"), place) > 0.5
    assert explained(of(fmri, "TPOJ"), place) < explained(of(fmri, "V1", "V2"), place) - 0.2


@pytest.mark.parametrize("area", ["MT", "MST"])
def test_direction_and_speed_are_in_motion_areas(fmri: Arrays, facts: Facts, area: str) -> None:
    direction, speed = np.array(facts["factors"]["direction"]), np.array(facts["factors"]["speed"])
    assert hits(of(fmri, area), direction, 8) > 0.7 > 0.5 > hits(of(fmri, "V1"), direction, 8)
    assert hits(of(fmri, area), speed, 2) > 0.9


@pytest.mark.parametrize(("factor", "classes"), [("shape", 4), ("colour", 8), ("background", 4)])
def test_what_is_seen_is_in_late_areas(fmri: Arrays, facts: Facts, factor: str, classes: int) -> None:
    labels = np.array(facts["factors"][factor])
    assert hits(of(fmri, "LO", "TPOJ"), labels, classes) > 0.85
    assert hits(of(fmri, "MT", "MST"), labels, classes) < 2 / classes


def test_words_of_the_caption_are_decodable(fmri: Arrays, facts: Facts) -> None:
    assert explained(of(fmri, *AREAS), words(facts["captions"]).astype(float)) > 0.7


def test_response_peaks_two_volumes_after_onset(made: Stages, facts: Facts) -> None:
    bold = load_file(made["data"].path("bold_0.safetensors"))["bold"]
    onsets = np.array(facts["subjects"][0]["onsets"])[:TRAIN, 0]
    spread = [np.diff(bold[onsets + lag], axis=0).std() for lag in range(4)]
    assert int(np.argmax(spread)) == facts["lag_tr"] == 2
    assert hrf(np.arange(0, 30, 0.01)).argmax() == pytest.approx(400, abs=5)
    assert hrf(np.array([-1.0, 0.0]))[0] == hrf(np.array([-1.0, 0.0]))[1] == pytest.approx(0.0)


def test_planted_map_tells_which_voxels_carry_motion(made: Stages, fmri: Arrays, facts: Facts, driven: Arrays) -> None:
    """Voxels with a larger planted share of motion follow the motion drive more closely."""
    share = load_file(made["data"].path("planted_0.safetensors"))["share"]
    assert share.shape == (900, len(DRIVES))
    np.testing.assert_allclose(share.sum(1), 1.0, rtol=1e-5)
    assert facts["drives"] == list(DRIVES)
    motion = driven["motion"].astype(float)
    motion = (motion - motion.mean(0)) / motion.std(0)
    found = ridge(motion, fmri["fmri"].astype(float), 500.0)
    follows = [np.corrcoef(found[:, v], fmri["fmri"][TRAIN:, v])[0, 1] for v in range(len(share))]
    assert np.corrcoef(follows, share[:, DRIVES.index("motion")])[0, 1] > 0.5


def test_roi_sizes_and_receptive_fields(made: Stages, fmri: Arrays, driven: Arrays) -> None:
    roi = fmri["roi"]
    assert {int(index) for index in roi} == set(range(len(AREAS)))
    assert (np.diff(roi) < 0).sum() > 100, "the voxels of an ROI must not lie together"
    planted = load_file(made["data"].path("planted_0.safetensors"))
    image = driven["image"].reshape(-1, 16, 16, 3).astype(float)
    image = (image - image.mean(0)) / image.std(0)
    nearer = 0
    v1 = np.nonzero((roi == 0) & (planted["share"][:, 0] > 0.7))[0]
    for voxel in v1:
        relation = np.abs(np.einsum("n,nijc->ijc", fmri["fmri"][:, voxel], image)).max(-1)
        down, across = np.unravel_index(relation.argmax(), relation.shape)
        place = planted["place"][voxel]
        nearer += np.hypot((across + 0.5) / 16 - place[0], (down + 0.5) / 16 - place[1]) < 0.25
    assert nearer / len(v1) > 0.6  # a quarter of the frame holds a fifth of its area


def test_noise_sets_the_reliability_of_repeats(driven: Arrays) -> None:
    plan = schedule(["test"] * 120, run_clips=20, rest_tr=3, repeats=2)
    some = {name: values[:120] for name, values in driven.items()}
    runs = [*zip(plan.runs.tolist(), [*plan.runs[1:].tolist(), plan.volumes], strict=True)]
    reliability = {}
    for noise in (0.0, 0.3, 2.0):
        scan = scan_subject(some, plan, rng=np.random.default_rng(0), voxels=200, noise=noise)
        bold = clip_rows.detrend(scan.bold, runs, tr=TR)
        first, second = (bold[plan.onsets[:, repeat] + 2] for repeat in (0, 1))
        reliability[noise] = np.mean([np.corrcoef(first[:, v], second[:, v])[0, 1] for v in range(200)])
    assert reliability[0.0] > 0.95 > reliability[0.3] > 0.8 > 0.35 > reliability[2.0] > 0.0


def test_brain_needs_pixels_and_words_only() -> None:
    """Clips of another size, length and shape, with words that no phantom knows, drive the same voxels."""
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (9, 6, 48, 40, 3), dtype=np.uint8)
    driven = drives(clips, [f"a sea otter, take {letter}" for letter in "abcdefghi"])
    assert {name: values.shape for name, values in driven.items()} == {
        name: (9, side * side * channels) for name, (side, channels) in CHANNEL_SHAPES.items()
    }
    plan = schedule(["train"] * 7 + ["validation", "test"], run_clips=20, rest_tr=3, repeats=2)
    scan = scan_subject(driven, plan, rng=rng, voxels=64, noise=0.3)
    assert np.isfinite(scan.bold).all()
    assert (scan.bold.std(0) > 0.1).all()


def test_same_drives_at_another_resolution_and_frame_rate() -> None:
    factors = stimuli.sample_factors(np.random.default_rng(0), 40)
    captions = stimuli.captions(factors)
    one = drives(stimuli.render(factors), captions)
    two = drives(stimuli.render(factors, frames=16, resolution=128), captions)
    for name in DRIVES:
        assert np.corrcoef(one[name].ravel(), two[name].ravel())[0, 1] > 0.95, name


def test_words_bind_neighbours_and_repeat_exactly() -> None:
    red, green = words(["a red disc over green stripes", "a green disc over red stripes"])
    assert not np.allclose(red, green)
    np.testing.assert_array_equal(words(["The RED disc, over green stripes!"])[0], red)
    assert not words(["", "a the of"]).any()


def test_a_run_holds_one_split_and_ends_in_silence() -> None:
    split = ["train"] * 25 + ["validation"] * 5 + ["test"] * 7
    plan = schedule(split, run_clips=10, rest_tr=0, repeats=3)
    shown = plan.clip_at()
    ends = [*plan.runs[1:], plan.volumes]
    for start, end in zip(plan.runs, ends, strict=True):
        clips = shown[start:end]
        assert len({split[clip] for clip in clips if clip >= 0}) == 1
        assert (clips[-TAIL:] == -1).all()
    assert [int((shown == clip).sum()) for clip in (0, 24, 25, 36)] == [1, 1, 3, 3]
    assert (plan.onsets[:25, 1:] == -1).all()
