"""Readings of clips, and the metrics that need more than frames (mind-animator.md C.1).

A clip is read once into a `Reading` (frames, flow, logits, embeddings). So the flow and logits of the true clip are
computed once for all systems and controls. `metrics.clip_metrics` names the functions; each takes two readings and
returns one number.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from trainables.metrics import flow, pixels
from trainables.metrics.clip import Clip, Floats, UndefinedError
from trainables.metrics.nway import FIFTY_WAY, TWO_WAY, NWay
from trainables.metrics.objects import Factor, KnownObject, factor_accuracy
from trainables.metrics.video_semantics import clip_pcc, consistency, consistency_of_pairs, vifi

if TYPE_CHECKING:
    from trainables.metrics.clip_energy import ClipEnergy

Network: TypeAlias = Callable[[Clip], Floats]
Role: TypeAlias = Literal["image_classifier", "video_classifier", "vifi", "clip"]


@dataclass(frozen=True)
class Networks:
    """The available networks. Metrics that need a missing network are left out."""

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
        """Role to available network."""
        return {role: network for role, network in vars(self).items() if network is not None}


@dataclass(frozen=True)
class Reading:
    """The data of one clip that metrics use."""

    frames: Clip
    flow: Mapping[flow.Grey, Floats]
    """Flows by grey conversion; empty for a clip of one frame."""
    outputs: Mapping[str, Floats]
    """Role of the network to its output."""
    known: KnownObject | None = None
    """The planted object of a true clip, if it is known."""

    @cached_property
    def motion_energy(self) -> "ClipEnergy":
        """Motion energy of the frames, computed when it is asked for. Raises `UndefinedError` for few frames."""
        from trainables.metrics.clip_energy import clip_energy  # PyTorch, which few users of readings need

        return clip_energy(self.frames)

    def static(self, networks: Networks) -> "Reading":
        """Return the reading of a clip that repeats the first frame: the static control."""
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
    """Return the reading of `clip` `[F, H, W, 3]`. `legacy_flow` is for `epe_legacy` and doubles the time."""
    return read_all([clip], networks, legacy_flow=legacy_flow, threads=threads)[0]


def read_all(
    clips: Sequence[Clip], networks: Networks, *, legacy_flow: bool = False, threads: int = 1
) -> list[Reading]:
    """Return the readings of several clips with the same number of frames. Faster than reading each alone."""
    flows = flows_of(clips, legacy_flow=legacy_flow, threads=threads)
    return [_reading(clip, fields, networks) for clip, fields in zip(clips, flows, strict=True)]


def flows_of(clips: Sequence[Clip], *, legacy_flow: bool = False, threads: int = 1) -> list[Mapping[flow.Grey, Floats]]:
    """Return the flows of several clips with the same number of frames, as `Reading.flow`."""
    greys: tuple[flow.Grey, ...] = ("rgb", "bgr") if legacy_flow else ("rgb",)
    moving = all(len(clip) > 1 for clip in clips)
    flows = {grey: flow.farneback_all(clips, grey=grey, threads=threads) for grey in greys} if moving else {}
    return [{grey: fields[index] for grey, fields in flows.items()} for index in range(len(clips))]


def _reading(clip: Clip, flows: Mapping[flow.Grey, Floats], networks: Networks) -> Reading:
    outputs = {network: network(clip) for network in set(networks.present.values())}  # two roles may share a CLIP model
    return Reading(clip, flows, {role: outputs[network] for role, network in networks.present.items()})


def two_way_i(truth: Reading, prediction: Reading, *, threads: int = 1, trials: int = 0) -> float:
    """Return the 2-way accuracy of the image classifier, mean over frames: exact, or of `trials` draws per frame."""
    return _n_way(TWO_WAY, "image_classifier", truth, prediction, trials=trials)


def two_way_v(truth: Reading, prediction: Reading, *, threads: int = 1, trials: int = 0) -> float:
    """Return the 2-way accuracy of the video classifier: exact, or of `trials` draws."""
    return _n_way(TWO_WAY, "video_classifier", truth, prediction, trials=trials)


def fifty_way_i(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the exact 50-way accuracy of the image classifier, mean over frames."""
    return _n_way(FIFTY_WAY, "image_classifier", truth, prediction)


