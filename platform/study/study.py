"""A study: what is searched, for which targets, by which sampler and scheduler, and the trials it is made of."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from platform.study.domains import values_in_words
from platform.study.registration import Amendment
from platform.study.space import Point, Space
from platform.study.swept_stages import varying_stages
from storage.base import Store
from trainables.config.base import Config, Count
from trainables.config.trial import TrialConfig, flatten
from trainables.graph import Memory, StageRun, stage_runs
from trainables.identity import digest, identity_fields
from trainables.metrics.registry import Metric
from trainables.spec import TrialSpec


class FifoOptions(Config):
    """Every trial runs to its end."""


class AshaOptions(Config):
    """Asynchronous successive halving: at each rung only the best go on."""

    grace_epochs: Count = 1
    """Epochs of the first target's stage before a trial may be stopped; the first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """r: at each rung the best 1/r of the trials continue, for r times the epochs."""


class MedianOptions(Config):
    """A trial stops when its running mean is worse than the median of the others at the same epoch."""

    grace_epochs: Count = 1
    """Epochs of the first target's stage before a trial may be stopped."""
    min_trials: Count = 3
    """Trials that must have reached an epoch before any is stopped there."""


SchedulerOptions = FifoOptions | AshaOptions | MedianOptions

SCHEDULERS: Mapping[str, type[SchedulerOptions]] = {"fifo": FifoOptions, "asha": AshaOptions, "median": MedianOptions}

REFUSED_SCHEDULERS: Mapping[str, str] = {
    "pbt": (
        "population-based training changes a config while its network trains, so what comes out belongs to no one "
        "config; here a stage run is a pure function of its config, cached and compared as such"
    )
}


@dataclass(frozen=True)
class Sampler:
    """What an Optuna sampler can do; `platform.run.proposer` builds it."""

    purpose: str
    numeric_only: bool = False
    """Whether all fields must be numeric ranges, always active."""
    max_targets: int | None = None


SAMPLERS: Mapping[str, Sampler] = {
    "tpe": Sampler("tree-structured Parzen estimator: a good first choice"),
    "random": Sampler("independent draws: a baseline, and for coverage"),
    "grid": Sampler("every combination once; needs choices, integers or steps"),
    "cmaes": Sampler("CMA-ES: many trials over numeric ranges", numeric_only=True, max_targets=1),
    "gp": Sampler("Gaussian process: few, expensive trials"),
    "nsga2": Sampler("genetic, for several targets"),
}


@dataclass(frozen=True)
class SchedulerConfig:
    """Which scheduler stops trials early, and how."""

    name: str
    options: SchedulerOptions

    def to_json(self) -> dict[str, Any]:
        """Return the name and all options as one JSON object."""
        return {"name": self.name, **self.options.model_dump(mode="json")}


MAX_KNOWN_TRIALS = 10_000
"""Trials of a grid whose stage runs are told apart one by one; of larger grids the rest is counted as distinct."""


