"""Protocols: what the same videos score under each, and what cannot be judged by one."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from trainables.config.video import EvaluateConfig, ProtocolName, protocol_name, recorded_protocol
from trainables.datasets.video_io import read_video, split_pair
from trainables.graph import resolve_reference
from trainables.judging.pairing import Pairing, System, VideoFile
from trainables.judging.protocols import (
    DEFAULT,
    PROTOCOLS,
    Protocol,
    classes_of,
    protocol_text,
    refusals,
    too_few_classes,
)
from trainables.metrics import pixels
from trainables.metrics.clip import Clip, Floats, UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.nway import FIFTY_WAY
from trainables.metrics.registry import METRICS
from trainables.metrics.video import Networks
from trainables.metrics.video_semantics import consistency, consistency_of_pairs

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "clips" / "mindvideo"
SSIM_OF_MIND_VIDEO = {"mindsweep-1": 0.187, "mind_video-1": 0.193, "neurons-1": 0.230, "mind_animator-1": 0.292}
NOISE = np.random.default_rng(0).integers(256, size=(2, 3, 24, 20, 3), dtype=np.uint8)


def ssim_by(protocol: Protocol, truth: Clip, prediction: Clip) -> float:
    (metric,) = (metric for metric in protocol.metrics(Networks(), ()) if metric.short == "ssim")
    side, frames = protocol.side, protocol.frames
    size = truth.shape[1:3] if side is None else (side, side)
    count = len(truth) if frames is None else frames
    fitted = (
        protocol.fitted(truth, "truth", frames=count, size=size),
        protocol.fitted(prediction, "prediction", frames=count, size=size),
    )
    return float(resolve_reference(metric.function)(*fitted))


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"{CLIPS} is absent")
@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_same_published_clips_have_another_ssim_under_each_protocol(name: str) -> None:
    halves = [split_pair(read_video(path).frames) for path in sorted(CLIPS.glob("*.gif"))]
    values = [ssim_by(PROTOCOLS[name], *pair) for pair in halves if pair is not None]
    assert len(values) == 8
    assert np.mean(values) == pytest.approx(SSIM_OF_MIND_VIDEO[name], abs=1e-3)


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"{CLIPS} is absent")
def test_halves_with_padding_are_those_of_the_published_file() -> None:
    grid = read_video(CLIPS / "test140.gif").frames
    pair = split_pair(grid)
    assert pair is not None
    half = grid.shape[2] // 2
    for role, clip, cut in (("truth", pair[0], grid[:, :, :half]), ("prediction", pair[1], grid[:, :, half:])):
        fitted = PROTOCOLS["mind_video-1"].fitted(clip, role, frames=6, size=(256, 256))  # type: ignore[arg-type]
        assert fitted.shape == cut.shape
        assert np.abs(fitted.astype(int) - cut).max() <= 8, "black of a palette, and nothing else"


@pytest.mark.parametrize("pair", [(NOISE[0], NOISE[1]), (NOISE[0], NOISE[0] // 2 + NOISE[1] // 2)])
def test_ssim_of_grey_frames_is_that_of_scikit_image(pair: tuple[Clip, Clip]) -> None:
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    oracle: Any = structural_similarity
    expected = [oracle(rgb2gray(x), rgb2gray(y), **options) for x, y in zip(*pair, strict=True)]
    assert pixels.ssim_grey(*pair) == pytest.approx(np.mean(expected), abs=1e-9)
    assert pixels.ssim_grey(*pair, threads=2) == pixels.ssim_grey(*pair)
    assert pixels.ssim_grey(pair[0], pair[0]) == pytest.approx(1.0)


def test_ssim_of_grey_frames_needs_its_window() -> None:
    with pytest.raises(ValueError, match="11x11 or more"):
        pixels.ssim_grey(NOISE[0][:, :10], NOISE[1][:, :10])


def test_all_pairs_of_frames_are_compared() -> None:
    frames = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert consistency(frames) == 0.0
    assert consistency_of_pairs(frames) == pytest.approx(1 / 3)
    assert consistency_of_pairs(frames[:2]) == 0.0
    with pytest.raises(UndefinedError, match="one frame"):
        consistency_of_pairs(frames[:1])


def of_classes(count: int) -> Networks:
    def network(clip: Clip) -> Floats:
        return np.zeros((len(clip), count))

    return Networks(image_classifier=network, clip=network)


def names(protocol: str, classes: int) -> set[str]:
    networks = of_classes(classes)
    counts = classes_of(networks, frames=2, size=(8, 8))
    assert counts == {"image_classifier": classes}
    return {metric.short for metric in PROTOCOLS[protocol].metrics(networks, counts.values())}


def test_each_protocol_has_its_own_metrics() -> None:
    assert "fifty_way_i" in names("mindsweep-1", 52)
    assert "fifty_way_i" not in names("mindsweep-1", 51)
    assert "fifty_way_i" not in names("mind_animator-1", 1000)
    assert {"fifty_way_i", "two_way_i", "clip_pairs"} <= names("neurons-1", 1000)
    assert "clip_pairs" not in names("mind_video-1", 1000)
    assert CLIP_METRICS["fifty_way_i"].chance == pytest.approx(FIFTY_WAY.chance) == pytest.approx(0.0577, abs=1e-4)
    assert {"evaluate.fifty_way_i", "evaluate.clip_pairs"} <= METRICS.keys()
    assert "evaluate.epe_legacy" not in METRICS


def system(side: tuple[int, int], frames: int) -> System:
    return System("theirs", Path("theirs"), {"clip": VideoFile(Path("clip.gif"), frames, side, None, False)})


@pytest.mark.parametrize(
    ("protocol", "side", "frames", "reasons"),
    [
        ("mindsweep-1", (64, 48), 3, []),
        ("mind_animator-1", (64, 64), 3, []),
        ("mind_animator-1", (64, 48), 3, ["it needs square videos, but those of theirs are 64x48"]),
        ("mind_video-1", (256, 256), 8, []),
        ("mind_video-1", (256, 256), 4, ["it needs 6 frames per clip, but theirs has 4"]),
        ("neurons-1", (112, 112), 6, ["it judges 256x256 pixels, but theirs has 112x112"]),
    ],
)
def test_what_a_protocol_cannot_judge_is_refused_with_the_reason(
    protocol: str, side: tuple[int, int], frames: int, reasons: list[str]
) -> None:
    judged = Pairing((system(side, frames),), {}, side, frames)
    assert list(refusals(PROTOCOLS[protocol], judged, None)) == reasons


def test_fifty_way_needs_enough_classes() -> None:
    (reason,) = too_few_classes(PROTOCOLS["neurons-1"], {"image_classifier": 32, "video_classifier": 400})
    assert reason == "50-way needs a classifier of 52 classes or more, but the image_classifier has 32"
    assert not list(too_few_classes(PROTOCOLS[DEFAULT], {"image_classifier": 32}))


def test_the_field_of_a_trial_lists_all_protocols() -> None:
    assert get_args(ProtocolName) == tuple(PROTOCOLS)
    assert EvaluateConfig().protocol == DEFAULT


def test_ids_are_names_with_versions() -> None:
    for name, protocol in PROTOCOLS.items():
        assert name == protocol.id
        assert name.rpartition("-")[2].isdecimal()
        assert str(protocol).startswith(f"{name}: ")


def test_every_published_table_says_by_which_protocol_its_videos_were_judged() -> None:
    folder = Path(__file__).resolve().parents[2] / "ablations" / "published"
    protocols = json.loads((folder / "protocols.json").read_text(encoding="utf-8"))
    judged = {"two_way_i", "two_way_v", "ssim", "epe", "epe_p"}
    assert protocols.keys() == {path.name for path in folder.glob("*.csv")}
    assert set(protocols.values()) <= {"", *PROTOCOLS}
    for table, protocol in protocols.items():
        columns = set((folder / table).read_text(encoding="utf-8").splitlines()[0].split(","))
        assert (protocol != "") == bool(columns & judged), table


def test_the_name_of_a_protocol_says_what_was_changed_of_it() -> None:
    assert recorded_protocol({}) == DEFAULT
    changed = EvaluateConfig(hue_frames=6, clip_pcc_gate="average", image_trials=20, video_trials=100, resolution=64)
    name = f"{DEFAULT}+resolution=64+image_trials=20+video_trials=100+hue_frames=6+clip_pcc_gate=average"
    assert recorded_protocol({"evaluate": changed.model_dump(mode="json")}) == name
    text = protocol_text(changed.model_dump())
    assert text.startswith(f"{name}: native size, ")
    assert text.endswith("; changed: " + ", ".join(name.split("+")[1:]))
    assert protocol_text({}) == str(PROTOCOLS[DEFAULT])


def test_every_field_that_changes_values_is_in_the_name() -> None:
    """A new field of `evaluate` must be named there, or be listed here with the others that change no choice."""
    elsewhere = {
        *("image_classifier", "video_classifier", "vifi", "clip"),  # networks: their digests are in the identity
        *("shuffles", "seed"),  # draws of controls and of the shuffle test
    }
    others = {"clip_pcc_gate": "average"}
    for name in EvaluateConfig.model_fields.keys() - elsewhere - {"protocol"}:
        value = others.get(name, 7)
        assert protocol_name({name: value}) == f"{DEFAULT}+{name}={value}"
