"""Networks that judge videos, as functions of numpy clips; loading them loads torch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from trainables.backbones.classifiers import load_image_classifier, load_video_classifier
from trainables.backbones.load import load_clip
from trainables.metrics.clip import Clip, Floats
from trainables.metrics.video import Network, Role


def load_network(role: Role, source: str, *, frames: int) -> Network:
    """Load what `role` of `video.Networks` needs from a folder or hub name.

    Args:
        role: `vifi` and `clip` take any CLIP model.
        source: as `from_pretrained` takes it.
        frames: per clip; a video classifier is built for that count.

    Raises:
        ValueError: it cannot be loaded, or cannot take that many frames.
    """
    if role == "image_classifier":
        return _on_arrays(load_image_classifier(source))
    if role == "video_classifier":
        return _on_arrays(load_video_classifier(source, frames=frames))
    return _on_arrays(load_clip(source).images)


def _on_arrays(network: Callable[[Tensor], Tensor]) -> Network:
    def apply(clip: Clip) -> Floats:
        return np.asarray(network(torch.from_numpy(clip)).float().numpy())

    return apply
