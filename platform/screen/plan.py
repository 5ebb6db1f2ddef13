"""A plan as a table for people and as JSON for programs."""

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from platform.study.domains import Domain, kind_of
from platform.study.plan import Plan
from platform.study.study import SAMPLERS, Study


def plan_json(plan: Plan, study: Study) -> dict[str, Any]:
    """Return all that `render_plan` shows, as one JSON object."""
    return {
        "study": study.id,
        "definition": study.definition,
        "points": study.trials,
        "trials": plan.trials,
        "ended": plan.ended,
        "stages": [{**asdict(stage), "to_do": stage.to_do} for stage in plan.stages],
        "shared": [run.identity for run in plan.shared],
        "cached": sorted(plan.cached),
        "seconds": plan.seconds,
        "bytes": plan.bytes,
    }


def render_plan(plan: Plan, study: Study, *, console: Console) -> None:
    """Print what `study` will do. The console must not read markup: names and paths may look like it."""
    options = [f"{key} {value}" for key, value in study.scheduler.to_json().items() if key != "name"]
    repeats = "" if study.repeats == 1 else f", each with {study.repeats} seeds: {plan.trials} trials"
    lines = {
        "target": ", ".join(f"{metric.name} ({metric.goal})" for metric in study.targets),
        "sampler": f"{study.sampler} ({SAMPLERS[study.sampler].purpose})",
        "scheduler": " ".join((study.scheduler.name, *(f"({text})" for text in [", ".join(options)] if options))),
        "points": f"{study.trials}{repeats}" + (f"; {plan.ended} trials have ended before" if plan.ended else ""),
    }
    console.print(f"{study.id}  {study.path}", style="bold", soft_wrap=True)
    for name, text in lines.items():
        console.print(f"{name:10} {text}", soft_wrap=True)
    console.print(_space_table(study))
    console.print(_stage_table(plan))
    console.print(_totals(plan), soft_wrap=True)


def _space_table(study: Study) -> Table:
    conditional = any(domain.when for domain in study.space.domains.values())
    table = Table("swept field", "values", *(("only when",) if conditional else ()), box=box.SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    for field, domain in study.space.domains.items():
        condition = ", ".join(f"{other} in {list(allowed)}" for other, allowed in domain.when.items())
        table.add_row(field, _domain_text(domain), *((condition,) if conditional else ()))
    return table


def _domain_text(domain: Domain) -> str:
    raw = domain.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"when"})
    kind = kind_of(domain)
    step = f", step {raw['step']:g}" if "step" in raw else ""
    values = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in raw[kind])
    return f"{kind} [{values}]{step}"


def _stage_table(plan: Plan) -> Table:
    table = Table("stage", "runs", "", "stored", "each takes", "and stores", "judged by", box=box.SIMPLE)
    for stage in plan.stages:
        samples = stage.forecast.samples
        table.add_row(
            stage.stage,
            str(stage.runs) if stage.exact else f"<= {stage.runs}",
            "shared" if stage.shared else "of trials",
            str(stage.cached) if stage.exact else f">= {stage.cached}",
            duration(stage.forecast.seconds),
            size(stage.forecast.bytes),
            f"{samples} stored" if samples else "guess",
        )
    return table


def _totals(plan: Plan) -> str:
    at_most = "" if all(stage.exact for stage in plan.stages) else "at most "
    guessed = any(stage.to_do > 0 and stage.forecast.samples == 0 for stage in plan.stages)
    basis = "; guesses are for phantom sizes on two CPU cores" if guessed else ""
    left = sum(stage.to_do for stage in plan.stages)
    totals = f"{left} stage runs, {duration(plan.seconds)} of compute, {size(plan.bytes)} stored"
    return f"to do: {at_most}{totals}{basis}"


def duration(seconds: float) -> str:
    """Return `seconds` for people."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def size(num_bytes: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"
