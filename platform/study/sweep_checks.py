"""Checks a search-space file as a whole: targets, sampler, scheduler, number of trials."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from pydantic import ValidationError

from platform.errors import Problem, nearest, refuse
from platform.study import space_checks
from platform.study.config_errors import explain
from platform.study.outcome_checks import check_outcomes, outcome_constraints_of
from platform.study.outcome_constraints import OutcomeConstraint
from platform.study.samplers import AUTO, SAMPLERS
from platform.study.schedulers import REFUSED_SCHEDULERS, SCHEDULERS, SchedulerConfig
from platform.study.space import MAX_GRID, Space
from platform.study.swept_stages import possible_stages, swept_systems, touched, varying_stages
from platform.study.unresolved_config import Draft
from platform.study.yielded import trained_on_both, why_not_yielded
from trainables.config.trial import TrialConfig, config_class
from trainables.graph import solved_kinds
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS, comparable
from trainables.stage_table import STAGES

_BY_CONTENT = "dataset.path"
"""Decides results by what lies there, which no stage's config tells."""


@dataclass(frozen=True)
class Parts:
    """The checked parts of a study."""

    space: Space
    targets: tuple[Metric, ...]
    scheduler: SchedulerConfig
    trials: int
    outcome_constraints: tuple[OutcomeConstraint, ...]


def check_names(draft: Draft) -> Iterator[Problem]:
    """Check that the targets, the sampler and the scheduler exist."""
    for index, name in enumerate(draft.target):
        stage, _, _ = name.partition(".")
        if name in draft.target[:index]:
            yield draft.problem("target", index, message=f"{name} is listed twice")
        elif stage not in STAGES:
            stages = [metric.stage for metric in METRICS.values()]
            message = f"{name!r} must be stage.metric, and there is no stage {stage!r}; {nearest(stage, stages)}"
            yield draft.problem("target", index, message=message)
        elif name not in METRICS:
            metrics_of_stage = [metric for metric in METRICS if metric.startswith(stage + ".")]
            message = f"there is no metric {name!r}; {nearest(name, metrics_of_stage or METRICS)}"
            yield draft.problem("target", index, message=message)
    if draft.sampler not in SAMPLERS:
        yield draft.problem(
            "sampler",
            message=f"there is no sampler {draft.sampler!r}; {nearest(draft.sampler, SAMPLERS)}; {AUTO} chooses one",
        )
    yield from _check_scheduler(draft)


def _check_scheduler(draft: Draft) -> Iterator[Problem]:
    ((name, options),) = draft.scheduler.items()
    if name in REFUSED_SCHEDULERS:
        message = f"{name} is refused: {REFUSED_SCHEDULERS[name]}; use one of: {', '.join(SCHEDULERS)}"
        yield draft.problem("scheduler", message=message)
    elif name not in SCHEDULERS:
        message = f"there is no scheduler {name!r}; {nearest(name, SCHEDULERS)}"
        yield draft.problem("scheduler", message=message)
    else:
        try:
            SCHEDULERS[name].model_validate(options)
        except ValidationError as error:
            for entry in error.errors():
                message = explain(dict(entry), SCHEDULERS[name].model_fields)
                yield draft.problem("scheduler", name, *entry["loc"], message=message)
    if name not in ("fifo", *REFUSED_SCHEDULERS) and len(draft.target) > 1:
        message = f"{name} uses one target to stop trials, but there are {len(draft.target)}; use fifo"
        yield draft.problem("scheduler", message=message)
    elif name in SCHEDULERS and name != "fifo" and not _has_epochs(draft.target[0]):
        message = f"{name} needs a value per epoch, but {draft.target[0]} has one value at the end; use fifo"
        yield draft.problem("scheduler", message=message)
    if name in SCHEDULERS and name != "fifo" and draft.repeats > 1:
        message = (
            f"{name} stops each repeat of a point alone, and a point with a stopped repeat has no mean: of "
            f"{draft.repeats} repeats nearly all points would be lost; use fifo, or repeats: 1 and an ablation of the "
            "best points with several seeds"
        )
        yield draft.problem("scheduler", message=message)
    yield from _check_solved(draft, name)
    if name in SCHEDULERS and name != "fifo":
        yield from _check_fine_tuned(draft, name)


def _check_fine_tuned(draft: Draft, scheduler: str) -> Iterator[Problem]:
    """Refuse early stopping of a decoder that is, or can be, trained on other subjects first."""
    field = f"{draft.target[0].partition('.')[0]}.fine_tune.epochs"
    swept = draft.domains[field].probes() if field in draft.domains else ()
    tuned = [value for value in (draft.base.get(field), *swept) if isinstance(value, int) and value > 0]
    if tuned:
        message = (
            f"{scheduler} compares trials by their early epochs, but with {field}: {tuned[0]} these train on other "
            "subjects and say nothing of the judged one; use fifo"
        )
        yield draft.problem("scheduler", message=message)