@dataclass(frozen=True)
class Listing:
    """A table in words."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Study:
    """A search space with everything that decides which trials are run; made by `study_file.load_study`."""

    verb: ClassVar[str] = "sweep"
    """The verb that runs it."""
    has_optuna_journal: ClassVar[bool] = True
    """Whether an Optuna study is kept of it, since its results decide what is tried next."""
    has_best: ClassVar[bool] = True
    """Whether one of its points is chosen as the best."""
    has_report: ClassVar[bool] = False
    """Whether `platform.report` reports on it."""

    name: str
    """The file's stem."""
    space: Space
    targets: tuple[Metric, ...]
    sampler: str
    scheduler: SchedulerConfig
    trials: int
    """Number of points; each is run once for every repeat."""
    repeats: int
    seed: int
    source: str
    """The YAML text."""
    path: str
    settings: tuple[str, ...] = ()
    """What the command line changed in it, as `key=value`."""
    attempt: int = 1
    """Raised by `--new-attempt`: the same definition, run once more."""
    notes: tuple[str, ...] = ()
    """What there is to say about its file that is no mistake, such as equal conditions."""
    amendments: tuple[Amendment, ...] = ()
    """Seeds that were added after an ablation was registered."""

    @cached_property
    def id(self) -> str:
        """Name and definition: the same file continues its study, a changed one is another study."""
        suffix = "" if self.attempt == 1 else f".{self.attempt}"
        return f"{self.name}-{digest(self.definition, length=8)}{suffix}"

    def continued(self, store: Store) -> Self | None:
        """Return this attempt as `store` has it; None if another definition is stored under its id."""
        return self  # the id holds the hash of the definition

    @property
    def base(self) -> Mapping[str, Any]:
        """Dotted overrides that hold for every trial."""
        return self.space.base

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that report the targets."""
        return tuple(dict.fromkeys(metric.stage for metric in self.targets))

    @cached_property
    def definition(self) -> dict[str, Any]:
        """What the id is made of. The number of trials is not part of it: a study may be prolonged.

        `baseline` holds the identities of the targets' stages under `base`, so that other defaults, stage versions or
        data make another study.
        """
        config = self.space.config({})
        decisive = flatten(identity_fields(config))
        runs = {run.stage: run.identity for run in self.runs(config, seed=self.seed)}
        return {
            "base": {name: value for name, value in decisive.items() if name in self.base},
            "space": {
                name: domain.model_dump(mode="json", by_alias=True, exclude_defaults=True)
                for name, domain in sorted(self.space.domains.items())
            },
            "constraints": [constraint.text for constraint in self.space.constraints],
            "points": [dict(point) for point in self.space.points],
            "targets": [metric.name for metric in self.targets],
            "sampler": self.sampler,
            "scheduler": self.scheduler.to_json(),
            "seed": self.seed,
            "repeats": self.repeats,
            "baseline": {stage: runs[stage] for stage in self.stages},
        }

    @property
    def trial_count(self) -> int:
        """Points times repeats."""
        return self.trials * self.repeats

    def seeds(self) -> tuple[int, ...]:
        """Return the training seed of each repeat. Equal for all points, so that repeats are paired."""
        return tuple(range(self.seed, self.seed + self.repeats))

    def training_seed(self, repeat: int, values: Point) -> int:
        """Return the seed of one trial."""
        return self.seeds()[repeat]

    @cached_property
    def _memory(self) -> Memory:
        return {}

    def runs(self, config: TrialConfig, *, seed: int) -> tuple[StageRun, ...]:
        """Return the stage runs that the targets need under `config`, inputs first.

        Outside content (a folder's files, weights) counts as it was when the study first looked: its trials are about
        the same data, whatever happens to the files while it runs.
        """
        return stage_runs(config, seed=seed, targets=self.stages, memory=self._memory)

    def shared_runs(self) -> tuple[StageRun, ...]:
        """Return the stage runs that no swept field changes, one for each seed where it matters, inputs first."""
        config = self.space.config({})
        private = varying_stages(self.space.fields, self.stages)
        runs: dict[str, StageRun] = {}
        for seed in self.seeds():
            for run in self.runs(config, seed=seed):
                if run.stage not in private:
                    runs.setdefault(run.identity, run)
        return tuple(runs.values())

    def own_stages(self) -> tuple[str, ...]:
        """Return the stages of which trials do runs themselves, inputs first; all other runs are shared ones."""
        return varying_stages(self.space.fields, self.stages)

    def known_trials(self, *, skip: Container[int] = ()) -> Iterator[tuple[int, TrialSpec]]:
        """Yield the trials that are known before results are, each with its point, but for the points in `skip`.

        Of a large grid these are the first ones only.
        """
        points = self.space.grid() if self.sampler == "grid" else self.space.points
        for point, values in enumerate(points[: min(self.trials, MAX_KNOWN_TRIALS // self.repeats)]):
            if point not in skip:
                for repeat in range(self.repeats):
                    yield point, self.spec(point, repeat, values)

    def known_configs(self) -> Iterable[Mapping[str, Any]]:
        """Return configs, as JSON, that stand for all trials in what they need of a cluster: no need can be swept."""
        return [self.space.config({}).model_dump(mode="json")]

    def config_of(self, run: StageRun) -> TrialConfig:
        """Return the config under which to execute `run`, one of `shared_runs`."""
        return self.space.config({})

    def is_needed_by_all(self, run: StageRun) -> bool:
        """Tell whether the study is void if `run`, one of `shared_runs`, fails."""
        return True

    def labels(self, repeat: int, values: Point) -> dict[str, str]:
        """Return what every view shows beside a trial's values, so that trials can be grouped by it."""
        return {}

    @property
    def report_figures(self) -> tuple[str, ...]:
        """Figures that its report has beside the usual ones."""
        return ()

    @property
    def tags(self) -> dict[str, str]:
        """What stands on the study's own page in MLflow before its first trial."""
        return {}

    def summary(self, results: Iterable[tuple[Point, Mapping[str, float]]]) -> dict[str, float]:
        """Return numbers for the study's own page, from the values and metrics of its completed trials."""
        return {}

    def trial_name(self, point: int, repeat: int) -> str:
        """Return `t0007`, or `t0007-s1` where points are repeated."""
        return f"t{point:04d}" if self.repeats == 1 else f"t{point:04d}-s{repeat}"

    def spec(self, point: int, repeat: int, values: Point) -> TrialSpec:
        """Return the trial that runs `values`, the `point`-th of the study, with the seed of the `repeat`-th repeat.

        Raises:
            pydantic.ValidationError: The values make no config (`space.violated` tells beforehand).
        """
        config = self.space.config(values)
        seed = self.training_seed(repeat, values)
        return TrialSpec(
            study=self.id,
            trial=self.trial_name(point, repeat),
            config=config.model_dump(mode="json"),
            seed=seed,
            runs=self.runs(config, seed=seed),
            targets=tuple(metric.name for metric in self.targets),
        )

    def headline(self) -> dict[str, str]:
        """Return what a plan says of the study first: names of lines to texts; the last one counts the trials."""
        options = [f"{key} {value}" for key, value in self.scheduler.to_json().items() if key != "name"]
        repeats = "" if self.repeats == 1 else f", each with {self.repeats} seeds: {self.trial_count} trials"
        return {
            "target": ", ".join(f"{metric.name} ({metric.goal})" for metric in self.targets),
            "sampler": f"{self.sampler} ({SAMPLERS[self.sampler].purpose})",
            "scheduler": " ".join((self.scheduler.name, *(f"({text})" for text in [", ".join(options)] if options))),
            "points": f"{self.trials}{repeats}",
        }

    def listing(self) -> Listing:
        """Return what differs between trials: the swept fields with their values."""
        domains = self.space.domains
        conditional = any(domain.when for domain in domains.values())
        rows = []
        for field, domain in domains.items():
            condition = ", ".join(f"{other} in {list(allowed)}" for other, allowed in domain.when.items())
            rows.append((field, values_in_words(domain), *((condition,) if conditional else ())))
        return Listing(("swept field", "values", *(("only when",) if conditional else ())), tuple(rows))

    def max_epochs(self) -> int:
        """Return the most epochs that the first target's stage can train for, over the whole space."""
        section = self.targets[0].stage
        name = "noop.epochs" if section == "noop" else f"{section}.train.epochs"
        fixed = flatten(self.space.config({}).model_dump())[name]
        domain = self.space.domains.get(name)
        return int(fixed if domain is None else max(fixed, *domain.bounds()))
