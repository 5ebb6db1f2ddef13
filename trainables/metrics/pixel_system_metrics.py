"""The metrics of systems that are trained on pixels. Loads no heavy library."""

import math

from trainables.metrics.metric import Metric

_PIXELS = ("dataset", "voxels.subject")
_GAN_LOSS = (*_PIXELS, "gan.l1", "gan.image", "gan.video", "gan.condition_discriminators")

_SEE_LOSS = (*_PIXELS, "see.cosine", "see.dropout")
_UNSEE_LOSS = (*_PIXELS, "layers.source", "see.resolution", "unsee")


def _l1(stage: str, side: str) -> Metric:
    return _pixel_error(f"{stage}.l1", f"{stage}: mean absolute error of pixels", (*_PIXELS, side), mean="clip")


def _squared(stage: str, what: str, fields: tuple[str, ...]) -> Metric:
    title = f"{stage}: mean squared error of pixels of frames that return from their {what}"
    return _pixel_error(f"{stage}.mse", title, fields, mean="frame")


def _pixel_error(name: str, title: str, fields: tuple[str, ...], *, mean: str) -> Metric:
    return Metric(
        name,
        title=title,
        goal="min",
        low=0.0,
        high=1.0,
        chance_controls=("mean",),
        scale_fields=fields,
        source=f"pixels in [0, 1]; `mean`: the mean training {mean}",
    )


def _diversity(stage: str, side: str) -> Metric:
    return Metric(
        f"{stage}.diversity",
        title=f"{stage}: diversity of the videos",
        goal="max",
        low=0.0,
        high=2.0,
        chance=0.0,
        scale_fields=(*_PIXELS, side),
        source="1 - mean SSIM of pairs of different videos; `diversity_truth`: of the true clips",
        note="Diversity is 0 if all videos are the same. It says nothing of whether a video fits its clip.",
    )


def _loss(name: str, title: str, fields: tuple[str, ...], source: str) -> Metric:
    return Metric(name, title=title, goal="min", low=0.0, high=math.inf, scale_fields=fields, source=source)


PIXEL_SYSTEM_METRICS: tuple[Metric, ...] = (
    _l1("gan", "gan.resolution"),
    _diversity("gan", "gan.resolution"),
    _loss(
        "gan.loss",
        "gan: loss of the generator",
        _GAN_LOSS,
        "weighted pixel error and scores of the discriminators, while training",
    ),
    _loss(
        "gan.loss_discriminators",
        "gan: loss of the discriminators",
        _GAN_LOSS,
        "softplus of wrong scores, while training; 2 log 2 for each discriminator that tells nothing apart",
    ),
    Metric(
        "see.r_mean",
        title="see: correlation of predicted and measured fMRI, mean over voxels",
        goal="max",
        low=-1.0,
        high=1.0,
        chance=0.0,
        scale_fields=("dataset", "voxels"),
        source="over the clips of the split",
    ),
    Metric(
        "see.mse",
        title="see: mean squared error of predicted fMRI",
        goal="min",
        low=0.0,
        high=math.inf,
        chance_controls=("mean",),
        scale_fields=("dataset", "voxels"),
        source="of standardised fMRI; `mean`: the mean training answer",
    ),
    _loss("see.loss", "see: loss", _SEE_LOSS, "squared error and cosine of fMRI, while training"),
    _l1("unsee", "see.resolution"),
    _diversity("unsee", "see.resolution"),
    _loss("unsee.loss", "unsee: loss", _UNSEE_LOSS, "weighted errors of paired and unpaired clips, while training"),
    _squared("autoencoder", "latents", ("dataset", "autoencoder.resolution")),
    _loss(
        "autoencoder.loss",
        "autoencoder: loss",
        ("dataset", "autoencoder"),
        "squared error and weighted divergence of the latent, while training",
    ),
    _squared("map_inverse", "maps", ("dataset", "layers")),
    _loss("map_inverse.loss", "map_inverse: loss", ("dataset", "layers"), "squared error of standardised frames"),
)
