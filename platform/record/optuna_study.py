"""Helpers for Optuna that the proposer, the journal and the figures share: states, directions, in-memory studies."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from platform.record.trial_log import PointResult
from platform.study.domains import AnyDomain, Value, sampled_value
from trainables.metrics.metric import Metric

STATES = {"COMPLETED": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}


class OptunaSuggester:
    """Draws the values of a search space from an Optuna trial."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def choice(self, name: str, options: tuple[Value, ...]) -> Value:
        """Return one of `options`."""
        value = self._trial.suggest_categorical(name, tuple(map(sampled_value, options)))
        # Only of texts: `true` and `1` are one key.
        return {sampled_value(option): option for option in options}[value] if isinstance(value, str) else value

    def uniform(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        """Return a number in [low, high], a multiple of `step` above `low` if one is given."""
        return self._trial.suggest_float(name, low, high, log=log, step=step)

    def integer(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        """Return an integer in [low, high]."""
        return self._trial.suggest_int(name, low, high, log=log, step=step)


def in_memory(targets: Sequence[Metric]) -> optuna.Study:
    """Return an empty Optuna study with the goals of `targets`."""
    with quiet():
        return optuna.create_study(directions=directions(targets))


def state_of(result: PointResult) -> TrialState:
    """Return Optuna's state of a finished point. Completed ones without values, which it does not know, are failed."""
    has_none = result.outcome == "COMPLETED" and not result.values
    return TrialState.FAIL if has_none else STATES[result.outcome]


def directions(targets: Sequence[Metric]) -> list[optuna.study.StudyDirection]:
    """Return Optuna's directions for the goals of `targets`."""
    minimize, maximize = optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE
    return [minimize if target.goal == "min" else maximize for target in targets]


def set_constraints(trial: Trial | FrozenTrial, excesses: Mapping[str, float]) -> None:
    """Tell Optuna by how much a completed trial exceeds the bound of each metric; 0 or less satisfies it."""
    if not excesses:
        return
    with quiet():  # experimental in Optuna
        for name, excess in excesses.items():
            trial.set_constraint(name, excess)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's logs and warnings: they concern the calls in this code, not the user's study."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def distributions(domains: Mapping[str, AnyDomain], values: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution for the domain of each field in `values`, as of `sampled_values`."""
    suggester = _KnownValues(values)
    for name, domain in domains.items():
        if name in values:
            domain.suggest(name, suggester)
    return suggester.distributions


class _KnownValues:
    """Returns known values to a space, and collects the Optuna distribution of each field."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.distributions: dict[str, BaseDistribution] = {}

    def choice(self, name: str, options: tuple[Value, ...]) -> Value:
        value: Value = self._note(name, CategoricalDistribution(tuple(map(sampled_value, options))))
        return value

    def uniform(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        return float(self._note(name, FloatDistribution(low, high, log=log, step=step)))

    def integer(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        return int(self._note(name, IntDistribution(low, high, log=log, step=step)))

    def _note(self, name: str, distribution: BaseDistribution) -> Any:
        self.distributions[name] = distribution
        return self._values[name]
