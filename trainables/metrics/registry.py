"""The registry of metrics: title, unit, goal, range, chance level, fields that change the scale, and function.

A metric of reconstructed video is one entry in this module and one pure function, which the entry names:

    >>> METRICS["noop.value"].goal, METRICS["importance.motion_gradient_voxels"].chance
    ('min', 0.0)
    >>> METRICS["evaluate.ssim"].chance is None  # it depends on the data: see its controls
    True
    >>> metric_named("evaluate.test_ssim").label  # the same metric on test clips
    'SSIM'

A study may optimise only a metric whose scale is the same over the search space. This module imports no heavy library.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from trainables.graph import resolve_reference

if TYPE_CHECKING:
    from trainables.metrics.video import Reading

Goal: TypeAlias = Literal["min", "max"]
Requirement: TypeAlias = Literal["image_classifier", "video_classifier", "vifi", "clip", "object", "legacy_flow"]
"""Requirements of a clip metric other than frames and flow: a network, a known object, or the second flow."""

EVALUATE = "evaluate"
DECODERS = ("semantic", "structure", "motion")
SHUFFLE_TESTED = ("epe", "clip_pcc")
"""Clip metrics that depend on the order of frames. The evaluate stage runs a shuffle test on each."""
_ARROWS: Mapping[Goal, str] = {"max": "↑", "min": "↓"}


@dataclass(frozen=True)
class Metric:
    """A number that a stage reports, named `stage.metric`."""

    name: str
    _: KW_ONLY
    title: str
    """Title in tables and figures, without unit."""
    unit: str = ""
    goal: Goal
    low: float
    high: float
    chance: float | None = None
    """Value for a decoder without information; None if it depends on the data."""
    chance_rule: str = ""
    """Formula of the chance level, if it depends on the data and can be computed."""
    chance_controls: tuple[str, ...] = ()
    """Controls that show the chance level if there is no formula. The stage reports them as `metric_control`."""
    scale_fields: tuple[str, ...] = ()
    """Config fields or sections that change the scale. Values from different settings cannot be compared."""
    version: int = 1
    """Increased when the same input would give another value, together with the version of the reporting stage."""
    source: str
    note: str = ""
    """A sentence that readers of the values need to know."""
    function: str | None = None
    """`package.module:name` of the function that computes it for one clip; None if the stage computes it."""
    takes: Literal["frames", "readings"] = "readings"
    """Arguments of `function`: two clips, uint8 [F,H,W,3], or two `Reading`s."""
    needs: tuple[Requirement, ...] = ()

    @property
    def stage(self) -> str:
        """The stage that reports it."""
        return self.name.partition(".")[0]

    @property
    def short(self) -> str:
        """The name without the stage."""
        return self.name.partition(".")[2]

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def arrow(self) -> str:
        """An arrow that points to better values."""
        return _ARROWS[self.goal]

    @property
    def chance_text(self) -> str:
        """The chance level as a number or a formula; empty if only controls can show it."""
        return f"{self.chance:.3g}" if self.chance is not None else self.chance_rule

    def scale_depends_on(self, field: str) -> bool:
        """Return whether values of this metric cannot be compared across values of the dotted `field`."""
        return any(field == scale or field.startswith(scale + ".") for scale in self.scale_fields)

    def score(self, truth: "Reading", prediction: "Reading", *, threads: int = 1) -> float:
        """Return the value for one clip.

        Raises:
            UndefinedError: The metric is undefined for this clip.
            TypeError: It is not a metric of clips.
        """
        if self.function is None:
            raise TypeError(f"{self.name} is reported by the stage {self.stage}, not computed clip by clip")
        function, of_frames = resolve_reference(self.function), self.takes == "frames"
        pair = (truth.frames, prediction.frames) if of_frames else (truth, prediction)
        return float(function(*pair, threads=threads))


_DATA = ("dataset", "backbones", "features", "voxels.subject")
_SEMANTIC_LOSS = ("semantic.loss", "semantic.alpha", "semantic.lambda_contrast", "semantic.lambda_projection")
_VIDEO = ("dataset", "features.resolution", "voxels.subject", "evaluate", "generator.validation_clips")
"""Settings of the generator are not included: they may be tuned for a metric of video."""
_VIDEO_CONTROLS = ("random_clip", "shuffled_fmri")
_TWO_WAY_CHANCE = 0.75
_TWO_WAY = f"2-way accuracy counts three classes as right, so its chance is {_TWO_WAY_CHANCE:.3g}, not 0.5."
_AS_RELEASED = "released code, kept to compare with published numbers"
_KNOWN_OBJECT = "ours; the object is known"


def _of_clips(metric: Metric) -> Metric:
    """Return an entry of `_ENTRIES` with its full name and the fields that all metrics of video share."""
    if metric.function is None:
        raise ValueError(f"{metric.name}: a metric of clips must name the function that computes it")
    controls = _VIDEO_CONTROLS if metric.chance is None else ()
    return replace(metric, name=f"{EVALUATE}.{metric.name}", chance_controls=controls, scale_fields=_VIDEO)


_ENTRIES = (
    Metric(
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
    Metric(
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
    Metric(
        "vifi",
        title="VIFI-score",
        goal="max",
        low=-1.0,
        high=1.0,
        source="mind-animator.md C.1",
        function="trainables.metrics.video:vifi_score",
        needs=("vifi",),
    ),
    Metric(
        "ssim",
        title="SSIM",
        goal="max",
        low=-1.0,
        high=1.0,
        source="scikit-image's definition",
        function="trainables.metrics.pixels:ssim",
        takes="frames",
    ),
    Metric(
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
    Metric(
        "hue_cos_legacy",
        title="hue cosine, R/B swapped",
        goal="max",
        low=0.0,
        high=1.0,
        source=_AS_RELEASED,
        function="trainables.metrics.pixels:hue_cos_legacy",
        takes="frames",
    ),
    Metric(
        "hue_cos",
        title="hue cosine",
        goal="max",
        low=0.0,
        high=1.0,
        source="the paper's formula on RGB",
        function="trainables.metrics.pixels:hue_cos",
        takes="frames",
    ),
    Metric(
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
    Metric(
        "hue_circular",
        title="hue circular",
        goal="max",
        low=-1.0,
        high=1.0,
        source="ours",
        function="trainables.metrics.pixels:hue_circular",
        takes="frames",
    ),
    Metric(
        "clip_pcc",
        title="CLIP-pcc",
        goal="max",
        low=-1.0,
        high=1.0,
        source="mind-animator.md C.1, gate VIFI > 0.6",
        function="trainables.metrics.video:gated_clip_pcc",
        needs=("vifi", "clip"),
    ),
    Metric(
        "epe",
        title="EPE",
        unit="px",
        goal="min",
        low=0.0,
        high=math.inf,
        source="Farneback flow of RGB frames",
        function="trainables.metrics.video:epe",
    ),
    Metric(
        "epe_legacy",
        title="EPE, grey by BGR",
        unit="px",
        goal="min",
        low=0.0,
        high=math.inf,
        source=_AS_RELEASED,
        function="trainables.metrics.video:epe_legacy",
        needs=("legacy_flow",),
    ),
    Metric(
        "object_ssim",
        title="object SSIM",
        goal="max",
        low=-1.0,
        high=1.0,
        source=_KNOWN_OBJECT,
        function="trainables.metrics.video:object_ssim",
        needs=("object",),
    ),
    Metric(
        "object_epe",
        title="object EPE",
        unit="px",
        goal="min",
        low=0.0,
        high=math.inf,
        source=_KNOWN_OBJECT,
        function="trainables.metrics.video:object_epe",
        needs=("object",),
    ),
    Metric(
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
    Metric(
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
CLIP_METRICS: Mapping[str, Metric] = {metric.short: metric for metric in map(_of_clips, _ENTRIES)}
"""Short name to metric of a true and a reconstructed clip, in the order of tables."""


def _title(name: str) -> str:
    """Return the title `stage: metric` in words."""
    return name.replace(".", ": ").replace("_", " ")


def _retrieval(k: int, gallery: str, *, size: Literal["", "large_"] = "") -> Metric:
    name = f"semantic.retrieval_{gallery}_{size}top{k}"
    clips = "held-out and training clips" if size == "large_" else "held-out clips"
    return Metric(
        name,
        title=_title(name),
        goal="max",
        low=0.0,
        high=1.0,
        chance_rule=f"{k} / clips in the gallery",
        scale_fields=_DATA,
        source=f"paper Tables 5 and 17; mind-animator.md C.2; gallery of {clips}, ties by average rank",
    )


def _importance(decoder: str, method: str, unit: str) -> Metric:
    name = f"importance.{decoder}_{method}_{unit}"
    return Metric(
        name,
        title=_title(name),
        goal="max",
        low=-1.0,
        high=1.0,
        chance=0.0,
        scale_fields=("dataset", "voxels.subject", "importance"),
        source=f"mind-animator.md C.4; Spearman with the planted map, over {unit}",
    )


def _error(name: str, *, controls: tuple[str, ...] = (), scale_fields: tuple[str, ...], source: str) -> Metric:
    return Metric(
        name,
        title=_title(name),
        goal="min",
        low=0.0,
        high=math.inf,
        chance_controls=controls,
        scale_fields=scale_fields,
        source=source,
    )


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


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *(_retrieval(k, gallery) for gallery in ("image", "text") for k in (1, 5, 10)),
        *(_retrieval(k, gallery, size="large_") for gallery in ("image", "text") for k in (10, 100)),
        _error("semantic.projection_mse", controls=("mean",), scale_fields=_DATA, source="eq. 4"),
        _error("semantic.align_mse", scale_fields=_DATA, source="eq. 3"),
        _error("semantic.validation_loss", scale_fields=(*_DATA, *_SEMANTIC_LOSS), source="eq. 5, validation"),
        _error("semantic.loss", scale_fields=(*_DATA, *_SEMANTIC_LOSS), source="eq. 5"),
        _error("structure.latent_mse", controls=("mean",), scale_fields=_DATA, source="eq. 6"),
        _error("structure.loss", scale_fields=(*_DATA, "structure.dropout"), source="eq. 6 while training"),
        _error(
            "motion.rollout_mse",
            controls=("mean",),
            scale_fields=_DATA,
            source="eq. 9, greedy from the decoded first frame",
        ),
        _error(
            "motion.teacher_forced_mse",
            scale_fields=(*_DATA, "motion.kind", "motion.mask_means", "motion.inference_mask"),
            source="eq. 9, true past frames given, nothing hidden",
        ),
        _error(
            "motion.loss",
            scale_fields=(
                *_DATA,
                "motion.kind",
                "motion.mask_ratio",
                "motion.mask_means",
                "motion.mask_refresh",
                "motion.dropout",
            ),
            source="eq. 9 while training, past entries hidden",
        ),
        *(
            _importance(decoder, method, unit)
            for decoder in DECODERS
            for method in ("weight_product", "gradient", "permutation")
            for unit in ("voxels", "regions")
        ),
        *(metric for metric in CLIP_METRICS.values() if "legacy_flow" not in metric.needs),
        *(_shuffle_test(CLIP_METRICS[short]) for short in SHUFFLE_TESTED),
        Metric(
            "noop.value",
            title=_title("noop.value"),
            goal="min",
            low=-math.inf,
            high=math.inf,
            source="the platform's own tests and benchmarks",
        ),
    )
}
"""Full name to metric that the stages report. `metric_named` also gives metrics on test clips.

