"""The table that a study ends with: its best points, their controls beside them, and how all trials ended."""

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from platform.definition.study import Study
from platform.views.axes import label
from platform.views.figure_data import WORDS
from platform.views.results import Result, averaged, controls, outcomes, ranked
from trainables.metrics.registry import Metric

_BEST = 5
_FAILURES = 5


def final_table(
    study: Study, results: Sequence[Result], *, errors: Mapping[str, str], ui: str, console: Console
) -> None:
    """Print what `study` came to.

    Args:
        study: Which one.
        results: Its trials.
        errors: Failed trial to the last line of its error.
        ui: The command that opens the MLflow UI on it.
        console: Where to; it must not take text for markup.
    """
    order = ranked(averaged(results), study.targets)
    counts = outcomes(results)
    words = [f"{counts[outcome.lower()]} {word}" for outcome, word in WORDS.items() if counts[outcome.lower()]]
    missing = study.trial_count - sum(counts.values()) + counts["unfinished"]
    words += [f"{missing} of {study.trial_count} to do"] if missing > 0 else []
    console.print(f"{study.id}: {', '.join(words)}", style="bold", soft_wrap=True)
    if order:
        console.print(_table(study, order))
    for trial, error in list(errors.items())[:_FAILURES]:
        console.print(f"{trial} failed: {error}", style="red", soft_wrap=True)
    if len(errors) > _FAILURES:
        console.print(f"... and {len(errors) - _FAILURES} more; each has its traceback in MLflow", style="red")
    console.print(f"open it in MLflow: {ui}", soft_wrap=True)


def short_names(fields: Iterable[str]) -> dict[str, str]:
    """Return the shortest end of each dotted field by which it is told from the others."""
    fields = tuple(fields)
    leaves = [name.rpartition(".")[2] for name in fields]
    return {name: leaf if leaves.count(leaf) == 1 else name for name, leaf in zip(fields, leaves, strict=True)}


def cells(result: Result, names: Mapping[str, str]) -> list[str]:
    """Return the swept values in the order of `names`; empty where a conditional field has none."""
    return [label(result.values[name]) if name in result.values else "" for name in names]


def values_text(result: Result, names: Mapping[str, str]) -> str:
    """Return the swept values on one line, under their short names."""
    return " ".join(f"{short}={label(result.values[name])}" for name, short in names.items() if name in result.values)


def best_line(best: Result, targets: Sequence[Metric], names: Mapping[str, str]) -> str:
    """Return the best point so far with its values, and what knowing nothing scores."""
    parts = []
    for target in targets:
        levels = ", ".join(f"{name} {value:.4g}" for name, value in controls(best, target).items())
        parts.append(f"{target.name} {best.metrics[target.name]:.4g}" + (f" ({levels})" if levels else ""))
    return f"best so far: {best.trial}  {', '.join(parts)}  {values_text(best, names)}"


def duration(seconds: float) -> str:
    """Return a duration as people read it: `4.2 s`, `3:07 min`, `2:15 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02} min"
    return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02} h"


def _table(study: Study, order: Sequence[Result]) -> Table:
    names = short_names(study.space.fields)
    table = Table("best", *(target.name for target in study.targets), *names.values(), "time", box=box.SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    for index, result in enumerate(order[:_BEST]):
        scores = [f"{result.metrics[target.name]:.4g}" for target in study.targets]
        repeats = "" if result.repeats == 1 else f" (mean of {result.repeats})"
        style = "bold green" if index == 0 else None
        table.add_row(result.trial + repeats, *scores, *cells(result, names), duration(result.seconds), style=style)
    levels = [controls(order[0], target) for target in study.targets]
    kinds = dict.fromkeys(kind for level in levels for kind in level)
    if kinds:
        table.add_section()
    for kind in kinds:
        scores = [f"{level[kind]:.4g}" if kind in level else "" for level in levels]
        table.add_row(f"control: {kind}", *scores, style="dim")
    return table
