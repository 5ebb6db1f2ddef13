"""Configs of the backbones and of the features that they compute."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trainables.config.base import Config, Count, Natural, Weights, absolute_folder
from trainables.identity import BY_CONTENT, SINCE

TABLE = "table"
WORDNET = "/usr/share/wordnet"
"""Where Debian's package `wordnet-base` puts its files."""


def _synonyms(source: str) -> str:
    if source == TABLE:
        return source
    return WORDNET if source == "wordnet" else str(absolute_folder(source))


class BackbonesConfig(Config):
    """Sources of the frozen models: `phantom` (included), a folder, a URI of a store, or a hub name with `@COMMIT`.

    With HF_HUB_OFFLINE=1 in the environment, names are looked up in the hub's cache on this machine alone.
    """

    stable_diffusion: Weights = "phantom"
    """A Stable Diffusion model such as `stable-diffusion-v1-5`, with sub-folders vae, text_encoder, tokenizer, unet and
    scheduler."""
    clip: Weights = "phantom"
    """A CLIP model, such as `openai/clip-vit-base-patch32`."""


class FeaturesConfig(Config):
    """Features of clips and captions: CLIP embeddings, text condition and latents."""

    resolution: Count = 64
    """Side of the VAE's input in pixels. Clips are resized to it."""
    latent_size: Count = 16
    """Side of the VAE's latent. It is checked against the VAE."""
    condition_tokens: Annotated[int, Field(ge=2)] = 20
    """Number of tokens of the text condition, including the begin token."""
    latents: Literal["mode", "sample"] = "mode"
    """Mode of the VAE's posterior, or a random sample as in the released code (mind-animator.md B19)."""
    image_target: Literal["mean", "fixed_frame"] = "mean"
    """CLIP image target: `mean` is the mean over all frames, with views of random frames. `fixed_frame` is the fourth
    frame, with views of it, as in the released code (mind-animator.md B22)."""
    image_variants: Natural = 4
    """Number of randomly cropped views of every training clip, for augmentation."""
    text_variants: Natural = 8
    """Number of EDA variants (synonym, insert, swap, delete) of every training caption, for augmentation."""
    text_operations: Annotated[Literal["each", "one"], SINCE("each")] = "each"
    """How a caption is altered. `each`: every operation with its probability, as in the paper's text. `one`: one
    operation per variant, on more words, as in the released code (mind-animator.md B24)."""
    synonyms: Annotated[str, AfterValidator(_synonyms), BY_CONTENT, SINCE(TABLE)] = TABLE
    """Source of synonyms: our small `table`, `wordnet` (the files of Debian's package `wordnet-base`), or a folder with
    the files of WordNet 3. Content decides identity."""
    condition_target: Annotated[Literal["caption", "augmented"], SINCE("caption")] = "caption"
    """Text condition that the semantic decoder learns: that of the caption, or that of the same altered caption as its
    CLIP target, as in the released code (mind-animator.md B57). The conditions of all variants are then stored."""
    crop_position: Annotated[Literal["each", "shared"], SINCE("each")] = "each"
    """Whether each clip has crops of its own, or variant k of all clips has one position, as in the released code
    (mind-animator.md B22)."""
    crop_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.78
    """Side of the random crop relative to the side of the frame (400 of 512 in the paper)."""
    batch_size: Count = 64
    """Number of clips per batch of the backbones."""
    seed: Natural = 0
    """Seed of crops, caption variants and sampled latents."""
