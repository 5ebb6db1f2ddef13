"""The metrics of the stages of `mindvideo_like`. Loads no heavy library."""

from trainables.metrics.metric import Metric, error_metric, retrieval_metric

_VOLUMES = ("dataset", "voxels", "premask.patch", "premask.mask", "premask.extra_bold")
_CLIPS = ("dataset", "backbones", "features", "voxels.subject")
_TOKENS_LOSS = ("tokens.lambda_image", "tokens.lambda_text", "tokens.lambda_condition")


def _retrieval(k: int, gallery: str) -> Metric:
    source = "as paper Table 5; gallery of held-out clips, ties by average rank"
    return retrieval_metric(f"tokens.retrieval_{gallery}_top{k}", k, scale_fields=_CLIPS, source=source)


MINDVIDEO_METRICS = (
    error_metric(
        "premask.masked_mse",
        controls=("mean",),
        scale_fields=_VOLUMES,
        source="hidden patches of held-out volumes; control: the voxel's mean over training volumes",
    ),
    error_metric("premask.loss", scale_fields=_VOLUMES, source="hidden patches of training volumes, while training"),
    *(_retrieval(k, gallery) for gallery in ("image", "text") for k in (1, 5, 10)),
    error_metric(
        "tokens.condition_mse", controls=("mean",), scale_fields=_CLIPS, source="tokens against the text condition"
    ),
    error_metric(
        "tokens.validation_loss", scale_fields=(*_CLIPS, *_TOKENS_LOSS), source="contrasts and condition, validation"
    ),
    error_metric(
        "tokens.loss",
        scale_fields=(*_CLIPS, *_TOKENS_LOSS, "tokens.train.batch_size", "tokens.dropout", "tokens.augment"),
        source="contrasts and condition, while training",
    ),
    error_metric(
        "cotrain.noise_mse",
        controls=("before",),
        scale_fields=(*_CLIPS, "cotrain.noise_share", "cotrain.validation_clips"),
        source="predicted noise, under decoded tokens, at times spread over the diffusion; control: before co-training",
    ),
    error_metric(
        "cotrain.loss", scale_fields=(*_CLIPS, "cotrain.noise_share"), source="predicted noise, while training"
    ),
)
"""What the stages report on validation clips, and with the prefix `test_` on test clips."""
