"""Config of the stage `layers`: which convolutional network is read, and what of it is stored."""

from typing import Annotated, Literal

from trainables.config.base import Config, Positive, Weights
from trainables.identity import DECIDES


class LayersConfig(Config):
    """A convolutional network that classifies images, and which of its maps are stored for linear decoding.

    Stages that compute maps of their own (an encoder, a perceptual loss) read `source` alone.
    """

    source: Weights = "phantom"
    """The network: `phantom`, a folder or a hub name such as `timm/vgg19.tv_in1k`, with a `model.safetensors` of
    torchvision's AlexNet, VGG16 or VGG19 and a `config.json` that names the architecture."""
    layer: Annotated[str, DECIDES("layers")] = "conv1"
    """The convolution whose maps are stored, after its ReLU."""
    frames: Annotated[Literal["middle", "mean", "all"], DECIDES("layers")] = "middle"
    """Frames of a clip whose maps are stored: the middle one, the mean of the maps of all, or each."""
    log: Annotated[Positive | None, DECIDES("layers")] = 0.01
    """Stored maps are log10(map + `log`), as in the code of Wen et al. (2018), before any mean over frames. None: maps
    are stored as they are."""
