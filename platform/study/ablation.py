"""An ablation as a study: points are pairs of condition and subject, repeats are seeds. All trials are known at start.

A stage run that several trials need is executed once, before them, as a separate task. Each trial then runs its other
stages. Conditions and seeds share stage runs by identity: removing a decoder at reconstruction retrains nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, ClassVar, Self

from platform.study.design import BASELINE, Design, block_name, trial_name
from platform.study.domains import Choice
from platform.study.file_name import study_name
from platform.study.registration import frozen, registered, seeds_of
from platform.study.schedulers import FifoOptions, SchedulerConfig
from platform.study.search_origin import SearchOrigin
from platform.study.space import Point, Space
from platform.study.study import Listing, Study
from platform.study.varied import config_of_block, varied_in_words
from storage.base import Store
from storage.studies import load_definition
from trainables.config.trial import TrialConfig, config_from_json, resolve
from trainables.graph import StageRun, ancestors
from trainables.metrics.metric import Metric
from trainables.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class ConditionSpace(Space):
    """Data set, condition and subject as swept fields, so that every view shows them. The design has their overrides.

    Without several data sets there is no field `dataset`.
    """

    design: Design

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return the full config of a point; by default of the baseline and the first data set and subject."""
        part = self._part(values)
        return resolve(part.overrides(values.get("condition", BASELINE), values.get("subject", part.subjects[0])))

    def violated(self, values: Mapping[str, Any]) -> str | None:
        """Return that the data set lacks the subject, or None: every condition was resolved when the file was read."""
        subject, dataset = values.get("subject"), values.get("dataset")
        lacks = subject is not None and subject not in self._part(values).subjects
        return f"{dataset} has no subject {subject}" if lacks else None

    def _part(self, values: Mapping[str, Any]) -> Design:
        return self.design.parts[values.get("dataset", next(iter(self.design.parts)))]


