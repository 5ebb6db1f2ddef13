"""The metrics that stages of further systems report, besides those of their videos. Loads no heavy library."""

import math

from trainables.metrics.metric import Metric
from trainables.metrics.mindvideo_metrics import MINDVIDEO_METRICS
from trainables.metrics.pixel_system_metrics import PIXEL_SYSTEM_METRICS

_FMRI = ("dataset", "voxels")
SYSTEM_METRICS: tuple[Metric, ...] = (
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
)
