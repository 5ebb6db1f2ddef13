"""What a design can show: the smallest p of a number of units, and how many units a level needs.

Importing this loads no scipy, so that a design is checked at once.
"""

import math
from typing import Literal, TypeAlias

ClaimUnit: TypeAlias = Literal["clips", "seeds", "both"]
EXACT_UP_TO = 16
"""The number of units up to which all 2^n flips of signs are computed."""


def smallest_p(units: int, *, resamples: int = 9999) -> float:
    """Return the smallest two-sided p that a sign-flip test of `units` non-zero differences can yield."""
    if units < 1:
        return 1.0
    return 2.0 ** (1 - units) if units <= EXACT_UP_TO else max(2.0 ** (1 - units), 1.0 / (1.0 + resamples))


def seeds_for(alpha: float, family: int) -> int:
    """Return the smallest number of seeds whose smallest p is at most `alpha` after Holm's adjustment for `family`.

    All comparisons of the family may have the smallest p, so the first must pass: family x 2^(1-n) <= alpha. At 0.05,
    one comparison needs six seeds, two or three need seven, and up to twelve need nine.
    """
    return 1 + math.ceil(math.log2(family / alpha) - 1e-9)


def unattainable(unit: ClaimUnit, *, seeds: int, clips: int, alpha: float, family: int, clustered: str = "clip") -> str:
    """Return why a design can never show a difference, and how many units can; empty if the design can.

    `clips` is the number of clusters where clips lie in clusters, and `clustered` their kind, such as `film`.
    """
    needed = seeds_for(alpha, family)
    problems = []
    for name, units, word in (("seeds", seeds, "seed"), ("clips", clips, clustered)):
        if unit in (name, "both") and units < needed:
            smallest = smallest_p(units)
            allow = f"{word} allows" if units == 1 else f"{word}s allow"
            problems.append(
                f"{units} {allow} no p below {smallest:g}, but a family of {family} at {alpha:g} needs a p of "
                f"{alpha / family:g}: {needed} {word}s are enough"
            )
    return "; ".join(problems)


def default_unit(*, seeds: int, clips: int, alpha: float, family: int) -> ClaimUnit:
    """Return the most demanding unit that the design can attain: `both`, or else `clips`.

    Call it with the design, before results exist. `seeds` is never the default: a design with enough seeds nearly
    always has enough clips, and then the unit is `both`.
    """
    return "clips" if unattainable("both", seeds=seeds, clips=clips, alpha=alpha, family=family) else "both"
