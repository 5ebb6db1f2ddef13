"""What metrics read of a clip, and those that need more of it than its frames (mind-animator.md C.1).

A clip is read once into a `Reading` (frames, flow, logits, embeddings), so the true clip's flow and logits serve all
systems and controls. `metrics.registry` names these functions; each takes two readings and returns one number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from trainables.metrics import flow, pixels
from trainables.metrics.clip import Clip, Floats, UndefinedError
from trainables.metrics.nway import NWay
from trainables.metrics.objects import Factor, KnownObject, factor_accuracy
from trainables.metrics.video_semantics import clip_pcc, vifi

Network: TypeAlias = Callable[[Clip], Floats]
Role: TypeAlias = Literal["image_classifier", "video_classifier", "vifi", "clip"]
TWO_WAY = NWay()


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

    @property
    def present(self) -> Mapping[str, Network]:
        """Those at hand, by role."""
        return {role: network for role, network in vars(self).items() if network is not None}


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

    def static(self, networks: Networks) -> "Reading":
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


def reading_of(clip: Clip, networks: Networks, *, legacy_flow: bool = False, threads: int = 1) -> Reading:
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
    outputs = {network: network(clip) for network in set(networks.present.values())}  # one CLIP may serve two metrics
    return Reading(clip, flows, {role: outputs[network] for role, network in networks.present.items()})


def two_way_i(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the exact 2-way accuracy of the image classifier, mean over frames."""
    return _two_way("image_classifier", truth, prediction)


def two_way_v(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the exact 2-way accuracy of the video classifier."""
    return _two_way("video_classifier", truth, prediction)


def _two_way(network: Role, truth: Reading, prediction: Reading) -> float:
    return float(TWO_WAY.exact(truth.outputs[network], prediction.outputs[network]).mean())


def vifi_score(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `video_semantics.vifi` of two readings."""
    return vifi(truth.outputs["vifi"], prediction.outputs["vifi"])


def gated_clip_pcc(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `video_semantics.clip_pcc` of two readings; their VIFI-score is its gate."""
    return clip_pcc(prediction.outputs["clip"], vifi_score=vifi_score(truth, prediction))


def epe(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the end-point error of flow, mean over frame pairs. Raises `UndefinedError` for one frame."""
    return _flow_error("rgb", truth, prediction)


def epe_legacy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `epe` of frames made grey with the released code's weights; `read` computes it with `legacy_flow`."""
    return _flow_error("bgr", truth, prediction)


def _flow_error(grey: flow.Grey, truth: Reading, prediction: Reading) -> float:
    if not (truth.flow and prediction.flow):
        raise UndefinedError("one frame has no flow")
    return flow.flow_error(truth.flow[grey], prediction.flow[grey])


def _object(truth: Reading) -> KnownObject:
    if truth.known is None:
        raise UndefinedError("nothing is known of an object in this clip")
    return truth.known


def object_ssim(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return SSIM over the object, in the frames that show it."""
    known = _object(truth)
    shown = known.shown
    return pixels.ssim(truth.frames[shown], prediction.frames[shown], mask=known.mask[shown], threads=threads)


def object_epe(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the end-point error where the object was, in the frame pairs that begin with it."""
    if not (truth.flow and prediction.flow):
        raise UndefinedError("one frame has no flow")
    known = _object(truth)
    shown = known.shown[:-1]
    if not shown.any():
        raise UndefinedError("the object is in the last frame only")
    return flow.flow_error(truth.flow["rgb"][shown], prediction.flow["rgb"][shown], mask=known.mask[:-1][shown])


def shape_accuracy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the share of the object's frames in which the image classifier sees its shape."""
    return _factor_accuracy("shape", truth, prediction)


def colour_accuracy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the share of the object's frames in which the image classifier sees its colour."""
    return _factor_accuracy("colour", truth, prediction)


def _factor_accuracy(factor: Factor, truth: Reading, prediction: Reading) -> float:
    return factor_accuracy(_object(truth), prediction.outputs["image_classifier"], factor=factor)