def _check_solved(draft: Draft, scheduler: str) -> Iterator[Problem]:
    """Refuse early stopping, and a loss as target, of a decoder that is, or can be, solved without epochs."""
    for index, target in enumerate(draft.target):
        stage, _, metric = target.partition(".")
        field = f"{stage}.kind"
        swept = draft.domains[field].probes() if field in draft.domains else ()
        named = (draft.base.get(field), *swept, *(point.get(field) for point in draft.points))
        kinds = [kind for kind in solved_kinds(stage) if kind in named]
        if not kinds:
            continue
        solved = f"{field}: {kinds[0]} is solved without epochs"
        if scheduler != "fifo" and index == 0:
            message = f"{scheduler} needs a value per epoch, but {solved}; use fifo"
            yield draft.problem("scheduler", message=message)
        if metric == "loss":
            message = f"{target} is a value of training, but {solved}; choose a metric of the validation clips"
            yield draft.problem("target", index, message=message)


def _has_epochs(target: str) -> bool:
    """Return whether the stage of `target` trains and reports every epoch; True if there is no such stage."""
    section = config_class().model_fields.get(target.partition(".")[0])
    fields: Mapping[str, object] = getattr(section.annotation, "model_fields", {}) if section is not None else {}
    return section is None or "train" in fields or "epochs" in fields


def build_parts(draft: Draft, config: TrialConfig, *, problems: list[Problem]) -> Parts:
    """Return the parts of a study. Raises `UserError` with all problems, including the earlier `problems`."""
    constraints, constraint_problems = space_checks.parse_constraints(draft, config)
    problems = [*problems, *constraint_problems, *space_checks.check_fields(draft, config)]
    problems += space_checks.check_conditions(draft)
    targets = tuple(METRICS[name] for name in draft.target if name in METRICS)
    systems = swept_systems(draft.domains, config)
    problems += [problem for metric in targets for problem in _check_comparable(draft, metric, systems)]
    problems += _check_influence(draft, config, targets, systems)
    problems += _check_clips(draft, config)
    problems += _check_yielded(draft, config, targets)
    problems += check_outcomes(draft, config, systems)
    problems += _check_sampler(draft) if draft.sampler in SAMPLERS else ()
    refuse(problems)
    space = Space(space_checks.in_dependency_order(draft.domains), base=draft.base, constraints=tuple(constraints))
    points, problems = space_checks.complete_points(draft, space, config)
    refuse((*problems, *space_checks.check_not_empty(draft, space)))
    space = replace(space, points=tuple(points))
    ((name, options),) = draft.scheduler.items()
    trials = draft.trials
    if draft.sampler == "grid":
        refuse(_check_whole_grid(draft, space))
        trials = len(space.grid())
    assert trials is not None
    scheduler = SchedulerConfig(name, SCHEDULERS[name].model_validate(options))
    return Parts(space, targets, scheduler, trials, outcome_constraints_of(draft))


def _check_clips(draft: Draft, config: TrialConfig) -> Iterator[Problem]:
    """Refuse a target that is measured on validation clips if no validation clips are generated."""
    field = "generator.validation_clips"
    video_targets = [name for name in draft.target if name in METRICS and METRICS[name].stage == "evaluate"]
    if video_targets and config.generator.validation_clips == 0 and field not in draft.domains:
        message = (
            f"{video_targets[0]} is measured on validation clips, but {field} is 0; "
            "set it under base, for example to 24"
        )
        yield draft.problem("target", message=message)


def _check_yielded(draft: Draft, config: TrialConfig, targets: tuple[Metric, ...]) -> Iterator[Problem]:
    """Refuse a target that the data set or the trained clips do not yield. A swept data set is not checked."""
    for field, domain in draft.domains.items():
        if field.endswith(".train.rows") and "train_and_validation" in domain.probes():
            swept = trained_on_both(config, field.partition(".")[0])
            for metric in targets:
                if (message := why_not_yielded(metric, swept)) is not None:
                    yield draft.problem("target", draft.target.index(metric.name), message=message)
            return
    if any(field.startswith("dataset.") for field in draft.domains):
        return
    for metric, system in product(targets, swept_systems(draft.domains, config)):
        if (message := why_not_yielded(metric, config.model_copy(update={"system": system}))) is not None:
            yield draft.problem("target", draft.target.index(metric.name), message=message)


