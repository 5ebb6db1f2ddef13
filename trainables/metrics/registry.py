"""Every metric: its goal, range, chance level, and the config fields on which its scale depends.

A study may only optimise a metric whose scale stays the same over its search space. Importing this loads nothing heavy.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One number that a stage reports, named `stage.metric`."""

    name: str
    goal: Literal["min", "max"]
    low: float
    high: float
    chance: str
    """Its value for a decoder that knows nothing, in words where it depends on the data."""
    scale_fields: tuple[str, ...]
    """Config fields, or whole sections, that change its scale: values across them cannot be compared."""
    source: str

    @property
    def stage(self) -> str:
        """The stage that reports it."""
        return self.name.partition(".")[0]

    def scale_depends_on(self, field: str) -> bool:
        """Tell whether sweeping the dotted `field` makes values of this metric incomparable."""
        return any(field == scale or field.startswith(scale + ".") for scale in self.scale_fields)


_DATA = ("dataset", "backbones", "features", "voxels.subject")
_SEMANTIC_LOSS = ("semantic.loss", "semantic.alpha", "semantic.lambda_contrast", "semantic.lambda_projection")
_VIDEO = ("dataset", "features.resolution", "voxels.subject", "evaluate", "generator.validation_clips")
"""How videos are made is no scale: it may be tuned for a metric of video."""
_CHANCE_VIDEO = "see random_clip and shuffled_fmri beside it"
_CHANCE_MSE = "see the mean-latent control beside it"


def _retrieval(k: int, gallery: str, *, size: Literal["", "large_"] = "") -> Metric:
    name = f"semantic.retrieval_{gallery}_{size}top{k}"
    clips = "held-out and training clips" if size == "large_" else "held-out clips"
    source = f"paper Tables 5 and 17; mind-animator.md C.2; gallery of {clips}, ties by average rank"
    return Metric(name, "max", 0.0, 1.0, f"{k} / clips in the gallery", _DATA, source)


def _video(name: str, goal: Literal["min", "max"], low: float, high: float, *, chance: str = _CHANCE_VIDEO) -> Metric:
    source = "mind-animator.md C.1; validation clips, mean over clips"
    return Metric(f"evaluate.{name}", goal, low, high, chance, _VIDEO, source)


def _importance(decoder: str, method: str, unit: str) -> Metric:
    name = f"importance.{decoder}_{method}_{unit}"
    fields = ("dataset", "voxels.subject", "importance")
    source = f"mind-animator.md C.4; Spearman with the planted map, over {unit}"
    return Metric(name, "max", -1.0, 1.0, "0", fields, source)


def _error(name: str, *, chance: str = "none", scale_fields: tuple[str, ...], source: str) -> Metric:
    return Metric(name, "min", 0.0, math.inf, chance, scale_fields, source)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *(_retrieval(k, gallery) for gallery in ("image", "text") for k in (1, 5, 10)),
        *(_retrieval(k, gallery, size="large_") for gallery in ("image", "text") for k in (10, 100)),
        _error(
            "semantic.projection_mse", chance="see projection_mse_mean beside it", scale_fields=_DATA, source="eq. 4"
        ),
        _error("semantic.align_mse", scale_fields=_DATA, source="eq. 3"),
        _error("semantic.validation_loss", scale_fields=(*_DATA, *_SEMANTIC_LOSS), source="eq. 5, validation"),
        _error("semantic.loss", scale_fields=(*_DATA, *_SEMANTIC_LOSS), source="eq. 5"),
        _error("structure.latent_mse", chance=_CHANCE_MSE, scale_fields=_DATA, source="eq. 6"),
        _error("structure.loss", scale_fields=(*_DATA, "structure.dropout"), source="eq. 6 while training"),
        _error(
            "motion.rollout_mse",
            chance=_CHANCE_MSE,
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
            for decoder in ("semantic", "structure", "motion")
            for method in ("weight_product", "gradient", "permutation")
            for unit in ("voxels", "regions")
        ),
        _video("two_way_i", "max", 0.0, 1.0, chance="0.75: three classes are right"),
        _video("two_way_v", "max", 0.0, 1.0, chance="0.75: three classes are right"),
        _video("vifi", "max", -1.0, 1.0),
        _video("ssim", "max", -1.0, 1.0),
        _video("psnr", "max", 0.0, 100.0),
        _video("hue_cos_legacy", "max", 0.0, 1.0),
        _video("hue_cos", "max", 0.0, 1.0),
        _video("hue_pcc", "max", -1.0, 1.0, chance="0"),
        _video("hue_circular", "max", -1.0, 1.0),
        _video("clip_pcc", "max", -1.0, 1.0),
        _video("epe", "min", 0.0, math.inf),
        _video("object_ssim", "max", -1.0, 1.0),
        _video("object_epe", "min", 0.0, math.inf),
        _video("shape_accuracy", "max", 0.0, 1.0, chance="0.25 on the phantom"),
        _video("colour_accuracy", "max", 0.0, 1.0, chance="0.125 on the phantom"),
        _video("shuffle_p_epe", "min", 0.0, 1.0, chance="0.5"),
        _video("shuffle_p_clip_pcc", "min", 0.0, 1.0, chance="0.5"),
        Metric("noop.value", "min", -math.inf, math.inf, "none", (), "the platform's own tests and benchmarks"),
    )
}


def comparable(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics whose scale does not depend on any of the swept `fields`."""
    swept = tuple(fields)
    return tuple(name for name, metric in METRICS.items() if not any(map(metric.scale_depends_on, swept)))
