"""The frozen networks that features are read with: loaded by name or folder, or the small ones shipped as `phantom`."""

from typing import Any

from trainables.backbones.sources import describe, locate
from trainables.config.trial import TrialConfig

STABLE_DIFFUSION_PARTS = ("vae", "text_encoder", "tokenizer")


def fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the weights that features are read with. Loads none of them.

    Raises:
        ValueError: A source of `config.backbones` is neither `phantom`, a folder, nor formed like a hub name.
    """
    diffusion = locate(config.backbones.stable_diffusion, kind="stable_diffusion")
    clip = locate(config.backbones.clip, kind="clip")
    return {"stable_diffusion": describe(diffusion, parts=STABLE_DIFFUSION_PARTS), "clip": describe(clip)}
