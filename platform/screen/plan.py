"""The output of a plan: tables for the terminal, and JSON for programs."""

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from platform.screen.units import duration, size
from platform.study.plan import Plan, StagePlan
from platform.study.study import Listing, Study


def plan_json(plan: Plan, study: Study) -> dict[str, Any]:
    """Return the content of `render_plan` as one JSON object, in the same format for sweeps and ablations.

    - `study`, `definition`: id and definition.
    - `amendments`, `notes`: seeds that were added to an ablation; notes on its file. Both may be empty lists.
    - `points`, `trials`, `ended`: number of points, of trials, and of trials that have already ended.
    - `stages`: for each stage, inputs first: `stage`; `needed` (uses by trials); `shared`, `private` and their sum
      `runs` (distinct runs); `exact` (false if `private` is an upper bound); `cached` (runs that need no work);
      `to_do`; `forecast` of one run (`seconds`, `bytes`, and `samples`, the number of stored runs behind the estimate).
    - `shared`, `cached`: identities of the shared stage runs, and of all runs that need no work.
    - `seconds`, `bytes`: forecast of the remaining work.
    - `seconds_shared`, `seconds_alone`, `seconds_saved`: compute time of the whole study with an empty store; the same
      if trials did not share runs; the difference.
    """
    return {
        "study": study.id,
        "definition": study.definition,
        "amendments": [asdict(amendment) for amendment in study.amendments],
        "notes": list(study.notes),
        "points": study.trials,
        "trials": plan.trials,
        "ended": plan.ended,
        "stages": [{**asdict(stage), "runs": stage.runs, "to_do": stage.to_do} for stage in plan.stages],
        "shared": [run.identity for run in plan.shared],
        "cached": sorted(plan.cached),
        "seconds": plan.seconds,
        "bytes": plan.bytes,
        "seconds_shared": plan.seconds_shared,
        "seconds_alone": plan.seconds_alone,
        "seconds_saved": plan.seconds_saved,
    }


def render_plan(plan: Plan, study: Study, *, console: Console) -> None:
    """Print the plan of `study`. The markup of the console must be off: names and paths may look like markup."""
    console.print(f"{study.id}  {study.path}", style="bold", soft_wrap=True)
    for name, text in _lines(plan, study):
        console.print(f"{name:10} {text}", soft_wrap=True)
    console.print(_table(study.listing()))
    console.print(_stage_table(plan))
    console.print(_totals(plan), soft_wrap=True)


def _lines(plan: Plan, study: Study) -> list[tuple[str, str]]:
    lines = list(study.headline().items())
    if plan.ended > 0:
        lines.append(("ended", f"{plan.ended} of {plan.trials} trials have already ended"))
    return [*lines, *(("note", note) for note in study.notes)]


def _table(listing: Listing) -> Table:
    table = Table(*listing.columns, box=box.SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    for row in listing.rows:
        table.add_row(*row)
    return table


def _stage_table(plan: Plan) -> Table:
    counts = ("shared", "private", "alone", "cached", "to do")
    table = Table("stage", *counts, "time per run", "size per run", "estimate from", box=box.SIMPLE)
    for stage in plan.stages:
        samples = stage.forecast.samples
        table.add_row(
            stage.stage,
            *_counts(stage),
            duration(stage.forecast.seconds),
            size(stage.forecast.bytes),
            f"{samples} stored" if samples > 0 else "guess",
        )
    return table


def _counts(stage: StagePlan) -> tuple[str, ...]:
    at_most, at_least = ("", "") if stage.exact else ("<= ", ">= ")
    cached, to_do = f"{at_least}{stage.cached}", f"{at_most}{stage.to_do}"
    return (str(stage.shared), f"{at_most}{stage.private}", str(stage.needed), cached, to_do)


def _totals(plan: Plan) -> str:
    at_most, at_least = ("", "") if plan.exact else ("at most ", "at least ")
    samples = [stage.forecast.samples for stage in plan.stages if stage.to_do > 0]
    basis = "; guesses are for phantom sizes on two CPU cores" if 0 in samples else ""
    if any(samples):
        basis += "; stored times are those of earlier runs of the stage, whatever their settings"
    totals = f"{plan.to_do} stage runs, {duration(plan.seconds)} of compute, {size(plan.bytes)} stored"
    alone = f"each trial on its own: {duration(plan.seconds_alone)}"
    saved = f"sharing saves {at_least}{duration(plan.seconds_saved)}"
    return f"to do: {at_most}{totals} ({alone}; {saved}){basis}"
