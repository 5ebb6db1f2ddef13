"""The prevalence of an effect: the share of a population whose members show it, from tests in single subjects.

A test at level alpha is positive in alpha of the subjects without the effect and, at full power, in all with it. So a
share g of subjects with the effect gives positives with probability alpha + (1 - alpha) g (Ince et al. 2021). The
interval is that of Clopper and Pearson (1934) for this probability, mapped to g. With less than full power g is too
small: it is a lower estimate.
"""

from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Prevalence:
    """An estimated share of the population, from 0 to 1, with its interval."""

    positive: int
    subjects: int
    value: float
    low: float
    high: float


def prevalence(positive: int, subjects: int, *, alpha: float = 0.05, level: float = 0.95) -> Prevalence:
    """Return the prevalence if `positive` of `subjects` have a p of at most `alpha`.

    Raises:
        ValueError: There is no subject, or more are positive than there are.
    """
    if not 0 <= positive <= subjects or subjects == 0:
        raise ValueError(f"{positive} of {subjects} subjects cannot be positive")
    tail = (1 - level) / 2
    low = 0.0 if positive == 0 else float(stats.beta.ppf(tail, positive, subjects - positive + 1))
    high = 1.0 if positive == subjects else float(stats.beta.ppf(1 - tail, positive + 1, subjects - positive))
    shares = (max(0.0, (share - alpha) / (1 - alpha)) for share in (positive / subjects, low, high))
    return Prevalence(positive, subjects, *shares)
