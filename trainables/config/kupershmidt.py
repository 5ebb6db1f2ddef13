"""Config of `kupershmidt_like`: a network from video to fMRI, and one back that also learns from other videos."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from trainables.config.base import Config, Count, DropoutRate, Natural, NonNegative, Positive, absolute_source
from trainables.config.decoders import Schedule, TrainConfig
from trainables.identity import BY_CONTENT

FRESH = "phantom_fresh"
SIDE_FACTOR = 8
"""By what the decoder's layers multiply the side of its first map."""


class SeeTrainConfig(TrainConfig):
    """As for the decoders, with the step size of the authors' image code and a decay in place of its steps."""

    epochs: Count = 10
    batch_size: Count = 32
    schedule: Schedule = "exponential"
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.85


class SeeConfig(Config):
    """From video to fMRI: maps of the frozen network `layers.source`, read by each voxel in its own way.

    Only with `system: kupershmidt_like`. A voxel has a map of places and a mix of channels, as in the authors' code for
    images (docs/systems/kupershmidt_like.md).
    """

    resolution: Annotated[int, Field(ge=4 * SIDE_FACTOR, multiple_of=SIDE_FACTOR)] = 64
    """Side of clips in pixels, for the frozen network and for the videos that `unsee` decodes."""
    planes: Count = 32
    """Channels to which the maps of each layer are reduced, by a convolution over place and frames."""
    largest_map: Annotated[int, Field(ge=4)] = 28
    """Side in places of the reduced maps at most: larger maps are halved."""
    cosine: NonNegative = 0.3
    """Weight of 1 - cosine of predicted and measured fMRI, beside the mean squared error."""
    dropout: DropoutRate = 0.25
    """Dropout of the reduced maps."""
    train: SeeTrainConfig = SeeTrainConfig()


class UnseeTrainConfig(TrainConfig):
    """As for `see`, with small batches: each has as many unpaired clips beside its paired ones."""

    epochs: Count = 6
    batch_size: Count = 16
    lr: Positive = 2e-3
    schedule: Schedule = "exponential"
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.75


def _external(source: str) -> str:
    return source if source == FRESH else absolute_source(source)


class UnseeConfig(Config):
    """From fMRI to video, trained on pairs and, through the network of `see`, on videos without fMRI.

    Only with `system: kupershmidt_like`. A video without fMRI is predicted as fMRI, and must come back as it was.
    """

    channels: Annotated[int, Field(ge=2, multiple_of=2)] = 32
    """Channels of all convolutions (authors' image code: 64)."""
    kernel: Annotated[int, Field(ge=1, le=7)] = 3
    """Side of the convolutions (authors' image code: 5). It must be odd."""
    pixel: NonNegative = 1.0
    """Weight of the mean absolute error of pixels in [0, 1]."""
    perceptual: NonNegative = 0.5
    """Weight of 1 - cosine of the frozen network's maps of decoded and true frames, per place."""
    total_variation: NonNegative = 0.03
    """Weight of the mean absolute difference of neighbouring pixels of decoded frames."""
    temporal: NonNegative = 1.0
    """Weight of the mean absolute error of the difference between consecutive frames."""
    unpaired: NonNegative = 1.0
    """Number of unpaired clips, in multiples of the training clips. 0: there are none."""
    unpaired_weight: Positive = 1.0
    """Weight of the loss of unpaired clips against that of paired ones."""
    external: Annotated[str, AfterValidator(_external), BY_CONTENT] = FRESH
    """Unpaired clips: `phantom_fresh` draws new ones from the world of the phantom; or a folder of videos (GIF, MP4,
    folders of PNG, or .npy), of which the first ones are used. None of them may be a held-out clip."""
    external_seed: Natural = 0
    """Seed of fresh clips. They are never those of the data set, whatever its seed."""
    noise: Literal["none", "residual"] = "none"
    """Noise that is added to predicted fMRI: none, or with the covariance of the errors of `see` on validation clips
    (shrunk as by Ledoit and Wolf 2004). Predictions are smoother than measured fMRI."""
    encoder: Literal["frozen", "fine_tuned"] = "frozen"
    """Whether the network of `see` stays as it is, as in the authors' image code, or is trained on, by its own loss and
    by that of unpaired clips."""
    train: UnseeTrainConfig = UnseeTrainConfig()

    @model_validator(mode="after")
    def _kernels_have_a_centre(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, but got {self.kernel}")
        return self

    @model_validator(mode="after")
    def _clips_train_the_encoder(self) -> Self:
        if self.encoder == "fine_tuned" and self.unpaired == 0:
            raise ValueError("encoder: fine_tuned needs unpaired clips, but unpaired is 0")
        return self

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Self:
        if self.pixel == 0 and self.perceptual == 0:
            raise ValueError("of pixel and perceptual at least one must be above 0, but both are 0")
        return self
