"""Networks that metrics use, as functions of numpy clips. Importing this module imports torch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from trainables.backbones.classifiers import load_image_classifier, load_video_classifier
from trainables.backbones.load import load_image_encoder
from trainables.kinds import of_kind
from trainables.metrics.clip import Clip, Floats
from trainables.metrics.video import Network, Networks, Role


def load_network(role: Role, source: str, *, frames: int, device: torch.device | None = None) -> Network:
    """Load the network for `role` of `video.Networks` from a folder or a hub name.

    Args:
        role: `vifi` and `clip` accept any CLIP model, or the image half of one.
        source: Folder or hub name, as for `from_pretrained`.
        frames: Frames per clip. A video classifier is built for that number.
        device: Where it computes; the CPU by default.

    Raises:
        ValueError: The network cannot be loaded, or does not accept that number of frames.
    """
    chosen = device if device is not None else torch.device("cpu")
    return _on_arrays(of_kind(_LOADERS, role, field="role")(source, frames, chosen), chosen)


_LOADERS: Mapping[Role, Callable[[str, int, torch.device], Callable[[Tensor], Tensor]]] = {
    "image_classifier": lambda source, frames, device: load_image_classifier(source, device=device),
    "video_classifier": lambda source, frames, device: load_video_classifier(source, frames=frames, device=device),
    "vifi": lambda source, frames, device: load_image_encoder(source, device=device).images,
    "clip": lambda source, frames, device: load_image_encoder(source, device=device).images,
}
"""Role to the function that loads its network from the source, the frames per clip, and the device."""


def load_networks(sources: Mapping[Role, str], *, frames: int, device: torch.device | None = None) -> Networks:
    """Load the networks of several roles. Two roles with the same CLIP model share it, so `read` runs it once.

    Raises:
        ValueError: A network cannot be loaded, or does not accept that number of frames.
    """
    loaded: dict[tuple[str, str], Network] = {}
    chosen: dict[str, Network] = {}
    for role, source in sources.items():
        key = ("clip" if role == "vifi" else role, source)
        if key not in loaded:
            loaded[key] = load_network(role, source, frames=frames, device=device)
        chosen[role] = loaded[key]
    return Networks(**chosen)


def _on_arrays(network: Callable[[Tensor], Tensor], device: torch.device) -> Network:
    """Return `network` for clips in memory: all frames of a clip are one batch on `device`."""

    def apply(clip: Clip) -> Floats:
        return np.asarray(network(torch.from_numpy(clip).to(device)).float().cpu().numpy())

    return apply
