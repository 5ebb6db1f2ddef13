"""The metrics of systems that are trained on pixels. Loads no heavy library."""

import math

from trainables.metrics.metric import Metric

_PIXELS = ("dataset", "voxels.subject")
_GAN_LOSS = (*_PIXELS, "gan.l1", "gan.image", "gan.video", "gan.condition_discriminators")

PIXEL_SYSTEM_METRICS: tuple[Metric, ...] = (
    Metric(
        "gan.l1",
        title="gan: mean absolute error of pixels",
        goal="min",
        low=0.0,
        high=1.0,
        chance_controls=("mean",),
        scale_fields=(*_PIXELS, "gan.resolution"),
        source="pixels in [0, 1], the noise of the generator is 0; `mean`: the mean training clip",
    ),
    Metric(
        "gan.diversity",
        title="gan: diversity of the videos",
        goal="max",
        low=0.0,
        high=2.0,
        chance=0.0,
        scale_fields=(*_PIXELS, "gan.resolution"),
        source="1 - mean SSIM of pairs of different videos; `diversity_truth`: of the true clips",
        note="Diversity is 0 if all videos are the same. It says nothing of whether a video fits its clip.",
    ),
    Metric(
        "gan.loss",
        title="gan: loss of the generator",
        goal="min",
        low=0.0,
        high=math.inf,
        scale_fields=_GAN_LOSS,
        source="weighted pixel error and scores of the discriminators, while training",
    ),
    Metric(
        "gan.loss_discriminators",
        title="gan: loss of the discriminators",
        goal="min",
        low=0.0,
        high=math.inf,
        scale_fields=_GAN_LOSS,
        source="softplus of wrong scores, while training; 2 log 2 for each discriminator that tells nothing apart",
    ),
)
