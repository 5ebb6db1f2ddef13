"""Config of `fcvgan_like`: a generator from fMRI to video, trained against an image and a video discriminator."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Count, Fraction, Natural, NonNegative, Positive
from trainables.config.decoders import TrainConfig

FRAME_FACTOR, SIDE_FACTOR = 8, 16
"""By what the generator's layers multiply the frames and the side of its first map."""


class GanTrainConfig(TrainConfig):
    """As for the decoders, with the optimiser that is usual for GANs. `lr` is that of the generator.

    Weights are those of the epoch with the smallest pixel error on validation clips, as for all decoders.
    """

    epochs: Count = 10
    batch_size: Count = 32
    lr: Positive = 5e-4
    warmup_steps: Natural = 0
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)


class GanConfig(Config):
    """f-CVGAN-like (only with `system: fcvgan_like`): its paper says what the parts are, not how they are built.

    What is known: a generator, separate spatial and temporal discriminators, videos of 8 frames and 64 pixels. Layers,
    losses and training are our design (docs/systems/fcvgan_like.md).
    """

    resolution: Annotated[int, Field(ge=SIDE_FACTOR, multiple_of=SIDE_FACTOR)] = 64
    """Side of the generated videos in pixels. Clips are resized to it."""
    base: Count = 16
    """Channels of the first layers of the discriminators and of the last one of the generator; deeper layers have up to
    8 times as many."""
    embedding: Count = 256
    """Width of the layers that read the fMRI, in the generator and in the discriminators."""
    noise: Natural = 64
    """Random numbers that the generator gets beside the fMRI. They are 0 when held-out clips are decoded."""
    l1: NonNegative = 100.0
    """Weight of the mean absolute error of pixels, of a scale from -1 to 1, in the generator's loss."""
    image: NonNegative = 1.0
    """Weight of the spatial discriminator, which sees one random frame. 0: there is none."""
    video: NonNegative = 1.0
    """Weight of the temporal discriminator, which sees all frames. 0: there is none."""
    condition_discriminators: bool = True
    """Whether the discriminators see the fMRI, so that a video must fit it, or only the video."""
    discriminator_lr: Positive = 2e-4
    """Learning rate of the discriminators."""
    train: GanTrainConfig = GanTrainConfig()

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Self:
        if self.l1 == 0 and self.image == 0 and self.video == 0:
            raise ValueError("of l1, image and video at least one must be above 0, but all are 0")
        return self
