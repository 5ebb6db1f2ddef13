"""A study: search space, targets, sampler, scheduler, and the trials that follow from them."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from platform.study.domains import in_words, values_in_words
from platform.study.earlier_results import EarlierResults
from platform.study.outcome_constraints import OutcomeConstraint
from platform.study.registration import Amendment
from platform.study.samplers import SAMPLERS
from platform.study.schedulers import SchedulerConfig, StopOptions
from platform.study.space import Point, Space
from platform.study.swept_stages import possible_stages, swept_systems, varying_stages
from platform.study.yielded import why_none_of_still
from storage.base import Store
from trainables.config.trial import TrialConfig, flatten
from trainables.graph import Memory, StageRun, stage_runs
from trainables.identity import digest, identity_fields
from trainables.metrics.metric import Metric
from trainables.plugins.active import NO_PLUGINS, Plugins
from trainables.spec import TrialSpec

MAX_KNOWN_TRIALS = 10_000
"""Trials of a grid whose distinct stage runs are counted exactly; each further trial counts as distinct."""


@dataclass(frozen=True)
class Listing:
    """A table of texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Study:
    """A search space, and all settings that determine its trials. Use `sweep_file.load_study` to create it."""

    verb: ClassVar[str] = "sweep"
    """The verb of the command line that runs it."""
    has_optuna_journal: ClassVar[bool] = True
    """Whether its points are written to an Optuna study, because a sampler uses their results."""
    has_best: ClassVar[bool] = True
    """Whether one of its points is selected as the best."""

    name: str
    """The file's stem."""
    space: Space
    targets: tuple[Metric, ...]
    sampler: str
    scheduler: SchedulerConfig
    trials: int
    """Number of points; each point is run once per repeat."""
    repeats: int
    seed: int
    source: str
    """The YAML text."""
    path: str
    settings: tuple[str, ...] = ()
    """Settings of the command line, as `key=value`."""
    attempt: int = 1
    """Increased by `--new-attempt`: the same definition is run again."""
    notes: tuple[str, ...] = ()
    """Notes on its file that are not errors, such as equal conditions."""
    stop: StopOptions | None = None
    """When it ends before all points are tried. Not part of the definition, as the number of points."""
    amendments: tuple[Amendment, ...] = ()
    """Seeds that were added after an ablation was registered."""
    outcome_constraints: tuple[OutcomeConstraint, ...] = ()
    """Metrics that must stay within a bound."""
    start_from: EarlierResults | None = None
    """The earlier sweep whose results the sampler is given."""
    plugins: Plugins = NO_PLUGINS
    """They must be active (`plugins.active()`) where configs, stage runs, trials or the id of the study are used."""

    @cached_property
    def id(self) -> str:
        """Name and hash of the definition: the same file continues its study, a changed file is another study."""
        suffix = "" if self.attempt == 1 else f".{self.attempt}"
        return f"{self.name}-{digest(self.definition, length=8)}{suffix}"

    def continued(self, store: Store) -> Self | None:
        """Return this attempt as it is in `store`; None if another definition is stored under its id."""
        return self  # the id holds the hash of the definition

    @property
    def base(self) -> Mapping[str, Any]:
        """Dotted overrides for all trials."""
        return self.space.base

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that report the targets."""
        return tuple(dict.fromkeys(metric.stage for metric in self.targets))

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems whose videos its trials make."""
        return swept_systems(self.space.domains, self.space.config({}))

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The definition, whose hash is part of the id. It excludes the number of trials: a study can be extended.

        `baseline` has the identities of the targets' stages under `base`, so that a change of defaults, stage versions
        or data gives another study.
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
            **self._later_keys,
            **self.plugin_digests,
        }

    @property
    def _later_keys(self) -> dict[str, Any]:
        """The parts of the definition that are left out where they are not set: ids of older studies do not change."""
        bounds = {each.metric.name: each.to_json() for each in self.outcome_constraints}
        return {
            **({"outcome_constraints": bounds} if bounds else {}),
            **({} if self.start_from is None else {"start_from": self.start_from.study}),
        }

    @property
    def plugin_digests(self) -> dict[str, Any]:
        """The part of the definition that names the plug-ins by SHA-256; empty if there are none."""
        return {"plugins": dict(self.plugins.digests)} if self.plugins.sources else {}

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

    def config(self, repeat: int, values: Point) -> TrialConfig:
        """Return the config of one trial."""
        return self.space.config(values)

    @cached_property
    def _memory(self) -> Memory:
        return {}

    def runs(self, config: TrialConfig, *, seed: int) -> tuple[StageRun, ...]:
        """Return the stage runs that the targets need under `config`, inputs first.

        External content (data files, weights) is read once per study: all trials use the same identities, even if the
        files change while the study runs.
        """
        return stage_runs(config, seed=seed, targets=self.stages, memory=self._memory)

    def shared_runs(self) -> tuple[StageRun, ...]:
        """Return the stage runs that no swept field changes, one per seed for seeded stages, inputs first."""
        config = self.space.config({})
        private = self.own_stages()
        runs: dict[str, StageRun] = {}
        for seed in self.seeds():
            for run in self.runs(config, seed=seed):
                if run.stage not in private:
                    runs.setdefault(run.identity, run)
        return tuple(runs.values())

    def own_stages(self) -> tuple[str, ...]:
        """Return the stages that trials run themselves, inputs first; the runs of all other stages are shared."""
        return varying_stages(self.space.fields, self.stages, systems=self.systems, possible=self.possible_stages)

    @cached_property
    def possible_stages(self) -> tuple[str, ...]:
        """The stages that a trial may need, inputs first."""
        return possible_stages(self.space.fields, self.space.config({}), self.stages, systems=self.systems)

    def known_trials(self, *, skip: Container[int] = ()) -> Iterator[tuple[int, TrialSpec]]:
        """Yield the trials that are known before there are results, each with its point, except the points in `skip`.

        Of a large grid, only the first trials are known.
        """
        points = self.space.grid() if self.sampler == "grid" else self.space.points
        for point, values in enumerate(points[: min(self.trials, MAX_KNOWN_TRIALS // self.repeats)]):
            if point not in skip:
                for repeat in range(self.repeats):
                    yield point, self.spec(point, repeat, values)

    def known_configs(self) -> Iterable[Mapping[str, Any]]:
        """Return configs (as JSON) that represent the resources of all trials. Resources cannot be swept."""
        config = self.space.config({}).model_dump(mode="json")
        return [{**config, "system": system} for system in self.systems]

    def data_configs(self) -> Mapping[str, TrialConfig]:
        """Return a config of each of its data sets, by name; without a name, of its only one."""
        return {"": self.space.config({})}

    def config_of(self, run: StageRun) -> TrialConfig:
        """Return the config under which to execute `run`, one of `shared_runs`."""
        return self.space.config({})

    def is_needed_by_all(self, run: StageRun) -> bool:
        """Return whether all trials need `run`, one of `shared_runs`, so that the study ends if it fails."""
        return True

    def labels(self, repeat: int, values: Point) -> dict[str, str]:
        """Return labels by which views can group trials, in addition to the trial's values."""
        return {}

    @property
    def report_figures(self) -> tuple[str, ...]:
        """Additional figures in the report."""
        return ()

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the study's own run in MLflow, set before its first trial."""
        return {}

    def summary(self, results: Iterable[tuple[Point, Mapping[str, float]]]) -> dict[str, float]:
        """Return metrics for the study's own run in MLflow, from the values and metrics of its completed trials."""
        return {}

    def trial_name(self, point: int, repeat: int) -> str:
        """Return `t0007`, or `t0007-s1` if points are repeated."""
        return f"t{point:04d}" if self.repeats == 1 else f"t{point:04d}-s{repeat}"

    def spec(self, point: int, repeat: int, values: Point) -> TrialSpec:
        """Return the trial that runs `values`, the `point`-th of the study, with the seed of the `repeat`-th repeat.

        Raises:
            pydantic.ValidationError: The values are not a valid config; check them with `space.violated` before.
        """
        config = self.config(repeat, values)
        seed = self.training_seed(repeat, values)
        return TrialSpec(
            study=self.id,
            trial=self.trial_name(point, repeat),
            config=config.model_dump(mode="json"),
            seed=seed,
            runs=self.runs(config, seed=seed),
            targets=tuple(metric.name for metric in self.targets if why_none_of_still(metric, config) is None),
        )

    def headline(self) -> dict[str, str]:
        """Return the first lines of a plan: name of a line to its text. The last line has the number of trials."""
        options = [f"{key} {value}" for key, value in self.scheduler.to_json().items() if key != "name"]
        repeats = "" if self.repeats == 1 else f", each with {self.repeats} seeds: {self.trial_count} trials"
        return {
            "target": ", ".join(f"{metric.name} ({metric.goal})" for metric in self.targets),
            "sampler": f"{self.sampler} ({SAMPLERS[self.sampler].purpose})",
            "scheduler": " ".join((self.scheduler.name, *(f"({text})" for text in [", ".join(options)] if options))),
            "points": f"{self.trials}{repeats}",
            **({} if self.stop is None else {"stop": self._stop_text(self.stop)}),
            **({"must hold": self._bounds_text} if self.outcome_constraints else {}),
            **({} if self.start_from is None else {"start from": self.start_from.text}),
        }

    @property
    def _bounds_text(self) -> str:
        return ", ".join(each.text for each in self.outcome_constraints)

    @staticmethod
    def _stop_text(stop: StopOptions) -> str:
        texts = {"hours": "after {:g} hours", "target": "at {:g}", "no_better_in": "without a better point in {:g}"}
        return " or ".join(texts[name].format(value) for name, value in stop.model_dump(exclude_none=True).items())

    def listing(self) -> Listing:
        """Return a table of the swept fields with their values."""
        domains = self.space.domains
        conditional = any(domain.when for domain in domains.values())
        rows = []
        for field, domain in domains.items():
            condition = ", ".join(f"{other} in {in_words(allowed)}" for other, allowed in domain.when.items())
            rows.append((field, values_in_words(domain), *((condition,) if conditional else ())))
        return Listing(("swept field", "values", *(("only when",) if conditional else ())), tuple(rows))

    def max_epochs(self) -> int | None:
        """Return the largest number of epochs of the first target's stage in the space; None if it has no epochs."""
        section = self.targets[0].stage
        name = "noop.epochs" if section == "noop" else f"{section}.train.epochs"
        fixed = flatten(self.space.config({}).model_dump()).get(name)
        if fixed is None:
            return None
        domain = self.space.domains.get(name)
        return int(fixed if domain is None else max(fixed, *domain.bounds()))
