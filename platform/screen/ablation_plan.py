"""What an ablation will do: exactly which stage runs are shared or private, and what sharing them saves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from platform.screen.plan import duration, size
from platform.study.ablation import AblationStudy
from platform.study.design import BASELINE, has_clips
from platform.study.plan import Forecast, forecast, stored_runs
from storage.base import Store
from storage.events import EventLog
from trainables.graph import ancestors


@dataclass(frozen=True)
class StageUse:
    """How the runs of one stage are used."""

    stage: str
    needed: int
    """Uses by trials: so many runs there would be if every trial were on its own."""
    shared: int
    """Distinct runs that several trials need."""
    private: int
    """Distinct runs that one trial needs."""
    to_do: int
    """Distinct runs of trials that have not ended and that the store lacks."""
    forecast: Forecast

    @property
    def distinct(self) -> int:
        """Runs there are with sharing."""
        return self.shared + self.private


@dataclass(frozen=True)
class AblationPlan:
    """What an ablation will do."""

    stages: tuple[StageUse, ...]
    """Every stage that is needed, inputs first."""
    trials: int
    ended: int
    """Trials that have ended before."""

    @property
    def seconds(self) -> float:
        """Forecast of compute, summed over the runs that are left to do."""
        return sum(use.to_do * use.forecast.seconds for use in self.stages)

    @property
    def bytes(self) -> int:
        """Forecast of what the store grows by."""
        return sum(use.to_do * use.forecast.bytes for use in self.stages)

    @property
    def seconds_shared(self) -> float:
        """Forecast of the whole ablation's compute, from nothing."""
        return sum(use.distinct * use.forecast.seconds for use in self.stages)

    @property
    def seconds_alone(self) -> float:
        """Forecast of its compute if every trial were on its own."""
        return sum(use.needed * use.forecast.seconds for use in self.stages)

    @property
    def saved(self) -> float:
        """Seconds of compute that sharing saves."""
        return self.seconds_alone - self.seconds_shared


def plan_ablation(study: AblationStudy, store: Store) -> AblationPlan:
    """Plan `study` against what `store` holds. Writes nothing. Raises `storage.errors.UnavailableError`."""
    ended = {event["trial"] for event in EventLog(store, study.id).read() if event["kind"] == "finished"}
    stage_of = {run.identity: run.stage for spec in study.specs for run in spec.runs}
    open_runs = {run.identity for spec in study.specs if spec.trial not in ended for run in spec.runs}
    uses = []
    for stage in ancestors(study.stages):
        stored = stored_runs(store, stage)
        found = {identity: study.uses[identity] for identity, name in stage_of.items() if name == stage}
        shared = sum(count > 1 for count in found.values())
        to_do = len((found.keys() & open_runs) - stored)
        expected = forecast(store, stage, stored)
        uses.append(StageUse(stage, sum(found.values()), shared, len(found) - shared, to_do, expected))
    names = {spec.trial for spec in study.specs}
    return AblationPlan(tuple(uses), len(names), len(names & ended))


def ablation_json(plan: AblationPlan, study: AblationStudy) -> Mapping[str, Any]:
    """Return all that `render_ablation` shows, as one JSON object."""
    return {
        "study": study.id,
        "definition": study.definition,
        "amendments": [asdict(amendment) for amendment in study.amendments],
        "notes": list(study.notes),
        "trials": plan.trials,
        "ended": plan.ended,
        "stages": [{**asdict(use), "distinct": use.distinct} for use in plan.stages],
        "seconds": plan.seconds,
        "bytes": plan.bytes,
        "seconds_alone": plan.seconds_alone,
        "seconds_saved": plan.saved,
    }


def render_ablation(plan: AblationPlan, study: AblationStudy, *, console: Console) -> None:
    """Print what `study` will do. The console must not read markup: names and paths may look like it."""
    design = study.design
    blocks = f"{len(design.subjects)} subject(s) x {study.repeats} seeds"
    lines = {
        "registered": study.definition["sha256"][:16] + "".join(f"; amended: {one.text}" for one in study.amendments),
        "primary": ", ".join(f"{metric.name} ({metric.goal})" for metric in study.targets),
        "family": f"{len(design.family)} comparisons over {_units(study)}, alpha {design.alpha:g} after Holm",
        "trials": f"{len(design.names)} conditions x {blocks} = {plan.trials}"
        + (f"; {plan.ended} have ended before" if plan.ended else ""),
    }
    console.print(f"{study.id}  {study.path}", style="bold", soft_wrap=True)
    for name, text in lines.items():
        console.print(f"{name:10} {text}", soft_wrap=True)
    for note in study.notes:
        console.print(f"{'note':10} {note}", soft_wrap=True)
    console.print(_conditions(study))
    console.print(_stages(plan))
    alone = f"each trial on its own: {duration(plan.seconds_alone)}; sharing saves {duration(plan.saved)}"
    left = sum(use.to_do for use in plan.stages)
    guessed = any(use.to_do > 0 and use.forecast.samples == 0 for use in plan.stages)
    basis = "; guesses are for phantom sizes on two CPU cores" if guessed else ""
    totals = f"to do: {left} stage runs, {duration(plan.seconds)} of compute, {size(plan.bytes)} stored"
    console.print(f"{totals} ({alone}){basis}", soft_wrap=True)


def _units(study: AblationStudy) -> str:
    """Say over what the family is tested: numbers of a trial as a whole know no clips."""
    if not any(has_clips(one.metric) for one in study.design.family):
        return "seeds"
    return "seeds and clips" if study.design.unit == "both" else study.design.unit


def _conditions(study: AblationStudy) -> Table:
    table = Table("condition", "differs from the baseline in", "declared in", box=box.SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    for name in study.design.names:
        parts = () if name == BASELINE else study.design.in_words(name)
        declared = [one.metric for one in study.design.family if one.condition == name]
        table.add_row(name, ", ".join(parts), ", ".join(declared))
    return table


def _stages(plan: AblationPlan) -> Table:
    table = Table("stage", "shared", "private", "alone", "to do", "each takes", "judged by", box=box.SIMPLE)
    for use in plan.stages:
        numbers = (use.shared, use.private, use.needed, use.to_do)
        samples = use.forecast.samples
        judged = f"{samples} stored" if samples else "guess"
        table.add_row(use.stage, *map(str, numbers), duration(use.forecast.seconds), judged)
    return table
