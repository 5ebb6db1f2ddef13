"""Configs of the networks of single frames: the autoencoder of `han_like` and the trained inverse of `wen2018`."""

from typing import Annotated

from pydantic import Field

from trainables.config.base import Config, Count, NonNegative, Positive
from trainables.config.decoders import Schedule, TrainConfig

HALVINGS = 5
"""Convolutions of the autoencoder's encoder, each of which halves the side; its decoder mirrors them."""


class _FrameTrainConfig(TrainConfig):
    batch_size: Count = 32
    lr: Positive = 2e-3
    schedule: Schedule = "cosine"


class AutoencoderTrainConfig(_FrameTrainConfig):
    """As for the decoders. A row is a training clip, of which each epoch sees one frame at random."""


class AutoencoderConfig(Config):
    """Variational autoencoder of single frames, only with `han.vae: global`. It is trained on frames of training clips.

    Five layers each way and 1,024 latents are those of Han et al. 2019; all else is our design
    (docs/systems/han_like.md).
    """

    resolution: Annotated[int, Field(ge=2**HALVINGS, multiple_of=2**HALVINGS)] = 64
    """Side of frames in pixels (Han et al.: 128). Frames are resized to it, so that it can be halved five times."""
    base: Count = 16
    """Channels of the first convolution; each further one has twice as many."""
    latent: Count = 64
    """Numbers of the latent (Han et al.: 1,024)."""
    kl: NonNegative = 1e-4
    """Weight of the mean Kullback-Leibler divergence per number of the latent, beside the mean squared error of pixels
    in [0, 1]."""
    train: AutoencoderTrainConfig = AutoencoderTrainConfig()


class MapInverseTrainConfig(_FrameTrainConfig):
    """As for the decoders. A row is the frame of a training clip whose maps are stored."""

    epochs: Count = 12


class MapInverseConfig(Config):
    """Three up-convolutions from maps of the first convolution to the frame, only with `wen.inverse: trained` (ours).

    They are trained on the maps of training frames, never on predicted ones.
    """

    channels: Annotated[int, Field(ge=4, multiple_of=4)] = 64
    """Channels of the first up-convolution; the second has half, the third a quarter of them."""
    train: MapInverseTrainConfig = MapInverseTrainConfig()
