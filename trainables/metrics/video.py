"""The metrics of reconstructed video as one table, and what they read of a clip (mind-animator.md C.1).

A clip is read once into a `Reading` (frames, flow, logits, embeddings); every metric is a function of two readings, so
the true clip's flow and logits serve all systems and controls.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import numpy as np

from trainables.datasets.phantom.stimuli import COLOURS, SHAPES
from trainables.metrics import flow, pixels
from trainables.metrics.clip import Clip, Floats, UndefinedError
from trainables.metrics.nway import NWay
from trainables.metrics.objects import Factor, KnownObject, factor_accuracy
from trainables.metrics.video_semantics import clip_pcc, vifi

Network: TypeAlias = Callable[[Clip], Floats]
Role: TypeAlias = Literal["image_classifier", "video_classifier", "vifi", "clip"]
Part: TypeAlias = Role | Literal["pixels"]


@dataclass(frozen=True)
class Networks:
    """The networks at hand; metrics that need an absent one are left out."""

    image_classifier: Network | None = None
    """`[F, H, W, 3]` to logits `[F, C]`."""
    video_classifier: Network | None = None
    """`[F, H, W, 3]` to logits `[1, C]`."""
    vifi: Network | None = None
    """`[F, H, W, 3]` to embeddings `[F, D]`, for the VIFI-score."""
    clip: Network | None = None
    """`[F, H, W, 3]` to embeddings `[F, D]`, for CLIP-pcc."""

    def has(self, part: Part) -> bool:
        """Tell whether what `part` needs is at hand."""
        return part == "pixels" or getattr(self, part) is not None


@dataclass(frozen=True)
class Reading:
    """What metrics read of one clip."""

    frames: Clip
    flow: Mapping[flow.Grey, Floats]
    """Empty for one frame."""
    outputs: Mapping[str, Floats]
    """By name of the network."""
    known: KnownObject | None = None
    """Of a true clip, where it is known what was planted in it."""

    def still(self, networks: Networks) -> "Reading":
        """Return the reading of the clip's first frame held: the static control."""
        held = np.repeat(self.frames[:1], len(self.frames), axis=0)
        per_frame = {
            name: np.repeat(value[:1], len(held), axis=0)
            for name, value in self.outputs.items()
            if name != "video_classifier"
        }
        video = {"video_classifier": networks.video_classifier(held)} if networks.video_classifier is not None else {}
        none = {grey: np.zeros_like(field) for grey, field in self.flow.items()}
        return replace(self, frames=held, flow=none, outputs={**per_frame, **video})


def read(clip: Clip, networks: Networks, *, legacy_flow: bool = False, threads: int = 1) -> Reading:
    """Compute all that metrics need of `clip` `[F, H, W, 3]`; `legacy_flow` doubles the time, for `epe_legacy`."""
    return read_all([clip], networks, legacy_flow=legacy_flow, threads=threads)[0]


def read_all(
    clips: Sequence[Clip], networks: Networks, *, legacy_flow: bool = False, threads: int = 1
) -> list[Reading]:
    """Read several clips of one frame count, such as all systems' versions of one: faster than one by one."""
    greys: tuple[flow.Grey, ...] = ("rgb", "bgr") if legacy_flow else ("rgb",)
    moving = all(len(clip) > 1 for clip in clips)
    flows = {grey: flow.farneback_all(clips, grey=grey, threads=threads) for grey in greys} if moving else {}
    return [
        _reading(clip, {grey: fields[index] for grey, fields in flows.items()}, networks)
        for index, clip in enumerate(clips)
    ]


def _reading(clip: Clip, flows: Mapping[flow.Grey, Floats], networks: Networks) -> Reading:
    present = {name: network for name, network in vars(networks).items() if network is not None}
    said = {network: network(clip) for network in set(present.values())}  # one CLIP may serve two metrics
    return Reading(clip, flows, {name: said[network] for name, network in present.items()})


class Score(Protocol):
    """One metric of a true and a reconstructed clip."""

    def __call__(self, truth: Reading, prediction: Reading, *, threads: int) -> float:
        """Return the value; raise `UndefinedError` where there is none."""


@dataclass(frozen=True)
class VideoMetric:
    """One metric of reconstructed video; its value for a clip is the mean over frames."""

    name: str
    title: str
    goal: Literal["min", "max"]
    low: float
    high: float
    chance: float | None
    """Its value for an unrelated reconstruction; None where only the mismatched control can tell."""
    needs: tuple[Part, ...]
    source: str
    score: Score

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return "↑" if self.goal == "max" else "↓"


def _of_frames(function: Callable[..., float]) -> Score:
    def score(truth: Reading, prediction: Reading, *, threads: int) -> float:
        return function(truth.frames, prediction.frames, threads=threads)

    return score


def _of_flow(grey: flow.Grey) -> Score:
    def score(truth: Reading, prediction: Reading, *, threads: int) -> float:
        if not (truth.flow and prediction.flow):
            raise UndefinedError("one frame has no flow")
        return flow.flow_error(truth.flow[grey], prediction.flow[grey])

    return score


def _of_logits(network: str) -> Score:
    def score(truth: Reading, prediction: Reading, *, threads: int) -> float:
        return float(TWO_WAY.exact(truth.outputs[network], prediction.outputs[network]).mean())

    return score