def _check_comparable(draft: Draft, metric: Metric, systems: tuple[str, ...]) -> Iterator[Problem]:
    """Refuse a target whose scale differs between trials."""
    dependent = [field for field in draft.domains if any(map(metric.scale_depends_on, touched(field, systems=systems)))]
    if not dependent:
        return
    fields = ", ".join(dependent)
    is_data = any(field.startswith("dataset.") for field in dependent)
    other = ", or an ablation with the key `datasets`, which compares within each data set" if is_data else ""
    alternatives = ", ".join(_alternatives(draft, metric, systems))
    advice = (
        f"comparable metrics: {alternatives}"
        if alternatives
        else f"no metric is comparable; run one study for each value of {fields}{other}"
    )
    message = f"{metric.name} is not comparable across {fields}, on which its scale depends; {advice}"
    yield draft.problem("target", draft.target.index(metric.name), message=message)


def _alternatives(draft: Draft, metric: Metric, systems: tuple[str, ...]) -> list[str]:
    """Return the comparable metrics of the same stage or, if there are none, those that the swept fields change."""
    candidates = sorted(comparable(name for field in draft.domains for name in touched(field, systems=systems)))
    same_stage = [name for name in candidates if METRICS[name].stage == metric.stage]
    if same_stage:
        return same_stage
    stages = {name: METRICS[name].stage for name in candidates}
    return [
        name for name in candidates if stages[name] in varying_stages(draft.domains, [stages[name]], systems=systems)
    ]


def _check_influence(
    draft: Draft, config: TrialConfig, targets: tuple[Metric, ...], systems: tuple[str, ...]
) -> Iterator[Problem]:
    """Refuse fields that change no target, and targets that no field changes."""
    is_refused = _BY_CONTENT in draft.domains and any(metric.scale_depends_on(_BY_CONTENT) for metric in targets)
    refused = (_BY_CONTENT,) if is_refused else ()
    stages = [metric.stage for metric in targets]
    possible = possible_stages(draft.domains, config, stages, systems=systems)
    for metric in () if refused else targets:
        if metric.stage not in varying_stages(draft.domains, [metric.stage], systems=systems, possible=possible):
            message = f"{metric.name} is the same in all trials: no swept field changes {metric.stage} or what it needs"
            yield draft.problem("target", draft.target.index(metric.name), message=message)
    for field in draft.domains if targets else ():
        if (
            field not in refused
            and field.partition(".")[0] in config_class().model_fields
            and not varying_stages([field], stages, systems=systems, possible=possible)
        ):
            message = f"changes nothing that {', '.join(draft.target)} depends on; remove it, or choose another target"
            yield draft.problem("space", field, message=message)


def _check_sampler(draft: Draft) -> Iterator[Problem]:
    sampler = SAMPLERS[draft.sampler]
    if draft.sampler == "grid":
        yield from _check_grid(draft)
    elif draft.trials is None:
        yield draft.problem(
            "trials", message="is missing; set the number of points to try (only a grid does not need it)"
        )
    if sampler.max_targets is not None and len(draft.target) > sampler.max_targets:
        multi_target = [name for name, other in SAMPLERS.items() if other.max_targets is None]
        alternatives = ", ".join(multi_target)
        message = f"{draft.sampler} supports one target, but there are {len(draft.target)}; use one of: {alternatives}"
        yield draft.problem("sampler", message=message)
    if sampler.numeric_only:
        for field, domain in draft.domains.items():
            if not domain.is_numeric or domain.when:
                message = f"{draft.sampler} supports only numeric ranges without `when`; use another sampler or domain"
                yield draft.problem("space", field, message=message)
    if len(draft.domains) < sampler.min_fields:
        yield draft.problem("sampler", message=f"{draft.sampler} needs at least two fields; use tpe or gp for one")


def _check_grid(draft: Draft) -> Iterator[Problem]:
    for field, domain in draft.domains.items():
        if domain.size is None:
            yield draft.problem(
                "space", field, message="has infinitely many values, so there is no grid; set a step or use choice"
            )
    size = Space(draft.domains).size()
    if size is not None and size > MAX_GRID:
        message = f"the grid has {size} points, more than {MAX_GRID}; use another sampler, or fewer or larger steps"
        yield draft.problem("sampler", message=message)


def _check_whole_grid(draft: Draft, space: Space) -> Iterator[Problem]:
    """Refuse fewer trials than points: of the first points of a grid, some fields have only one value."""
    size = len(space.grid())
    if draft.trials is not None and draft.trials < size:
        message = (
            f"is {draft.trials}, but the grid has {size} points, of which the first {draft.trials} need not vary every "
            "field; leave it out, or write sampler: random, which tries no point twice"
        )
        yield draft.problem("trials", message=message)
