"""Metrics of an object whose place, shape and colour are known, as the phantom's is: whole frames are mostly ground.

A judge's logits `[F, C]` are over shape and colour at once, shape by shape, as `backbones.judges.IMAGE` names them.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from trainables.metrics.clip import Bools, Floats, UndefinedError

Factor: TypeAlias = Literal["shape", "colour"]


@dataclass(frozen=True)
class KnownObject:
    """What was planted in one clip."""

    mask: Bools
    """`[F, H, W]`: which pixels belong to the object."""
    shape: int
    colour: int
    kinds: tuple[int, int]
    """How many shapes and colours there are."""

    @property
    def shown(self) -> Bools:
        """Tell in which frames there is an object to judge, `[F]`: all, unless it appears late.

        Raises:
            UndefinedError: there is none in any frame.
        """
        shown = self.mask.any(axis=(1, 2))
        if not shown.any():
            raise UndefinedError("the object is in no frame")
        return np.asarray(shown)


def factor_accuracy(known: KnownObject, logits: Floats, *, factor: Factor) -> float:
    """Return the share of the object's frames whose most likely shape (or colour) is the true one, 0 to 1.

    The probability of a shape is the sum over colours of those of its classes, and the other way about.

    Args:
        known: what the clip truly shows.
        logits: `[F, shapes * colours]` of the reconstruction.
        factor: which of the two to look at.

    Raises:
        UndefinedError: the classifier has other classes, or there is no object.
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
