"""The metrics of the decoder stages, of importance and of encoding accuracy. This module imports no heavy library."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from trainables.metrics.metric import Metric, error_metric, retrieval_metric, title_in_words
from trainables.stage_table import STAGES

DECODERS = tuple(name for name in STAGES["importance"].inputs if STAGES[name].is_decoder)
"""The decoders whose importance of voxels is computed."""
ENCODED_FROM = ("caption", "first_frame", "motion")
"""The features from which responses are predicted."""
_DATA = ("dataset", "backbones", "features", "voxels.subject")
_TRAINED_ON = ("voxels.own_clips", "voxels.subjects")
"""They decide which training clips are in a gallery."""
_SEMANTIC_LOSS = ("semantic.loss", "semantic.alpha", "semantic.lambda_contrast", "semantic.lambda_projection")
_SEMANTIC_TRAINING = (
    "semantic.train.batch_size",  # chance level of the contrastive loss: the logarithm of its rows
    "semantic.dropout",
    "semantic.dropout_input",
    "semantic.image_augmentation",
    "semantic.text_augmentation",
    "semantic.sparsify",
)


def _retrieval(k: int, gallery: str, *, size: Literal["", "large_"] = "") -> Metric:
    name = f"semantic.retrieval_{gallery}_{size}top{k}"
    clips = "held-out and training clips" if size == "large_" else "held-out clips"
    return retrieval_metric(
        name,
        k,
        scale_fields=(*_DATA, "semantic.retrieval_ties", *(_TRAINED_ON if size == "large_" else ())),
        source=f"paper Tables 5 and 17; mind-animator.md C.2; gallery of {clips}, ties by average rank",
    )


def _importance(decoder: str, method: str, unit: str) -> Metric:
    name = f"importance.{decoder}_{method}_{unit}"
    return Metric(
        name,
        title=title_in_words(name),
        goal="max",
        low=-1.0,
        high=1.0,
        chance=0.0,
        scale_fields=("dataset", "voxels.subject", "importance"),
        needs_known_answer=True,
        source=f"mind-animator.md C.4; Spearman with the planted map, over {unit}",
    )


def _encoding(features: str) -> tuple[Metric, Metric]:
    name = f"encoding_accuracy.{features}"
    r = Metric(
        f"{name}_r",
        title=f"encoding: mean correlation over voxels, from {features.replace('_', ' ')}",
        goal="max",
        low=-1.0,
        high=1.0,
        chance=0.0,
        scale_fields=("dataset", "backbones", "features", "voxels"),
        source="ridge regression to each voxel; Pearson's correlation over held-out clips",
    )
    planted = replace(
        r,
        name=f"{name}_planted",
        title=f"encoding: agreement of the map from {features.replace('_', ' ')} with the planted one",
        scale_fields=("dataset", "voxels.subject"),
        needs_known_answer=True,
        source="Spearman's rank correlation with the planted share, over voxels",
    )
    return r, planted


def _shuffled_ratio(decoder: str) -> Metric:
    name = f"importance.{decoder}_shuffled_ratio"
    return Metric(
        name,
        title=f"importance: error of the {decoder} decoder with shuffled fMRI / error",
        goal="max",
        low=0.0,
        high=math.inf,
        chance=1.0,
        scale_fields=("dataset", "backbones", "features", "voxels.subject", "importance"),
        source="permutation of all voxels together over clips",
    )


_ENTRIES = (
    *(_retrieval(k, gallery) for gallery in ("image", "text") for k in (1, 5, 10)),
    *(_retrieval(k, gallery, size="large_") for gallery in ("image", "text") for k in (10, 100)),
    error_metric("semantic.projection_mse", controls=("mean",), scale_fields=_DATA, source="eq. 4"),
    error_metric("semantic.align_mse", scale_fields=_DATA, source="eq. 3"),
    error_metric("semantic.validation_loss", scale_fields=(*_DATA, *_SEMANTIC_LOSS), source="eq. 5, validation"),
    error_metric("semantic.loss", scale_fields=(*_DATA, *_SEMANTIC_LOSS, *_SEMANTIC_TRAINING), source="eq. 5"),
    error_metric("structure.latent_mse", controls=("mean",), scale_fields=_DATA, source="eq. 6"),
    error_metric(
        "structure.loss",
        scale_fields=(*_DATA, "structure.dropout", "structure.sparsify"),
        source="eq. 6 while training",
    ),
    error_metric(
        "motion.rollout_mse",
        controls=("mean",),
        of_motion=True,
        scale_fields=_DATA,
        source="eq. 9, greedy from the decoded first frame",
    ),
    error_metric(
        "motion.teacher_forced_mse",
        scale_fields=(*_DATA, "motion.kind", "motion.mask_means", "motion.inference_mask"),
        source="eq. 9, true past frames given, nothing hidden",
    ),
    error_metric(
        "motion.true_first_mse",
        of_motion=True,
        scale_fields=_DATA,
        only_with=("motion.monitor", "true_first_mse"),
        source="eq. 9, greedy from the true first frame",
    ),
    error_metric(
        "motion.loss",
        scale_fields=(
            *_DATA,
            "motion.kind",
            "motion.mask_ratio",
            "motion.mask_means",
            "motion.mask_refresh",
            "motion.dropout",
            "motion.attention_dropout",
            "motion.encoder_dropout",
            "motion.sparsify",
        ),
        source="eq. 9 while training, past entries hidden",
    ),
)
DECODER_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ENTRIES}
"""Full name to metric of our decoders' stages."""
IMPORTANCE_METRICS = (
    *(_shuffled_ratio(decoder) for decoder in DECODERS),
    *(
        _importance(decoder, method, unit)
        for decoder in DECODERS
        for method in ("weight_product", "gradient", "permutation")
        for unit in ("voxels", "regions")
    ),
)
"""Metrics of the importance stage."""
ENCODING_METRICS = tuple(metric for features in ENCODED_FROM for metric in _encoding(features))
"""Metrics of the encoding_accuracy stage."""
