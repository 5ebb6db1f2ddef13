"""Backbones and the features that are read from them."""

from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import Config, Count, Natural


class BackbonesConfig(Config):
    """Where the frozen models come from: `phantom` (shipped), a folder, or a hub name."""

    stable_diffusion: str = "phantom"
    """Has the sub-folders vae, text_encoder, tokenizer, unet and scheduler, as `stable-diffusion-v1-5` has."""
    clip: str = "phantom"
    """A CLIP model, as `openai/clip-vit-base-patch32`."""


class FeaturesConfig(Config):
    """Clips and captions to CLIP embeddings, text condition and latents."""

    resolution: Count = 64
    """Side in pixels of what the VAE sees; clips are resized to it."""
    latent_size: Count = 16
    """Side of the VAE's latent; checked against the VAE."""
    condition_tokens: Annotated[int, Field(ge=2)] = 20
    """Tokens of the text condition, the begin token included."""
    latents: Literal["mode", "sample"] = "mode"
    """The released code stores a random sample of the VAE's posterior (mind-animator.md B19)."""
    image_target: Literal["mean", "fixed_frame"] = "mean"
    """CLIP image target: mean over all frames and views of random ones, or the fourth frame alone and views of it, as
    in the released code (mind-animator.md B22)."""
    image_variants: Natural = 4
    """Randomly cropped views (of a random frame each, by default) of every training clip, to augment it."""
    text_variants: Natural = 8
    """EDA variants (synonym, insert, swap, delete) of every training caption that augmentation draws from."""
    crop_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.78
    """Side of the random crop over the side of the frame (400 of 512 in the paper)."""
    batch_size: Count = 64
    """Clips that the backbones read at a time."""
    seed: Natural = 0
    """Of crops, caption variants and sampled latents."""
