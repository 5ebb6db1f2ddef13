"""Protocols: all choices that fix the value of a metric, named and versioned.

The same pixels score otherwise under another protocol (mind-animator.md C.1), so values of two protocols are never
compared. A protocol that changes gets a new number; the old one keeps its meaning.

    >>> PROTOCOLS["mind_animator-1"].side, PROTOCOLS["neurons-1"].frames
    (512, 6)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from trainables.config.video import protocol_name
from trainables.judging.values import available
from trainables.metrics.clip import Clip
from trainables.metrics.clip_metrics import ENERGY_FRAMES, ClipMetric
from trainables.metrics.nway import FIFTY_WAY
from trainables.metrics.video import Networks

if TYPE_CHECKING:
    from trainables.judging.pairing import Pairing, System

VideoRole: TypeAlias = Literal["truth", "prediction"]
PADDING = 2
"""Black pixels around and between truth and reconstruction in a grid of both."""
_LEFT_AND_RIGHT: Mapping[VideoRole, tuple[int, int]] = {
    "truth": (PADDING, PADDING // 2),
    "prediction": (PADDING // 2, PADDING),
}
"""Of a grid that is cut at half its width: one of the two columns between the videos goes to each half."""
_SSIM: Mapping[str, tuple[str, str]] = {
    "colour": ("trainables.metrics.pixels:ssim", "SSIM"),
    "grey": ("trainables.metrics.pixels:ssim_grey", "SSIM, grey, Gaussian window"),
}
_WAYS = {
    "no": "2-way top-1",
    "if possible": f"2-way top-1, and 50-way where a classifier has {FIFTY_WAY.classes} classes",
    "yes": "2-way and 50-way top-1",
}
_OPTIONAL = ("clip_pairs", "fifty_way", "motion_energy")


@dataclass(frozen=True)
class Protocol:
    """How videos are judged."""

    id: str
    """Name and version."""
    source: str
    """Whose choices these are, and where they were read."""
    side: int | None = None
    """Height and width in pixels; None: those of the videos."""
    enlarges: bool = False
    """Whether smaller videos are enlarged to `side`, by bicubic interpolation. Otherwise they are refused."""
    frames: int | None = None
    """Frames per clip; None: those of the videos."""
    rate: float | None = None
    """Frames per second of these frames; None: that of the videos."""
    padding: Literal["cropped", "halves"] = "cropped"
    """`halves`: a grid of truth and reconstruction is cut at half its width, which leaves black borders in both."""
    ssim: Literal["colour", "grey"] = "colour"
    """`colour`: mean over channels, 7x7 uniform window, sample covariance. `grey`: Gaussian window of standard
    deviation 1.5, population covariance."""
    consistency: Literal["clip_pcc", "clip_pairs"] = "clip_pcc"
    """`clip_pcc`: adjacent frames, 0 below the gate. `clip_pairs`: all pairs of frames, no gate."""
    fifty_way: Literal["no", "if possible", "yes"] = "yes"
    """Whether 50-way top-1 accuracy is judged beside 2-way top-1, for images and for videos."""
    motion_energy: bool = False
    """Whether motion energy is compared."""

    def metrics(
        self,
        networks: Networks,
        classes: Iterable[int],
        *,
        legacy_flow: bool = False,
        objects: bool = False,
        frames: int | None = None,
    ) -> tuple[ClipMetric, ...]:
        """Return the metrics that can be computed with `networks`, as this protocol defines them.

        Args:
            networks: Those that can be used.
            classes: The number of classes of each classifier among them.
            legacy_flow: Whether the flow of the released code is computed.
            objects: Whether the objects of the true clips are known.
            frames: Those of each video; metrics that need more are left out.
        """
        wanted = [name for name in _OPTIONAL if self._wants(name, tuple(classes))]
        if frames is not None and frames < ENERGY_FRAMES and "motion_energy" in wanted:
            wanted.remove("motion_energy")
        found = available(networks, legacy_flow=legacy_flow, objects=objects, optional=wanted)
        kept = [metric for metric in found if metric.short != "clip_pcc" or self.consistency == "clip_pcc"]
        return tuple(self._defined(metric) for metric in kept)

    def _wants(self, name: str, classes: Sequence[int]) -> bool:
        if name == "clip_pairs":
            return self.consistency == name
        if name == "motion_energy":
            return self.motion_energy
        enough = all(count >= FIFTY_WAY.classes for count in classes)
        return self.fifty_way == "yes" or (self.fifty_way == "if possible" and enough)

    def _defined(self, metric: ClipMetric) -> ClipMetric:
        if metric.short != "ssim" or self.ssim == "colour":
            return metric
        function, title = _SSIM[self.ssim]
        return replace(metric, function=function, title=title, source=self.id)

    def fitted(self, clip: Clip, role: VideoRole, *, frames: int, size: tuple[int, int]) -> Clip:
        """Return `clip` with this number of frames, and its content in this size; with borders if they are left in."""
        sized = self._sized(clip, frames=frames, size=size)
        if self.padding == "cropped":
            return sized
        sides = _LEFT_AND_RIGHT[role]
        return np.pad(sized, ((0, 0), (PADDING, PADDING), sides, (0, 0)))

    def _sized(self, clip: Clip, *, frames: int, size: tuple[int, int]) -> Clip:
        # Reports read the names of protocols, and need no readers of pictures.
        from PIL import Image

        from trainables.datasets.video_io import resample

        if not self.enlarges or clip.shape[1] >= size[0]:
            return resample(clip, frames=frames, size=size)
        chosen = resample(clip, frames=frames, size=clip.shape[1:3])
        height, width = size
        return np.stack(
            [np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)) for frame in chosen]
        )

    def __str__(self) -> str:
        size = f"{self.side}x{self.side}" if self.side is not None else "native size"
        count = f"{self.frames} frames" if self.frames is not None else "native frames"
        rate = f" at {self.rate:g} per second" if self.rate is not None else ""
        ssim = "7x7 uniform window, colour" if self.ssim == "colour" else "Gaussian window 1.5, grey"
        borders = "padding cropped" if self.padding == "cropped" else "halves with their padding"
        pairs = "adjacent frames with gate" if self.consistency == "clip_pcc" else "all pairs of frames, no gate"
        ways = _WAYS[self.fifty_way]
        energy = "; motion energy" if self.motion_energy else ""
        return f"{self.id}: {size}, {count}{rate}, {borders}; SSIM: {ssim}; {ways}; CLIP-pcc: {pairs}{energy}"


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.id: protocol
    for protocol in (
        Protocol("mindsweep-1", "this project", fifty_way="if possible", motion_energy=True),
        Protocol(
            "mind_animator-1",
            "Mind-Animator's released metrics; native frames, as its tables mix systems",
            side=512,
            enlarges=True,
            fifty_way="no",
        ),
        Protocol("mind_video-1", "Mind-Video's released metrics", side=256, frames=6, rate=3.0, padding="halves"),
        Protocol(
            "neurons-1",
            "NEURONS' released metrics",
            side=256,
            frames=6,
            rate=3.0,
            padding="halves",
            ssim="grey",
            consistency="clip_pairs",
        ),
    )
}
"""Id to protocol."""
DEFAULT = "mindsweep-1"


def protocol_text(evaluate: Mapping[str, Any]) -> str:
    """Return the protocol of a section `evaluate` in words; what was changed of it comes last.

    Of one of a newer version of this project, the name alone.
    """
    name = protocol_name(evaluate)
    protocol, *changes = name.split("+")
    if protocol not in PROTOCOLS:
        return f"{name}, which this version does not know"
    changed = f"; changed: {', '.join(changes)}" if changes else ""
    return f"{name}{str(PROTOCOLS[protocol]).removeprefix(protocol)}{changed}"


def classes_of(networks: Networks, *, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """Return the number of classes of each classifier. Each is asked about one black clip of this shape."""
    black = np.zeros((frames, *size, 3), np.uint8)
    classifiers = {"image_classifier": networks.image_classifier, "video_classifier": networks.video_classifier}
    return {role: network(black).shape[-1] for role, network in classifiers.items() if network is not None}


def refusals(protocol: Protocol, pairing: "Pairing", truth: "System | None") -> Iterator[str]:
    """Yield why the videos of `pairing` cannot be judged by `protocol`."""
    for system in (*pairing.systems, *(() if truth is None else (truth,))):
        if not system.clips:
            continue
        size, frames = system.native
        yield from unfit(protocol, system.name, frames=frames, size=size)


def unfit(protocol: Protocol, name: str, *, frames: int, size: tuple[int, int]) -> Iterator[str]:
    """Yield why the videos called `name`, of this number of frames, height and width, cannot be judged."""
    height, width = size
    if protocol.frames is not None and frames < protocol.frames:
        yield f"it needs {protocol.frames} frames per clip, but {name} has {frames}"
    if protocol.side is None:
        return
    if height != width:
        yield f"it needs square videos, but those of {name} are {height}x{width}"
    elif height < protocol.side and not protocol.enlarges:
        yield f"it judges {protocol.side}x{protocol.side} pixels, but {name} has {height}x{width}"


def too_few_classes(protocol: Protocol, classes: Mapping[str, int]) -> Iterator[str]:
    """Yield which classifiers have too few classes for `protocol`."""
    yield from lacking_classes(classes) if protocol.fifty_way == "yes" else ()


def lacking_classes(classes: Mapping[str, int]) -> Iterator[str]:
    """Yield which classifiers have too few classes for 50-way accuracy."""
    for role, count in classes.items():
        if count < FIFTY_WAY.classes:
            yield f"50-way needs a classifier of {FIFTY_WAY.classes} classes or more, but the {role} has {count}"


@dataclass(frozen=True)
class Fitting:
    """How a protocol brings all videos of a trial to one shape."""

    protocol: Protocol
    frames: int
    size: tuple[int, int]
    """Height and width of the content, without borders."""

    @classmethod
    def of(cls, protocol: Protocol, *, frames: int, size: tuple[int, int]) -> "Fitting":
        """Return what videos of this number of frames and this size become."""
        side, count = protocol.side, protocol.frames
        return cls(protocol, frames if count is None else count, size if side is None else (side, side))

    @property
    def keeps_content(self) -> bool:
        """Whether a pixel and a frame mean the same place and time as in the clip, apart from the size."""
        return self.protocol.padding == "cropped" and self.protocol.frames is None

    def __call__(self, clip: Clip, role: VideoRole) -> Clip:
        """Return `clip` as it is judged."""
        return self.protocol.fitted(clip, role, frames=self.frames, size=self.size)
