"""Metrics of an object whose position, shape and colour are known, as in the phantom. Most pixels are background.

The classes of an image classifier's logits `[F, C]` are pairs of shape and colour, ordered by shape, as in
`backbones.judges.IMAGE`.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from trainables.metrics.clip import Bools, Floats, UndefinedError

Factor: TypeAlias = Literal["shape", "colour"]


@dataclass(frozen=True)
class KnownObject:
    """The planted object of one clip."""

    mask: Bools
    """`[F, H, W]`: the pixels of the object."""
    shape: int
    colour: int
    kinds: tuple[int, int]
    """Number of shapes and of colours."""

    @property
    def shown(self) -> Bools:
        """The frames that show the object, `[F]`: all, unless it appears late.

        Raises:
            UndefinedError: No frame shows the object.
        """
        shown = self.mask.any(axis=(1, 2))
        if not shown.any():
            raise UndefinedError("the object is in no frame")
        return np.asarray(shown)


def factor_accuracy(known: KnownObject, logits: Floats, *, factor: Factor) -> float:
    """Return the fraction of the object's frames whose most likely shape (or colour) is correct, 0 to 1.

    The probability of a shape is the sum of its classes over all colours; the same holds for a colour over all shapes.

    Args:
        known: The object that the clip shows.
        logits: `[F, shapes * colours]` of the reconstruction.
        factor: Shape or colour.

    Raises:
        UndefinedError: The classifier has other classes, or no frame shows the object.
    """
    shapes, colours = known.kinds
    if logits.shape[-1] != shapes * colours:
        raise UndefinedError(
            f"the image classifier tells {logits.shape[-1]} classes apart, not {shapes} shapes in {colours} colours"
        )
    grid = logits[known.shown].astype(np.float64).reshape(-1, shapes, colours)
    other = 2 if factor == "shape" else 1
    marginal = np.exp(grid - grid.max(axis=(1, 2), keepdims=True)).sum(axis=other)
    return float((marginal.argmax(axis=1) == getattr(known, factor)).mean())
