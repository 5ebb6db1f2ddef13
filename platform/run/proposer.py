"""Proposes the values of the next trial: fixed points first, then a grid or an Optuna sampler with an in-memory study.

Proposals and their results are recorded in the store, and the Optuna study is rebuilt from them at every start. The
sampler is seeded for each point from the study's seed and the point's number. A study that was interrupted therefore
proposes the same points as one that was not.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from platform.errors import UserError
from platform.record.optuna_study import OptunaSuggester, distributions, in_memory, quiet, set_constraints, state_of
from platform.record.trial_log import PointResult
from platform.study.domains import sampled_values
from platform.study.earlier_results import EarlierPoint, EarlierResults, points_of
from platform.study.space import Point
from platform.study.study import Study
from trainables.identity import canonical, digest

TRIES = 1000
"""Draws for one point before the space counts as exhausted, or its points are listed if it is small enough."""
_GUIDED_TRIES = 20
"""After this many rejected draws for one point, the sampler falls back to random sampling."""

_SAMPLERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "grid": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "nsga3": lambda seed: optuna.samplers.NSGAIIISampler(seed=seed),
}
_REMEMBERING = ("cmaes", "nsga2", "nsga3", "qmc")
"""These samplers store their state in each trial, so they are restored only by asking them again."""


@dataclass(frozen=True)
class Proposal:
    """One point to try."""

    point: int
    values: Mapping[str, Any]
    """Swept field to value; conditional fields are absent if their condition does not hold."""


class Proposer:
    """Proposes points one by one. Call `tell` for a point when all of its repeats have finished."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._optuna = in_memory(study.targets)
        self._fixed = _fixed_points(study)
        self._trials: dict[int, Trial] = {}
        self._next = 0
        """All points below this number have been proposed."""
        self._accepted: set[str] = set()
        self._earlier: set[str] = set()
        """The points of the sweep that this one starts from."""
        self.exhausted: str | None = None
        """Why fewer points than requested are proposed; None while this is not the case."""
        if study.start_from is not None:
            self._learn(study.start_from)

    @quiet()
    def _learn(self, earlier: EarlierResults) -> None:
        """Give the sampler the results of an earlier sweep. Its points are not tried again."""
        for point in points_of(earlier):
            self._optuna.add_trial(_earlier_trial(self._study, point))
            self._earlier.add(canonical(point.values))

    @quiet()  # NSGA-III and QMC are experimental in Optuna
    def ask(self) -> Proposal | None:
        """Return the next point, or None if there is none.

        Raises:
            UserError: No draw for the first point satisfies the constraints.
        """
        while self._next in self._trials:
            self._next += 1
        point = self._next
        if point >= self._study.trials or self.exhausted is not None:
            return None
        values = self._draw(point)
        return None if values is None else Proposal(point, values)

    @quiet()
    def restore(self, point: int, values: Mapping[str, Any]) -> None:
        """Restore the next point, which was proposed as `values` before this process started."""
        if self._study.sampler in _REMEMBERING and canonical(self._draw(point)) == canonical(values):
            return
        self.exhausted = None  # the draw only replayed a past proposal
        self._optuna.sampler = optuna.samplers.RandomSampler()
        self._accept(point, *self._sample(values))

    @quiet()
    def tell(self, result: PointResult) -> None:
        """Report the result of a point to the sampler."""
        trial = self._trials[result.point]
        if len(self._study.targets) == 1:
            for step, value in result.intermediate.items():
                trial.report(value, step)
        set_constraints(trial, result.excesses)
        self._optuna.tell(trial, result.values if result.values else None, state_of(result))

    def _draw(self, point: int) -> dict[str, Any] | None:
        """Propose `point` and return its values, or None if no point is left; `exhausted` then has the reason."""
        seed = int(digest([self._study.seed, point], length=8), 16)
        fixed = self._fixed[point] if point < len(self._fixed) else {}
        self._optuna.sampler = _sampler(self._study, seed)
        violated = None
        repeated = False
        for attempt in range(TRIES):
            if attempt == _GUIDED_TRIES:
                self._optuna.sampler = optuna.samplers.RandomSampler(seed=seed)
            trial, values = self._sample(fixed)
            violated = self._study.space.violated(values)
            if violated is None and self._is_new(values, listed=bool(fixed)):
                return self._accept(point, trial, values)
            repeated = repeated or violated is None
            self._optuna.tell(trial, state=TrialState.FAIL)
        if self._study.space.is_listed:
            if left := self._untried():
                return self._accept(point, *self._sample(random.Random(seed).choice(left)))
            repeated = True
        unsatisfied = f"satisfies the constraints: of {TRIES} draws the last one violates {violated}"
        if not repeated and point == 0:
            raise UserError(f"no point {unsatisfied}")
        too_few = f"the space has only {point} different points"
        self.exhausted = too_few if repeated else f"no point beyond the first {point} {unsatisfied}"
        return None

    def _sample(self, fixed: Mapping[str, Any]) -> tuple[Trial, dict[str, Any]]:
        if fixed:
            self._optuna.enqueue_trial(sampled_values(fixed))
        trial = self._optuna.ask()
        return trial, self._study.space.suggest(OptunaSuggester(trial))

    def _untried(self) -> list[Point]:
        return [point for point in self._study.space.grid() if self._is_new(point, listed=False)]

    def _is_new(self, values: Point, *, listed: bool) -> bool:
        """Return whether `values` were not tried yet. A point that the file lists may be one of an earlier sweep."""
        key = canonical(values)
        return key not in self._accepted and (listed or key not in self._earlier)

    def _accept(self, point: int, trial: Trial, values: dict[str, Any]) -> dict[str, Any]:
        self._trials[point] = trial
        self._accepted.add(canonical(values))
        return values


def _earlier_trial(study: Study, point: EarlierPoint) -> FrozenTrial:
    trial = create_trial(
        params=sampled_values(point.values),
        distributions=distributions(study.space.domains, point.values),
        values=point.targets,
    )
    set_constraints(trial, point.excesses)
    return trial


def _sampler(study: Study, seed: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one point. All points of a quasi-random sequence have its seed."""
    if study.sampler != "qmc":
        return _SAMPLERS[study.sampler](seed)
    independent = optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.QMCSampler(seed=study.seed, scramble=True, independent_sampler=independent)


def _fixed_points(study: Study) -> Sequence[Mapping[str, Any]]:
    """Return the points that no sampler chooses: the grid, which starts with the points to try first, or only these."""
    return study.space.grid() if study.sampler == "grid" else study.space.points
