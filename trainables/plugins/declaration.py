"""What a plug-in declares: frozen values, collected in `PLUGIN = Plugin(...)` at the top of its module.

The names of this module are public: docs/api.md describes them, and `trainables.api` offers them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from trainables.config.base import Config
from trainables.config.trial import TrialConfig
from trainables.context import StageFunction
from trainables.datasets.kinds import Reader
from trainables.metrics.metric import Goal, Metric

if TYPE_CHECKING:
    from torch import nn

    from trainables.metrics.clip import Clip

API_VERSION = 1
"""Raised when a public name is removed, or its arguments, shapes or meaning change."""

DecoderStage: TypeAlias = Literal["semantic", "structure", "motion"]
DECODED: tuple[DecoderStage, ...] = get_args(DecoderStage)
"""The stages with kinds of decoder."""

NetworkBuilder: TypeAlias = Callable[[Any, int, Mapping[str, Sequence[int]]], "nn.Module"]
"""(settings, number of voxels, shapes of the predictions of one clip by name) to the untrained network."""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A kind of semantic, structure or motion decoder. `motion.kind: NAME` chooses it."""

    stage: DecoderStage
    """The stage whose function it replaces. It has that stage's inputs, and must write that stage's files."""
    name: str
    run: StageFunction
    settings: type[Config] | None = None
    """The class of the config section `NAME`. The section of the stage (`motion`) can be used, too."""
    network: NetworkBuilder | None = None
    """Builds the network whose weights are in `model.safetensors`. Without it the decoder cannot be loaded again, and
    a motion decoder cannot be used with `reconstruct.motion: shuffled`."""
    solved: bool = False
    """Whether it has its final weights without epochs. Neither seed nor `train.workers` then matters, early stopping is
    refused, and `run` passes `solved=True` to `train_motion` and the like."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a stage that is not one of a decoder."""
        if self.stage not in DECODED:
            raise ValueError(f"the stage of the decoder {self.name!r} is {self.stage!r}; it must be one of {DECODED}")


@dataclass(frozen=True, kw_only=True)
class NewStage:
    """A step of a trial: a pure function of its config sections, its seed and its inputs."""

    name: str
    """Letters, digits and `_`, beginning with a letter."""
    run: StageFunction
    inputs: tuple[str, ...]
    """Other stages. `@videos` is the stage that makes the videos of the trial's system."""
    settings: type[Config] | None = None
    """The class of the config section with the name of the stage."""
    sections: tuple[str, ...] = ()
    """Further sections of the config that it reads, such as `generator`."""
    seeded: bool = False
    """Whether the result depends on the trial's seed."""
    makes: str | None = None
    """The system (`system: NAME`) whose videos it makes: `videos` uint8 [n,F,H,W,3] and `index` int64 [n] in
    `videos.safetensors`."""
    network: NetworkBuilder | None = None
    """As in `Decoder`. Its metrics are then those of validation clips and, with the prefix `test_`, of test clips."""
    seconds: float = 30.0
    """First estimate of the time of one run."""
    size: int = 10_000_000
    """First estimate of the bytes of its files."""
    fingerprint: Callable[[TrialConfig], Mapping[str, Any]] | None = None
    """Returns as JSON what affects the result and is not in the config, such as digests of files."""
    files: Callable[[TrialConfig], Iterable[Path]] | None = None
    """Returns the files that `fingerprint` stands for. The run is refused if they change while it reads."""


@dataclass(frozen=True, kw_only=True)
class VideoMetric:
    """A metric of a true and a reconstructed clip, which the stage `evaluate` reports as `evaluate.NAME`."""

    name: str
    score: Callable[["Clip", "Clip"], float]
    """Truth and reconstruction, uint8 [F,H,W,3] of one shape, to a finite value. It raises `UndefinedError` if there is
    none."""
    title: str
    goal: Goal
    low: float
    high: float
    source: str
    """Where the definition comes from."""
    unit: str = ""
    chance: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class VideoControl:
    """A video that each reconstruction is compared with. Metrics of it end in its name, such as `test_ssim_NAME`."""

    name: str
    title: str
    meaning: str
    """What it is, and what it shows."""
    video: Callable[["Clip", "Clip"], "Clip"]
    """Truth and reconstruction, uint8 [F,H,W,3] of one shape, to a video of that shape."""


@dataclass(frozen=True, kw_only=True)
class DatasetKind:
    """A kind of data set. `dataset.kind: NAME` chooses it."""

    name: str
    description: str
    """Half a sentence for people who choose."""
    settings: type[Config]
    """The class of the section `dataset`, with a field `kind: Literal[NAME] = NAME`."""
    reader: Reader
    """An object with the functions of `Reader`."""


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """All that a plug-in adds."""

    api: int
    """The version of the API that it was written for: 1."""
    decoders: tuple[Decoder, ...] = ()
    stages: tuple[NewStage, ...] = ()
    metrics: tuple[Metric, ...] = ()
    """Metrics that its stages and decoders report, by full name (`stage.metric`)."""
    video_metrics: tuple[VideoMetric, ...] = ()
    controls: tuple[VideoControl, ...] = ()
    datasets: tuple[DatasetKind, ...] = ()

    def __post_init__(self) -> None:
        """Raise `TypeError` for a part that is not in a tuple: the comma of `(Decoder(...),)` is easily forgotten."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "api" and not isinstance(value, tuple):
                raise TypeError(f"{field.name} must be a tuple, such as (Decoder(...),), but is {type(value).__name__}")
