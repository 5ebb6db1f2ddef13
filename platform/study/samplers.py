"""The samplers of Optuna that a sweep may name, and what each can do; `platform.run.proposer` creates them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Sampler:
    """The abilities of an Optuna sampler; `platform.run.proposer` creates the sampler."""

    purpose: str
    numeric_only: bool = False
    """Whether all fields must be numeric ranges without conditions."""
    max_targets: int | None = None
    min_fields: int = 1
    knows_outcome_constraints: bool = True
    """Whether it avoids points that violate one, or chooses points without regard to results."""
    learns_from_others: bool = False
    """Whether it can be given the results of another sweep."""


SAMPLERS: Mapping[str, Sampler] = {
    "tpe": Sampler("tree-structured Parzen estimator: a good first choice", learns_from_others=True),
    "random": Sampler("independent draws: a baseline, and for coverage"),
    "grid": Sampler("every combination once; needs choices, integers or steps"),
    "cmaes": Sampler(
        "CMA-ES: many trials over numeric ranges",
        numeric_only=True,
        max_targets=1,
        min_fields=2,
        knows_outcome_constraints=False,
    ),
    "gp": Sampler("Gaussian process: few, expensive trials", learns_from_others=True),
    "qmc": Sampler("quasi-random (Sobol): more even than random draws", numeric_only=True),
    "nsga2": Sampler("genetic, for several targets"),
    "nsga3": Sampler("genetic, for four or more targets"),
}

AUTO = "auto"
"""Chooses one of `SAMPLERS` when the file is read: `auto_sampler`."""


def auto_sampler(*, targets: int, early_stopping: bool, conditional: bool) -> tuple[str, str]:
    """Return the sampler that `sampler: auto` stands for, and why. It does not depend on the number of points.

    A study can thus be extended: another number of points keeps its sampler.
    """
    if targets > 3:
        return "nsga3", "four or more targets"
    if targets > 1:
        return "tpe", "two or three targets"
    if early_stopping:
        return "tpe", "it learns from trials that were stopped early"
    if conditional:
        return "tpe", "it knows conditional fields"
    return "gp", "one target, no conditional field, no early stopping"
