"""Configs of `nishimoto2011`: motion energy, a voxel-wise encoding model, and the posterior over a library of clips."""

from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import Config, Count, NonNegative, Positive


class EnergyConfig(Config):
    """Motion energy of clips: a pyramid of spatio-temporal Gabor filters, as in pymoten (Nishimoto et al. 2011).

    Standard deviations and spacing of the filters are pymoten's; frequencies of time are per clip and not per second,
    since a data set keeps few frames of a clip.
    """

    resolution: Count = 64
    """Side in pixels at which luminance is filtered; 96 in the paper."""
    spatial_frequencies: tuple[NonNegative, ...] = (0, 2, 4, 8, 16)
    """Cycles per image. 0 adds filters without orientation beside those of direction 0. The paper has 32, too."""
    temporal_frequencies: tuple[NonNegative, ...] = (0, 1, 2)
    """Cycles per clip, each less than half the number of frames. With 0 alone there is no motion: the static model."""
    directions: Count = 8
    """Directions of motion, equally spaced."""
    window: Count = 5
    """Frames of a filter. Energy is averaged over all windows that lie in the clip."""
    offset: Positive = 1e-2
    """Added before the logarithm, in units of luminance from 0 to 1."""
    quadrature: Literal["sqrt", "square"] = "sqrt"
    """How a pair of filters becomes energy: the root of the sum of squares, or the sum."""


class EncodeConfig(Config):
    """Encoding model: ridge regression from motion energy to each voxel."""

    alphas: Annotated[tuple[Positive, ...], Field(min_length=1)] = tuple(10 ** (half / 2) for half in range(13))
    """Penalties that are tried on validation clips; each voxel has its own."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Parts into which the training clips are divided, in their order. Each part's answers are also predicted from the
    others: errors on clips that a model was fitted to would be too small."""


class NishimotoConfig(Config):
    """Reconstruction: the clips of a library with the largest posterior, averaged."""

    voxels: Count = 500
    """Voxels that are compared: those with the largest correlation on validation clips; all, if there are fewer. The
    paper has 2,000."""
    covariance: Literal["ledoit_wolf", "diagonal", "identity"] = "ledoit_wolf"
    """Covariance of the encoding model's errors: regularised, variances alone, or equal for all voxels."""
    top: Count = 1
    """Clips of the library that are averaged; 1 is the maximum a posteriori, 100 the paper's average high posterior."""
    combine: Literal["mean", "posterior_weighted"] = "mean"
    """Weights of these clips: equal, or their posterior."""
    predictions: Literal["fitted", "across_folds"] = "fitted"
    """Predictions of library clips: by the model that was fitted to them, as they are training clips, or by models of
    the other folds, as for a library without fMRI."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Fraction of the training clips that the library holds, spread over their order."""
