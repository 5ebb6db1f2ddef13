"""Configs of the systems that are linear: `han_like` and `wen2018`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Fraction, Positive
from trainables.identity import SINCE

Alphas = Annotated[tuple[Positive, ...], Field(min_length=1)]
_ALPHAS = tuple(10.0 ** (half / 2) for half in range(13))


class HanConfig(Config):
    """`han_like`: ridge regression from voxels to the VAE's latent of one frame, which is held (Han et al. 2019)."""

    target: Literal["latents", "pixels"] = "latents"
    """What is predicted: the latent of the frame, or its pixels."""
    vae: Annotated[Literal["features", "global"], SINCE("features")] = "features"
    """Whose latents. `features`: the spatial latents of the diffusion model's autoencoder. `global`: those of an
    autoencoder of their kind, without places, which the stage `autoencoder` trains on frames of training clips."""
    frame: Literal["first", "middle", "mean"] = "first"
    """Frame of the clip; `mean`: the mean of the targets of all."""
    spread: Literal["as_predicted", "restored"] = "as_predicted"
    """`restored`: predictions are scaled to the standard deviation over training clips, which ridge shrinks."""
    alphas: Alphas = _ALPHAS
    """Penalties that are tried on validation clips."""

    @model_validator(mode="after")
    def _an_autoencoder_is_used(self) -> Self:
        if self.target == "pixels" and self.vae == "global":
            raise ValueError(
                "with target: pixels no autoencoder is used; leave out vae: global, or use target: latents"
            )
        return self


class WenConfig(Config):
    """`wen2018`: ridge regression from voxels to the maps of a network's first convolution, and their inverse."""

    alphas: Alphas = _ALPHAS
    """Penalties that are tried on validation clips; each channel of the maps has its own, as there is one model per
    channel in the authors' code."""
    inverse: Literal["transposed", "local", "trained"] = "transposed"
    """How maps become a frame. `transposed`: the convolution's own filters, transposed, with a gain per channel and a
    colour that fit training frames best. `local`: ridge regression from the maps around a place to its pixels.
    `trained`: the up-convolutions of the stage `map_inverse`."""
    components: Annotated[Fraction, Field(gt=0.0)] = 0.99
    """Fraction of the variance of the penultimate layer that its principal components keep, for categories."""
