"""The public API for plug-ins: docs/api.md describes every name. Importing it loads no engine."""

from trainables.config.base import (
    Config,
    Count,
    DropoutRate,
    Fraction,
    Natural,
    NonNegative,
    Positive,
)
from trainables.config.decoders import TrainConfig
from trainables.context import StageResult, StageTask
from trainables.identity import CIRCUMSTANCE
from trainables.metrics.metric import Metric
from trainables.plugins.declaration import (
    API_VERSION,
    DatasetKind,
    Decoder,
    NewStage,
    Plugin,
    VideoControl,
    VideoMetric,
)

__all__ = [
    "API_VERSION",
    "CIRCUMSTANCE",
    "Config",
    "Count",
    "DatasetKind",
    "Decoder",
    "DropoutRate",
    "Fraction",
    "Metric",
    "Natural",
    "NewStage",
    "NonNegative",
    "Plugin",
    "Positive",
    "StageResult",
    "StageTask",
    "TrainConfig",
    "VideoControl",
    "VideoMetric",
]
