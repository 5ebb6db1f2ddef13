"""Repeats stage runs into a separate store and compares each with its record."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from platform.reproduction.comparing import Tolerance, compare_runs
from platform.reproduction.restoring import threads_of
from storage.base import Store
from storage.cache import Cache
from storage.runs import Artifacts, Manifest, RunStore
from trainables.config.trial import TrialConfig
from trainables.context import EpochReport, silent
from trainables.execute import execute
from trainables.graph import StageRun

RepeatVerdict = Literal["bit-equal", "within tolerance", "differs", "failed", "skipped", "not recorded"]
REPRODUCED: tuple[RepeatVerdict, ...] = ("bit-equal", "within tolerance")


@dataclass(frozen=True)
class RepeatOutcome:
    """The result of repeating one stage run."""

    stage: str
    identity: str
    verdict: RepeatVerdict
    text: str
    seconds: float = 0.0
    recorded_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class RepetitionStores:
    """The stores of the records and of the repetition."""

    recorded: Store
    """The store with the records; only read."""
    repeated: Store
    """The store of the repetition; empty at first."""
    scratch: Path


class Repetition:
    """Repeats stage runs in this process, each identity once even if several trials share it."""

    def __init__(self, stores: RepetitionStores, tolerance: Tolerance, *, from_inputs: bool = False) -> None:
        """With `from_inputs`, each run reads the recorded inputs, so a difference does not affect later stages.

        Otherwise inputs are repeated, too, and runs whose inputs differ are skipped.
        """
        self._stores, self._tolerance, self._from_inputs = stores, tolerance, from_inputs
        cache = stores.scratch / "cache"
        self._repeated = RunStore(stores.repeated, cache=cache)
        inputs = RunStore(stores.recorded, cache=cache) if from_inputs else self._repeated
        self._runs = _OnInputs(stores.repeated, cache=cache, inputs=inputs)
        self._outcomes: dict[str, RepeatOutcome] = {}

    def repeat(
        self, run: StageRun, config: TrialConfig, recorded: Manifest | None, *, report: EpochReport = silent
    ) -> RepeatOutcome:
        """Return the outcome of `run`. Its inputs must be repeated before, unless recorded inputs are read."""
        if run.identity not in self._outcomes:
            self._outcomes[run.identity] = self._execute(run, config, recorded, report)
        return self._outcomes[run.identity]

    def _execute(
        self, run: StageRun, config: TrialConfig, recorded: Manifest | None, report: EpochReport
    ) -> RepeatOutcome:
        unusable = (
            [] if self._from_inputs else [name for name, identity in run.inputs.items() if self._is_unusable(identity)]
        )
        if unusable:
            return RepeatOutcome(run.stage, run.identity, "skipped", f"it reads {', '.join(unusable)}")
        try:
            with _environment(_circumstances(recorded)):
                manifest = execute(run, config, runs=self._runs, scratch=self._stores.scratch, report=report)
        except Exception as error:  # any error of a stage is an outcome
            return RepeatOutcome(run.stage, run.identity, "failed", f"{type(error).__name__}: {error}")
        if recorded is None:
            return RepeatOutcome(
                run.stage, run.identity, "not recorded", "there is nothing to compare with", manifest.seconds
            )
        then = Artifacts(self._stores.recorded, recorded, cache=Cache(self._stores.scratch / "cache"))
        comparison = compare_runs(then, self._repeated.open(run.identity), self._tolerance)
        return RepeatOutcome(
            run.stage, run.identity, comparison.verdict, comparison.text, manifest.seconds, recorded.seconds
        )

    def _is_unusable(self, identity: str) -> bool:
        return identity in self._outcomes and self._outcomes[identity].verdict in ("differs", "failed", "skipped")


class _OnInputs(RunStore):
    """Writes stage runs to one store and reads inputs from another."""

    def __init__(self, store: Store, *, cache: Path, inputs: RunStore) -> None:
        super().__init__(store, cache=cache)
        self._inputs = inputs

    def open(self, identity: str) -> Artifacts:
        """Return an input's artifacts."""
        return self._inputs.open(identity)


def _circumstances(recorded: Manifest | None) -> dict[str, str]:
    """Return environment variables: the number of threads, on which rounding depends, and no GPU for a CPU run."""
    threads = {"OMP_NUM_THREADS": str(threads_of(recorded))}
    on_cpu = recorded is not None and recorded.info.get("device") == "cpu"
    return {**threads, "CUDA_VISIBLE_DEVICES": ""} if on_cpu else threads


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