Metrics that need the second flow are not included, because the evaluate stage does not compute it.
"""


def notes(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the notes of `metrics`, without duplicates."""
    return tuple(dict.fromkeys(metric.note for metric in metrics if metric.note))


def comparable(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics whose scale does not depend on any of the swept `fields`."""
    swept = tuple(fields)
    return tuple(name for name, metric in METRICS.items() if not any(map(metric.scale_depends_on, swept)))


def metric_named(name: str) -> Metric | None:
    """Return the metric, also for a name on test clips (`evaluate.test_ssim`); None if there is none."""
    if name in METRICS:
        return METRICS[name]
    stage, _, short = name.partition(".")
    validation = METRICS.get(f"{stage}.{short.removeprefix('test_')}")
    return replace(validation, name=name) if validation is not None and is_held_out(validation.name) else None


def is_held_out(name: str) -> bool:
    """Return whether the metric `name` of `METRICS` is computed on validation clips and on test clips."""
    stage, _, short = name.partition(".")
    return stage == EVALUATE or (stage in DECODERS and short != "loss")


def known_metrics() -> tuple[str, ...]:
    """Return the names for `metric_named` that an ablation can use."""
    tested = [name.replace(".", ".test_") for name in METRICS if is_held_out(name)]
    return (*tested, *(name for name in METRICS if not name.startswith(f"{EVALUATE}.")))
