"""The metrics of a true and a reconstructed clip: one entry each, and one pure function, which the entry names.

    >>> CLIP_METRICS["psnr"].label, CLIP_METRICS["two_way_i"].chance
    ('PSNR (dB)', 0.75)
    >>> CLIP_METRICS["ssim"].chance is None  # it depends on the data: see its controls
    True

This module imports no heavy library.
"""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from trainables.graph import resolve_reference
from trainables.metrics.metric import Metric
from trainables.tables import Table

if TYPE_CHECKING:
    from trainables.metrics.video import Reading

Requirement: TypeAlias = Literal[
    "image_classifier",
    "video_classifier",
    "vifi",
    "clip",
    "object",
    "legacy_flow",
    "fifty_way",
    "clip_pairs",
    "motion_energy",
]
"""Requirements of a clip metric other than frames and flow: a network, a known object, the second flow, or a protocol
that has the metric."""
OF_PROTOCOLS: tuple[Requirement, ...] = ("fifty_way", "clip_pairs", "motion_energy")
"""Requirements of metrics that are computed where the protocol has them, and 50-way where the classifiers allow it."""

ENERGY_FRAMES = 5
"""Frames that motion energy needs: its fastest filters have two cycles per clip."""

EVALUATE = "evaluate"
"""The stage that reports these metrics."""
CONTROL_SCORES = "control_scores"
"""The stage that computes them for controls that no decoder changes."""
SHUFFLE_TESTED = ("epe", "clip_pcc")
"""Clip metrics that depend on the order of frames. The evaluate stage runs a shuffle test on each."""


@dataclass(frozen=True)
class ClipMetric(Metric):
    """A metric that is computed clip by clip."""

    _: KW_ONLY
    function: str
    """`package.module:name` of the function that computes it for one clip."""
    takes: Literal["frames", "readings", "pair"] = "readings"
    """Arguments of `function`: two clips, uint8 [F,H,W,3], or two `Reading`s, and the number of threads. `pair`: two
    clips alone."""
    needs: tuple[Requirement, ...] = ()
    options: Mapping[str, int] = field(default_factory=dict)
    """Further arguments of `function`, by which a config or a protocol defines the metric otherwise."""

    @property
    def of_time(self) -> bool:
        """Whether it looks at several frames together, so that it says nothing of a system with one frame per clip."""
        return self.of_motion or bool({"video_classifier", "vifi", "clip"} & {*self.needs})

    def score(self, truth: "Reading", prediction: "Reading", *, threads: int = 1) -> float:
        """Return the value for one clip.

        Raises:
            UndefinedError: The metric is undefined for this clip.
        """
        function = resolve_reference(self.function)
        if self.takes == "pair":
            return finite_value(function(truth.frames, prediction.frames), self.name)
        of_frames = self.takes == "frames"
        pair = (truth.frames, prediction.frames) if of_frames else (truth, prediction)
        return float(function(*pair, threads=threads, **self.options))


_EVALUATE = ("protocol", "image_classifier", "video_classifier", "vifi", "clip", "resolution", "shuffles", "seed")
"""Fields of `evaluate` that concern all metrics. Draws of n-way trials change no expectation."""
_VIDEO = (
    "dataset",
    "features.resolution",
    "voxels.subject",
    *(f"evaluate.{name}" for name in _EVALUATE),
    "generator.validation_clips",
)
"""Settings of the generator are not included: they may be tuned for a metric of video."""
HUE_METRICS = ("hue_cos_legacy", "hue_cos", "hue_pcc", "hue_circular")
_OWN_FIELDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(HUE_METRICS, ("evaluate.hue_frames",)),
    "clip_pcc": ("evaluate.clip_pcc_gate",),
}
_VIDEO_CONTROLS = ("random_clip", "shuffled_fmri")
_TWO_WAY_CHANCE = 0.75
_FIFTY_WAY_CHANCE = 3 / 52
_TWO_WAY = f"2-way accuracy counts three classes as right, so its chance is {_TWO_WAY_CHANCE:.3g}, not 0.5."
_AS_RELEASED = "released code, kept to compare with published numbers"
_KNOWN_OBJECT = "ours; the object is known"


