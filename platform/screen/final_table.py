"""The table at the end of a study: the best points of a sweep or all conditions of an ablation, and their controls."""

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from platform.record.results import OUTCOME_WORDS, Result, averaged, controls, divided, format_value, outcomes, ranked
from platform.screen.units import duration
from platform.study.outcome_constraints import violated_by
from platform.study.study import Study

_BEST = 5
_FAILURES = 5


def final_table(
    study: Study, results: Sequence[Result], *, errors: Mapping[str, str], ui: str, console: Console
) -> None:
    """Print the results of `study`.

    Args:
        study: The study.
        results: The results of its trials.
        errors: Failed trial to the last line of its error.
        ui: The command that opens the study in the MLflow UI.
        console: The output; its markup must be off.
    """
    points = averaged(results)
    order = ranked(points, study.targets, study.outcome_constraints)
    counts = outcomes(results)
    parts = [
        f"{counts[outcome.lower()]} {label}" for outcome, label in OUTCOME_WORDS.items() if counts[outcome.lower()]
    ]
    missing = study.trial_count - sum(counts.values()) + counts["unfinished"]
    parts += [f"{missing} of {study.trial_count} to do"] if missing > 0 else []
    console.print(f"{study.id}: {', '.join(parts)}", style="bold", soft_wrap=True)
    if order:
        console.print(_best_table(study, order) if study.has_best else _condition_table(study, points))
    if study.outcome_constraints and order:
        console.print(kept_line(study, order), soft_wrap=True)
    for trial, error in list(errors.items())[:_FAILURES]:
        console.print(f"{trial} failed: {error}", style="red", soft_wrap=True)
    if len(errors) > _FAILURES:
        console.print(f"... and {len(errors) - _FAILURES} more; each has its traceback in MLflow", style="red")
    console.print(f"open it in MLflow: {ui}", soft_wrap=True)


def short_names(fields: Iterable[str]) -> dict[str, str]:
    """Return the last part of each dotted field, or the whole field if the last part is not unique."""
    fields = tuple(fields)
    leaves = [name.rpartition(".")[2] for name in fields]
    return {name: leaf if leaves.count(leaf) == 1 else name for name, leaf in zip(fields, leaves, strict=True)}


def cells(result: Result, names: Mapping[str, str]) -> list[str]:
    """Return the swept values in the order of `names`; empty for a conditional field without a value."""
    return [format_value(result.values[name]) if name in result.values else "" for name in names]


def values_text(result: Result, names: Mapping[str, str]) -> str:
    """Return the swept values on one line, under their short names."""
    return " ".join(
        f"{short}={format_value(result.values[name])}" for name, short in names.items() if name in result.values
    )


def best_line(best: Result, study: Study, names: Mapping[str, str]) -> str:
    """Return the best point so far with its values, the values of the controls, and what it violates."""
    parts = []
    for target in study.targets:
        levels = ", ".join(f"{name} {value:.4g}" for name, value in controls(best, target).items())
        parts.append(f"{target.name} {best.metrics[target.name]:.4g}" + (f" ({levels})" if levels else ""))
    violated = violated_by(best.metrics, study.outcome_constraints)
    warning = f"  (violates {', '.join(violated)})" if violated else ""
    return f"best so far: {best.label}  {', '.join(parts)}  {values_text(best, names)}{warning}"


def kept_line(study: Study, order: Sequence[Result]) -> str:
    """Return how many of the completed points satisfy the outcome constraints."""
    kept = len(divided(order, study.outcome_constraints)[0])
    bounds = ", ".join(each.text for each in study.outcome_constraints)
    return f"{kept} of {len(order)} completed points satisfy {bounds}"


def _best_table(study: Study, order: Sequence[Result]) -> Table:
    names = short_names(study.space.fields)
    table = empty_table("best", *(target.name for target in study.targets), *names.values(), "time")
    for index, result in enumerate(order[:_BEST]):
        violated = violated_by(result.metrics, study.outcome_constraints)
        style = "dim" if violated else "bold green" if index == 0 else None
        table.add_row(
            f"{result.label}{' (violates)' if violated else ''}",
            *scores(study, result),
            *cells(result, names),
            duration(result.seconds),
            style=style,
        )
    _add_controls(table, study, order[0], before=1)
    return table


def _condition_table(study: Study, points: Sequence[Result]) -> Table:
    """Return the means of all conditions in the order of the design: an ablation does not rank them."""
    names = short_names(study.space.fields)
    table = empty_table(*names.values(), *(target.name for target in study.targets), "mean of", "time")
    for point in points:
        # The mean is shown only if all trials of a condition completed, else the outcome of another trial.
        state = str(point.repeats) if point.outcome == "COMPLETED" else OUTCOME_WORDS.get(str(point.outcome), "to do")
        table.add_row(*cells(point, names), *scores(study, point), state, duration(point.seconds))
    with_value = [point for point in points if point.value(study.targets[0]) is not None]
    for dataset in dict.fromkeys(point.values.get("dataset") for point in with_value):
        first = next(point for point in with_value if point.values.get("dataset") == dataset)
        _add_controls(
            table, study, first, before=len(names), of="control" if dataset is None else f"control, {dataset}"
        )
    return table


def empty_table(*names: str) -> Table:
    """Return a table without rows; long cells are folded."""
    table = Table(*names, box=box.SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    return table


def scores(study: Study, point: Result) -> list[str]:
    """Return the values of the targets; empty where there is none."""
    values = [point.value(target) for target in study.targets]
    return ["" if value is None else f"{value:.4g}" for value in values]


def _add_controls(table: Table, study: Study, point: Result, *, before: int, of: str = "control") -> None:
    """Add a row for each control of `point`; `before` columns precede the columns of the targets."""
    levels = [controls(point, target) for target in study.targets]
    kinds = dict.fromkeys(kind for level in levels for kind in level)
    if kinds:
        table.add_section()
    for kind in kinds:
        values = [f"{level[kind]:.4g}" if kind in level else "" for level in levels]
        table.add_row(f"{of}: {kind}", *[""] * (before - 1), *values, style="dim")
