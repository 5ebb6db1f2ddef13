"""Networks that judge videos, as functions of numpy clips; loading them loads torch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from trainables.backbones.classifiers import load_image_classifier, load_video_classifier
from trainables.backbones.load import load_clip
from trainables.kinds import of_kind
from trainables.metrics.clip import Clip, Floats
from trainables.metrics.video import Network, Networks, Role


def load_network(role: Role, source: str, *, frames: int) -> Network:
    """Load what `role` of `video.Networks` needs from a folder or hub name.

    Args:
        role: `vifi` and `clip` take any CLIP model.
        source: as `from_pretrained` takes it.
        frames: per clip; a video classifier is built for that count.

    Raises:
        ValueError: it cannot be loaded, or cannot take that many frames.
    """
    return _on_arrays(of_kind(_LOADERS, role, field="role")(source, frames))


_LOADERS: Mapping[Role, Callable[[str, int], Callable[[Tensor], Tensor]]] = {
    "image_classifier": lambda source, frames: load_image_classifier(source),
    "video_classifier": lambda source, frames: load_video_classifier(source, frames=frames),
    "vifi": lambda source, frames: load_clip(source).images,
    "clip": lambda source, frames: load_clip(source).images,
}
"""By role: from the source and the frames of a clip."""


def load_networks(sources: Mapping[Role, str], *, frames: int) -> Networks:
    """Load the networks of several roles. Two roles with the same CLIP share it, so that `read` runs it once.

    Raises:
        ValueError: as `load_network`.
    """
    loaded: dict[tuple[str, str], Network] = {}
    chosen: dict[str, Network] = {}
    for role, source in sources.items():
        key = ("clip" if role == "vifi" else role, source)
        if key not in loaded:
            loaded[key] = load_network(role, source, frames=frames)
        chosen[role] = loaded[key]
    return Networks(**chosen)


def _on_arrays(network: Callable[[Tensor], Tensor]) -> Network:
    def apply(clip: Clip) -> Floats:
        return np.asarray(network(torch.from_numpy(clip)).float().numpy())

    return apply
