"""The metrics of the stages of `mindvideo_like`. Loads no heavy library."""

import math

from trainables.metrics.metric import Metric, title_in_words

_VOLUMES = ("dataset", "voxels", "premask.patch", "premask.mask", "premask.extra_bold")
_CLIPS = ("dataset", "backbones", "features", "voxels.subject")
_TOKENS_LOSS = ("tokens.lambda_image", "tokens.lambda_text", "tokens.lambda_condition")


def _error(name: str, *, controls: tuple[str, ...] = (), scale: tuple[str, ...], source: str) -> Metric:
    return Metric(
        name,
        title=title_in_words(name),
        goal="min",
        low=0.0,
        high=math.inf,
        chance_controls=controls,
        scale_fields=scale,
        source=source,
    )


def _retrieval(k: int, gallery: str) -> Metric:
    name = f"tokens.retrieval_{gallery}_top{k}"
    return Metric(
        name,
        title=title_in_words(name),
        goal="max",
        low=0.0,
        high=1.0,
        chance_rule=f"{k} / clips in the gallery",
        scale_fields=_CLIPS,
        source="as paper Table 5; gallery of held-out clips, ties by average rank",
    )


MINDVIDEO_METRICS = (
    _error(
        "premask.masked_mse",
        controls=("mean",),
        scale=_VOLUMES,
        source="hidden patches of held-out volumes; control: the voxel's mean over training volumes",
    ),
    _error("premask.loss", scale=_VOLUMES, source="hidden patches of training volumes, while training"),
    *(_retrieval(k, gallery) for gallery in ("image", "text") for k in (1, 5, 10)),
    _error("tokens.condition_mse", controls=("mean",), scale=_CLIPS, source="tokens against the text condition"),
    _error("tokens.validation_loss", scale=(*_CLIPS, *_TOKENS_LOSS), source="contrasts and condition, validation"),
    _error(
        "tokens.loss",
        scale=(*_CLIPS, *_TOKENS_LOSS, "tokens.train.batch_size", "tokens.dropout", "tokens.augment"),
        source="contrasts and condition, while training",
    ),
    _error(
        "cotrain.noise_mse",
        controls=("before",),
        scale=(*_CLIPS, "cotrain.noise_share", "cotrain.validation_clips"),
        source="predicted noise, under decoded tokens, at times spread over the diffusion; control: before co-training",
    ),
    _error("cotrain.loss", scale=(*_CLIPS, "cotrain.noise_share"), source="predicted noise, while training"),
)
"""What the stages report on validation clips, and with the prefix `test_` on test clips."""
