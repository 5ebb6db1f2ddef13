"""The frozen networks that features are read with: loaded by name or folder, or the small ones shipped as `phantom`."""

from typing import Any

from trainables.backbones.sources import locate, source_digest
from trainables.config.trial import TrialConfig

STABLE_DIFFUSION_PARTS = ("vae", "text_encoder", "tokenizer")
GENERATOR_PARTS = (*STABLE_DIFFUSION_PARTS, "unet", "scheduler")


def fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the weights that features are read with. Loads none of them.

    Raises:
        ValueError: A source of `config.backbones` is neither `phantom`, a folder, nor formed like a hub name.
    """
    diffusion = locate(config.backbones.stable_diffusion, kind="stable_diffusion")
    clip = locate(config.backbones.clip, kind="clip")
    return {"stable_diffusion": source_digest(diffusion, parts=STABLE_DIFFUSION_PARTS), "clip": source_digest(clip)}


def generator_fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the weights that video is made with. Raises `ValueError` as `fingerprint`."""
    return source_digest(locate(config.backbones.stable_diffusion, kind="stable_diffusion"), parts=GENERATOR_PARTS)


def judges_fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the weights that video is judged by. Raises `ValueError` as `fingerprint`."""
    sources = {
        "image_classifier": (config.evaluate.image_classifier, "image_classifier"),
        "video_classifier": (config.evaluate.video_classifier, "video_classifier"),
        "vifi": (config.evaluate.vifi, "clip"),
        "clip": (config.evaluate.clip, "clip"),
    }
    return {role: source_digest(locate(source, kind=kind)) for role, (source, kind) in sources.items()}
