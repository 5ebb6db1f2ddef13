"""The metrics that stages of further systems report, besides those of their videos. Loads no heavy library."""

import math

from trainables.metrics.metric import Metric, retrieval_metric
from trainables.metrics.mindvideo_metrics import MINDVIDEO_METRICS
from trainables.metrics.pixel_system_metrics import PIXEL_SYSTEM_METRICS

_FMRI = ("dataset", "voxels")


def _retrieved(k: int, gallery: str, clips: str) -> Metric:
    return retrieval_metric(
        f"retrieve.{gallery}top{k}",
        k,
        scale_fields=("dataset", "backbones", "features", "voxels.subject", "generator.validation_clips", "retrieve"),
        source=f"paper Table 5; mind-animator.md C.2; gallery of {clips}, ties by average rank",
    )


_SMALL, _WITH_TRAINING = "reconstructed clips of the split", "these and the training clips"
_WITH_OTHERS = "these and the clips of retrieve.others"
SYSTEM_METRICS: tuple[Metric, ...] = (
    *(_retrieved(k, "", _SMALL) for k in (1, 5, 10)),
    *(_retrieved(k, "with_training_", _WITH_TRAINING) for k in (10, 100)),
    *(_retrieved(k, "with_others_", _WITH_OTHERS) for k in (10, 100)),
    *PIXEL_SYSTEM_METRICS,
    *MINDVIDEO_METRICS,
    Metric(
        "encode.r_mean",
        title="encoding: correlation of predicted and measured fMRI, mean over voxels",
        goal="max",
        low=-1.0,
        high=1.0,
        chance=0.0,
        scale_fields=_FMRI,
        source="Nishimoto et al. 2011, prediction accuracy",
    ),
    Metric(
        "nishimoto.identification_top1",
        title="nishimoto: identification of the clip among the held-out ones",
        goal="max",
        low=0.0,
        high=1.0,
        chance_rule="1 / held-out clips of the split",
        scale_fields=_FMRI,
        source="Nishimoto et al. 2011, identification",
    ),
    Metric(
        "nishimoto.median_rank",
        title="nishimoto: median rank of the clip, if it were in the library",
        goal="min",
        low=1.0,
        high=math.inf,
        chance_rule="(clips of the library + 2) / 2",
        scale_fields=(*_FMRI, "nishimoto.share"),
        source="ours",
    ),
    Metric(
        "han.latent_r2",
        title="han: explained variance of the target",
        goal="max",
        low=-math.inf,
        high=1.0,
        chance=0.0,
        scale_fields=(
            *("dataset", "backbones", "features", "voxels.subject"),
            *("han.target", "han.vae", "han.frame", "autoencoder"),
        ),
        source="ours",
    ),
    Metric(
        "wen.map_r",
        title="wen: correlation of predicted and true maps, mean over units",
        goal="max",
        low=-1.0,
        high=1.0,
        chance=0.0,
        scale_fields=(*_FMRI, "layers"),
        source="Wen et al. 2018",
    ),
    *(
        Metric(
            f"wen.category_top{k}",
            title=f"wen: category of the true frame, top {k}",
            goal="max",
            low=0.0,
            high=1.0,
            chance_rule=f"{k} / classes of the network",
            scale_fields=(*_FMRI, "layers"),
            source="Wen et al. 2018, categories",
        )
        for k in (1, 5)
    ),
)