@dataclass(frozen=True, kw_only=True)
class AblationStudy(Study):
    """A study whose trials follow from a `Design`. Use `ablation_study` to create it."""

    verb: ClassVar[str] = "ablate"
    has_optuna_journal: ClassVar[bool] = False
    has_best: ClassVar[bool] = False
    """An ablation compares conditions. It does not select one by its test clips."""
    design: Design
    search: SearchOrigin | None = None
    """The sweep that chose the conditions."""

    @cached_property
    def id(self) -> str:
        """The file's stem, with `.2` and so on for forks. A changed design does not change the id: it is refused."""
        return self.name if self.attempt == 1 else f"{self.name}.{self.attempt}"

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The definition that is registered before the first trial. Seeds that are added later are amendments."""
        common = {"targets": [metric.name for metric in self.targets], "seed": self.seed, "repeats": self.design.seeds}
        baseline = {
            f"{name}.{run.stage}".removeprefix("."): run.identity
            for name, values in self._data_sets.items()
            for run in self.runs(self.config(0, values), seed=self.design.seed)
        }
        search = {} if self.search is None else {"search": self.search.model_dump(mode="json")}
        return {**common, **frozen(self.design, baseline, {**self.plugin_digests, **search})}

    def continued(self, store: Store) -> Self | None:
        """Return this attempt as `store` has it, amendments included; None if another design is registered."""
        if load_definition(store, self.id)["definition"].get("sha256") != self.definition["sha256"]:
            return None
        registration, amendments = registered(store, self.id)
        return replace(self, amendments=amendments, repeats=seeds_of(registration.design, amendments))

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems whose videos its trials make."""
        return tuple(dict.fromkeys(str(config["system"]) for config in self.known_configs()))

    @property
    def report_figures(self) -> tuple[str, ...]:
        """Additional figures in the report."""
        return self.design.figures

    @property
    def tags(self) -> dict[str, str]:
        """The hash of the registration, and the amendments."""
        amended = {"amendments": "; ".join(amendment.text for amendment in self.amendments)} if self.amendments else {}
        return {"registration.sha256": self.definition["sha256"], **amended}

    @cached_property
    def points(self) -> Sequence[Point]:
        """Data set (if there are several), condition and subject of every point, in order."""
        return self.space.grid()

    @cached_property
    def specs(self) -> tuple[TrialSpec, ...]:
        """All trials."""
        return tuple(
            self.spec(point, repeat, values)
            for point, values in enumerate(self.points)
            for repeat in range(self.repeats)
        )

    @cached_property
    def uses(self) -> Counter[str]:
        """Identity of every stage run to the number of trials that need it."""
        return Counter(run.identity for spec in self.specs for run in spec.runs)

    def trial_name(self, point: int, repeat: int) -> str:
        """Return `<condition>-u<subject>-s<seed>`, with several data sets `<condition>-<data set>-u...`."""
        values = self.points[point]
        return trial_name(str(values["condition"]), *self._block(repeat, values))

    def _block(self, repeat: int, values: Point) -> tuple[int, int, str]:
        return int(str(values["subject"])), self.seeds()[repeat], str(values.get("dataset", ""))

    def training_seed(self, repeat: int, values: Point) -> int:
        """Return the seed of the block plus the seed offset of the condition."""
        return self.seeds()[repeat] + self.design.seed_offset(str(values["condition"]))

    def config(self, repeat: int, values: Point) -> TrialConfig:
        """Return the config of one trial: if the design varies the data, with those of the block."""
        config = self.space.config(values)
        return config_of_block(config, self.seeds()[repeat]) if self.design.varies_data else config

    def labels(self, repeat: int, values: Point) -> dict[str, str]:
        """Return condition, subject, seed of the block, and block. Trials are paired and grouped by them.

        With several data sets also the data set, which the name of a block has, too.
        """
        subject, seed, dataset = self._block(repeat, values)
        of_block = {"subject": str(subject), "seed": str(seed), "block": block_name(subject, seed, dataset)}
        return {"condition": str(values["condition"]), **of_block, **({"dataset": dataset} if dataset else {})}

    def shared_runs(self) -> tuple[StageRun, ...]:
        """Return the stage runs that several trials need, inputs first."""
        return tuple(self._shared)

    def own_stages(self) -> tuple[str, ...]:
        """Return the stages with runs that only one trial needs, inputs first."""
        unshared = {run.stage for spec in self.specs for run in spec.runs if self.uses[run.identity] == 1}
        return tuple(stage for stage in ancestors(self.stages, systems=self.systems) if stage in unshared)

    @cached_property
    def possible_stages(self) -> tuple[str, ...]:
        """The stages that a trial needs, inputs first."""
        needed = {run.stage for spec in self.specs for run in spec.runs}
        return tuple(stage for stage in ancestors(self.stages, systems=self.systems) if stage in needed)

    def known_trials(self, *, skip: Container[int] = ()) -> Iterator[tuple[int, TrialSpec]]:
        """Yield all trials, each with its point, except the points in `skip`."""
        for index, spec in enumerate(self.specs):
            if index // self.repeats not in skip:
                yield index // self.repeats, spec

    def known_configs(self) -> Iterable[Mapping[str, Any]]:
        """Return the config of every condition and subject, as JSON."""
        return [spec.config for spec in self.specs[:: self.repeats]]

    def data_configs(self) -> Mapping[str, TrialConfig]:
        """Return the baseline's config in each of its data sets, by name; without a name, in its only one."""
        return {name: self.space.config(values) for name, values in self._data_sets.items()}

    def config_of(self, run: StageRun) -> TrialConfig:
        """Return the config of a trial that needs `run`."""
        return config_from_json(self._configs[run.identity])

    def is_needed_by_all(self, run: StageRun) -> bool:
        """Return whether every trial needs `run`."""
        return self.uses[run.identity] == len(self.specs)

    def summary(self, results: Iterable[tuple[Point, Mapping[str, float]]]) -> dict[str, float]:
        """Return the mean of each primary metric in each condition of each data set, never of several data sets.

        Differences, which are paired, are the report's.
        """
        by_condition: dict[str, list[float]] = defaultdict(list)
        for values, metrics in results:
            name = ".".join(str(values[field]) for field in ("dataset", "condition") if field in values)
            for metric in self.design.primary:
                if metric in metrics:
                    by_condition[f"{name}.{metric}"].append(metrics[metric])
        return {f"mean.{name}": fmean(values) for name, values in by_condition.items()}

    def headline(self) -> dict[str, str]:
        """Return the first lines of a plan: hash of the design, metrics, family, and the number of trials."""
        design, amended = self.design, "".join(f"; amended: {amendment.text}" for amendment in self.amendments)
        blocks = f"{sum(len(part.subjects) for part in design.parts.values())} subject(s) x {self.repeats} seeds"
        named = "; ".join(f"{data.name} (subjects {', '.join(map(str, data.subjects))})" for data in design.datasets)
        return {
            "design": self.definition["sha256"][:16] + amended,
            "primary": ", ".join(f"{metric.name} ({metric.goal})" for metric in self.targets),
            **({"vary": varied_in_words(design, self.repeats)} if design.varies_data else {}),
            **({"data sets": f"{named}; compared within each"} if named else {}),
            "family": f"{design.family_size} comparisons over {design.tested_over}, alpha {design.alpha:g} after Holm",
            "trials": f"{len(design.names)} conditions x {blocks} = {self.trial_count}",
        }

    def listing(self) -> Listing:
        """Return a table of the conditions with their overrides."""
        design = self.design
        rows = [
            (f"data set {data.name}", ", ".join(f"{name}: {value}" for name, value in data.overrides.items()), "")
            for data in design.datasets
        ]
        for name in design.names:
            parts = () if name == BASELINE else design.in_words(name)
            declared = [comparison.metric for comparison in design.family if comparison.condition == name]
            rows.append((name, ", ".join(parts), ", ".join(declared)))
        return Listing(("condition", "differs from the baseline in", "declared in"), tuple(rows))

    @property
    def _data_sets(self) -> Mapping[str, Point]:
        """Name of each data set to its part of a point."""
        return {name: {"dataset": name} if name else {} for name in self.design.parts}

    @cached_property
    def _shared(self) -> list[StageRun]:
        runs = {run.identity: run for spec in self.specs for run in spec.runs}
        return [run for identity, run in runs.items() if self.uses[identity] > 1]

    @cached_property
    def _configs(self) -> dict[str, Mapping[str, Any]]:
        return {run.identity: spec.config for spec in self.specs for run in spec.runs}


def ablation_study(
    design: Design, *, targets: Sequence[Metric], source: str, path: str, notes: Sequence[str] = ()
) -> AblationStudy:
    """Return the study of a checked design, read from the file `path` with the text `source`."""
    parts = design.parts.values()
    subjects = tuple(dict.fromkeys(subject for part in parts for subject in part.subjects))
    named = tuple(data.name for data in design.datasets)
    domains = {
        **({"dataset": Choice(choice=named)} if named else {}),
        "condition": Choice(choice=design.names),
        "subject": Choice(choice=subjects),
    }
    return AblationStudy(
        name=study_name(path),
        space=ConditionSpace(domains, base=design.baseline, design=design),
        targets=tuple(targets),
        sampler="grid",
        scheduler=SchedulerConfig("fifo", FifoOptions()),
        trials=len(design.names) * sum(len(part.subjects) for part in parts),
        repeats=design.seeds,
        seed=design.seed,
        source=source,
        path=path,
        design=design,
        notes=tuple(notes),
    )