def finite_value(value: object, name: str) -> float:
    """Return the value that a plug-in's metric returned. Raises `ValueError` if it is no finite number."""
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(f"{name} returned {value!r}; it must return a finite number, or raise UndefinedError")
    return number


def full_clip_metric(metric: ClipMetric) -> ClipMetric:
    """Return an entry of `_ENTRIES` with its full name and the fields that all metrics of video share."""
    controls = _VIDEO_CONTROLS if metric.chance is None else ()
    full = f"{EVALUATE}.{metric.name}"
    known = "object" in metric.needs
    fields = (*_VIDEO, *_OWN_FIELDS.get(metric.name, ()))
    return replace(metric, name=full, chance_controls=controls, scale_fields=fields, needs_known_answer=known)


_ENTRIES = (
    ClipMetric(
        "two_way_i",
        title="2-way-I",
        goal="max",
        low=0.0,
        high=1.0,
        chance=_TWO_WAY_CHANCE,
        source="mind-animator.md A.9, exact",
        note=_TWO_WAY,
        function="trainables.metrics.video:two_way_i",
        needs=("image_classifier",),
    ),
    ClipMetric(
        "two_way_v",
        title="2-way-V",
        goal="max",
        low=0.0,
        high=1.0,
        chance=_TWO_WAY_CHANCE,
        source="mind-animator.md A.9, exact",
        note=_TWO_WAY,
        function="trainables.metrics.video:two_way_v",
        needs=("video_classifier",),
    ),
    ClipMetric(
        "fifty_way_i",
        title="50-way-I",
        goal="max",
        low=0.0,
        high=1.0,
        chance=_FIFTY_WAY_CHANCE,
        source="mind-animator.md A.9, exact, for 50 classes",
        function="trainables.metrics.video:fifty_way_i",
        needs=("image_classifier", "fifty_way"),
    ),
    ClipMetric(
        "fifty_way_v",
        title="50-way-V",
        goal="max",
        low=0.0,
        high=1.0,
        chance=_FIFTY_WAY_CHANCE,
        source="mind-animator.md A.9, exact, for 50 classes",
        function="trainables.metrics.video:fifty_way_v",
        needs=("video_classifier", "fifty_way"),
    ),
    ClipMetric(
        "vifi",
        title="VIFI-score",
        goal="max",
        low=-1.0,
        high=1.0,
        source="mind-animator.md C.1",
        function="trainables.metrics.video:vifi_score",
        needs=("vifi",),
    ),
    ClipMetric(
        "ssim",
        title="SSIM",
        goal="max",
        low=-1.0,
        high=1.0,
        source="scikit-image's definition",
        function="trainables.metrics.pixels:ssim",
        takes="frames",
    ),
    ClipMetric(
        "psnr",
        title="PSNR",
        unit="dB",
        goal="max",
        low=0.0,
        high=100.0,
        source="capped at 100 dB for equal frames",
        function="trainables.metrics.pixels:psnr",
        takes="frames",
    ),
    ClipMetric(
        "hue_cos_legacy",
        title="hue cosine, R/B swapped",
        goal="max",
        low=0.0,
        high=1.0,
        source=_AS_RELEASED,
        function="trainables.metrics.pixels:hue_cos_legacy",
        takes="frames",
    ),
    ClipMetric(
        "hue_cos",
        title="hue cosine",
        goal="max",
        low=0.0,
        high=1.0,
        source="the paper's formula on RGB",
        function="trainables.metrics.pixels:hue_cos",
        takes="frames",
    ),
    ClipMetric(
        "hue_pcc",
        title="hue Pearson",
        goal="max",
        low=-1.0,
        high=1.0,
        chance=0.0,
        source="what the paper's name says",
        function="trainables.metrics.pixels:hue_pcc",
        takes="frames",
    ),
    ClipMetric(
        "hue_circular",
        title="hue circular",
        goal="max",
        low=-1.0,
        high=1.0,
        source="ours",
        function="trainables.metrics.pixels:hue_circular",
        takes="frames",
    ),
    ClipMetric(
        "clip_pcc",
        title="CLIP-pcc",
        goal="max",
        low=-1.0,
        high=1.0,
        source="mind-animator.md C.1, gate VIFI > 0.6",
        function="trainables.metrics.video:gated_clip_pcc",
        needs=("vifi", "clip"),
    ),
    ClipMetric(
        "clip_pairs",
        title="CLIP-pcc, all pairs",
        goal="max",
        low=-1.0,
        high=1.0,
        source="NEURONS' released metrics: all pairs of frames, no gate",
        function="trainables.metrics.video:clip_pairs",
        needs=("clip", "clip_pairs"),
    ),
    ClipMetric(
        "epe",
        title="EPE",
        unit="px",
        goal="min",
        of_motion=True,
        low=0.0,
        high=math.inf,
        source="Farneback flow of RGB frames",
        function="trainables.metrics.video:epe",
    ),
    ClipMetric(
        "epe_legacy",
        title="EPE, grey by BGR",
        unit="px",
        goal="min",
        of_motion=True,
        low=0.0,
        high=math.inf,
        source=_AS_RELEASED,
        function="trainables.metrics.video:epe_legacy",
        needs=("legacy_flow",),
    ),
    ClipMetric(
        "motion_energy",
        title="motion energy r",
        goal="max",
        of_motion=True,
        low=-1.0,
        high=1.0,
        source="pymoten's filters; correlation over filters, as in Nishimoto et al. 2011",
        note="Mostly says where there is structure: a still video and another clip score high. See motion direction r.",
        function="trainables.metrics.video:motion_energy",
        needs=("motion_energy",),
    ),
    ClipMetric(
        "opponent_energy",
        title="motion direction r",
        goal="max",
        of_motion=True,
        low=-1.0,
        high=1.0,
        chance=0.0,
        source="ours: energy of each direction less that of the opposite one (Adelson & Bergen 1985)",
        function="trainables.metrics.video:opponent_energy",
        needs=("motion_energy",),
    ),
    ClipMetric(
        "object_ssim",
        title="object SSIM",
        goal="max",
        low=-1.0,
        high=1.0,
        source=_KNOWN_OBJECT,
        function="trainables.metrics.video:object_ssim",
        needs=("object",),
    ),
    ClipMetric(
        "object_epe",
        title="object EPE",
        unit="px",
        goal="min",
        of_motion=True,
        low=0.0,
        high=math.inf,
        source=_KNOWN_OBJECT,
        function="trainables.metrics.video:object_epe",
        needs=("object",),
    ),
    ClipMetric(
        "shape_accuracy",
        title="shape accuracy",
        goal="max",
        low=0.0,
        high=1.0,
        chance=1 / 4,
        source=_KNOWN_OBJECT,
        function="trainables.metrics.video:shape_accuracy",
        needs=("object", "image_classifier"),
    ),
    ClipMetric(
        "colour_accuracy",
        title="colour accuracy",
        goal="max",
        low=0.0,
        high=1.0,
        chance=1 / 8,
        source=_KNOWN_OBJECT,
        function="trainables.metrics.video:colour_accuracy",
        needs=("object", "image_classifier"),
    ),
)
CLIP_METRICS: Mapping[str, ClipMetric] = Table(
    "clip_metrics", {metric.short: metric for metric in map(full_clip_metric, _ENTRIES)}
)
"""Short name to metric, in the order of tables."""


def reported_metrics() -> tuple[Metric, ...]:
    """Return the metrics that the evaluate stage reports. It also tests the order of frames."""
    clipwise = [metric for metric in CLIP_METRICS.values() if "legacy_flow" not in metric.needs]
    return (*clipwise, *(_shuffle_test(CLIP_METRICS[short]) for short in SHUFFLE_TESTED))


def _shuffle_test(of: Metric) -> Metric:
    return Metric(
        f"{EVALUATE}.shuffle_p_{of.short}",
        title=f"P of shuffled order by {of.title}",
        goal="min",
        low=0.0,
        high=1.0,
        chance=0.5,
        scale_fields=of.scale_fields,
        source="paper Fig. 6; share of shuffled orders that beat the true one, mean over repeats",
    )