def fifty_way_v(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the exact 50-way accuracy of the video classifier."""
    return _n_way(FIFTY_WAY, "video_classifier", truth, prediction)


def _n_way(ways: NWay, network: Role, truth: Reading, prediction: Reading, *, trials: int = 0) -> float:
    logits = truth.outputs[network], prediction.outputs[network]
    if trials == 0:
        return float(ways.exact(*logits).mean())
    # The seed is the clip's: all systems meet the same classes, and another clip meets others.
    return float(ways.sampled(*logits, trials=trials, seed=zlib.crc32(truth.frames.tobytes())).mean())


def vifi_score(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `video_semantics.vifi` of two readings."""
    return vifi(truth.outputs["vifi"], prediction.outputs["vifi"])


def gated_clip_pcc(truth: Reading, prediction: Reading, *, threads: int = 1, gated: int = 1) -> float:
    """Return `video_semantics.clip_pcc` of two readings, gated by their VIFI-score, or not if `gated` is 0."""
    if gated == 0:
        return consistency(prediction.outputs["clip"])
    return clip_pcc(prediction.outputs["clip"], vifi_score=vifi_score(truth, prediction))


def clip_pairs(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `video_semantics.consistency_of_pairs` of the reconstruction."""
    return consistency_of_pairs(prediction.outputs["clip"])


def epe(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the end-point error of flow in pixels, mean over frame pairs.

    Raises:
        UndefinedError: The clip has only one frame.
    """
    return _flow_error("rgb", truth, prediction)


def epe_legacy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `epe` with the released code's conversion to grey. Readings need `legacy_flow`."""
    return _flow_error("bgr", truth, prediction)


def _flow_error(grey: flow.Grey, truth: Reading, prediction: Reading) -> float:
    if not (truth.flow and prediction.flow):
        raise UndefinedError("one frame has no flow")
    return flow.flow_error(truth.flow[grey], prediction.flow[grey])


def motion_energy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `clip_energy.energy_correlation` of two readings."""
    from trainables.metrics.clip_energy import energy_correlation

    return energy_correlation(truth.motion_energy, prediction.motion_energy)


def opponent_energy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return `clip_energy.opponent_correlation` of two readings."""
    from trainables.metrics.clip_energy import opponent_correlation

    return opponent_correlation(truth.motion_energy, prediction.motion_energy)


def _object(truth: Reading) -> KnownObject:
    if truth.known is None:
        raise UndefinedError("nothing is known of an object in this clip")
    return truth.known


def object_ssim(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return SSIM over the object's pixels, in the frames that show it."""
    known = _object(truth)
    shown = known.shown
    return pixels.ssim(truth.frames[shown], prediction.frames[shown], mask=known.mask[shown], threads=threads)


def object_epe(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the end-point error over the object's pixels, in the frame pairs whose first frame shows it."""
    if not (truth.flow and prediction.flow):
        raise UndefinedError("one frame has no flow")
    known = _object(truth)
    shown = known.shown[:-1]
    if not shown.any():
        raise UndefinedError("the object is in the last frame only")
    return flow.flow_error(truth.flow["rgb"][shown], prediction.flow["rgb"][shown], mask=known.mask[:-1][shown])


def shape_accuracy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the fraction of the object's frames in which the image classifier predicts its shape."""
    return _factor_accuracy("shape", truth, prediction)


def colour_accuracy(truth: Reading, prediction: Reading, *, threads: int = 1) -> float:
    """Return the fraction of the object's frames in which the image classifier predicts its colour."""
    return _factor_accuracy("colour", truth, prediction)


def _factor_accuracy(factor: Factor, truth: Reading, prediction: Reading) -> float:
    return factor_accuracy(_object(truth), prediction.outputs["image_classifier"], factor=factor)