def _vifi(truth: Reading, prediction: Reading, *, threads: int) -> float:
    return vifi(truth.outputs["vifi"], prediction.outputs["vifi"])


def _clip_pcc(truth: Reading, prediction: Reading, *, threads: int) -> float:
    return clip_pcc(prediction.outputs["clip"], vifi_score=_vifi(truth, prediction, threads=threads))


def _object(truth: Reading) -> KnownObject:
    if truth.known is None:
        raise UndefinedError("nothing is known of an object in this clip")
    return truth.known


def _object_ssim(truth: Reading, prediction: Reading, *, threads: int) -> float:
    known = _object(truth)
    shown = known.shown
    return pixels.ssim(truth.frames[shown], prediction.frames[shown], mask=known.mask[shown], threads=threads)


def _object_epe(truth: Reading, prediction: Reading, *, threads: int) -> float:
    if not (truth.flow and prediction.flow):
        raise UndefinedError("one frame has no flow")
    known = _object(truth)
    shown = known.shown[:-1]
    if not shown.any():
        raise UndefinedError("the object is in the last frame only")
    return flow.flow_error(truth.flow["rgb"][shown], prediction.flow["rgb"][shown], mask=known.mask[:-1][shown])


def _factor(factor: Factor) -> Score:
    def score(truth: Reading, prediction: Reading, *, threads: int) -> float:
        return factor_accuracy(_object(truth), prediction.outputs["image_classifier"], factor=factor)

    return score


TWO_WAY = NWay()
_SLIP = "released code, kept to compare with published numbers"
VIDEO_METRICS: Mapping[str, VideoMetric] = {
    metric.name: metric
    for metric in (
        VideoMetric(
            "two_way_i",
            "2-way-I",
            "max",
            0.0,
            1.0,
            TWO_WAY.chance,
            ("image_classifier",),
            "mind-animator.md A.9, exact",
            _of_logits("image_classifier"),
        ),
        VideoMetric(
            "two_way_v",
            "2-way-V",
            "max",
            0.0,
            1.0,
            TWO_WAY.chance,
            ("video_classifier",),
            "mind-animator.md A.9, exact",
            _of_logits("video_classifier"),
        ),
        VideoMetric("vifi", "VIFI-score", "max", -1.0, 1.0, None, ("vifi",), "mind-animator.md C.1", _vifi),
        VideoMetric(
            "ssim", "SSIM", "max", -1.0, 1.0, None, ("pixels",), "scikit-image's definition", _of_frames(pixels.ssim)
        ),
        VideoMetric(
            "psnr",
            "PSNR (dB)",
            "max",
            0.0,
            100.0,
            None,
            ("pixels",),
            "capped at 100 dB for equal frames",
            _of_frames(pixels.psnr),
        ),
        VideoMetric(
            "hue_cos_legacy",
            "hue cosine, R/B swapped",
            "max",
            0.0,
            1.0,
            None,
            ("pixels",),
            _SLIP,
            _of_frames(pixels.hue_cos_legacy),
        ),
        VideoMetric(
            "hue_cos",
            "hue cosine",
            "max",
            0.0,
            1.0,
            None,
            ("pixels",),
            "the paper's formula on RGB",
            _of_frames(pixels.hue_cos),
        ),
        VideoMetric(
            "hue_pcc",
            "hue Pearson",
            "max",
            -1.0,
            1.0,
            0.0,
            ("pixels",),
            "what the paper's name says",
            _of_frames(pixels.hue_pcc),
        ),
        VideoMetric(
            "hue_circular", "hue circular", "max", -1.0, 1.0, None, ("pixels",), "ours", _of_frames(pixels.hue_circular)
        ),
        VideoMetric(
            "clip_pcc",
            "CLIP-pcc",
            "max",
            -1.0,
            1.0,
            None,
            ("vifi", "clip"),
            "mind-animator.md C.1, gate VIFI > 0.6",
            _clip_pcc,
        ),
        VideoMetric(
            "epe", "EPE (px)", "min", 0.0, math.inf, None, ("pixels",), "Farneback flow of RGB frames", _of_flow("rgb")
        ),
        VideoMetric(
            "epe_legacy", "EPE (px), grey by BGR", "min", 0.0, math.inf, None, ("pixels",), _SLIP, _of_flow("bgr")
        ),
    )
}

_KNOWN = "ours; the object is known"
OBJECT_METRICS: Mapping[str, VideoMetric] = {
    metric.name: metric
    for metric in (
        VideoMetric("object_ssim", "object SSIM", "max", -1.0, 1.0, None, ("pixels",), _KNOWN, _object_ssim),
        VideoMetric("object_epe", "object EPE (px)", "min", 0.0, math.inf, None, ("pixels",), _KNOWN, _object_epe),
        VideoMetric(
            "shape_accuracy",
            "shape accuracy",
            "max",
            0.0,
            1.0,
            1 / len(SHAPES),
            ("image_classifier",),
            _KNOWN,
            _factor("shape"),
        ),
        VideoMetric(
            "colour_accuracy",
            "colour accuracy",
            "max",
            0.0,
            1.0,
            1 / len(COLOURS),
            ("image_classifier",),
            _KNOWN,
            _factor("colour"),
        ),
    )
}
"""Only for clips with a `KnownObject`, as the phantom's."""
