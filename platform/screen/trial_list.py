"""The list of all trials of a study: name, outcome, targets, swept values."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from platform.record.results import OUTCOME_WORDS, Result, error_line
from platform.screen.final_table import cells, empty_table, scores, short_names
from platform.screen.units import duration
from platform.study.study import Study


def trials_to_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return plain JSON values for each trial; `error` is the last line of a failure, else null."""
    return [
        {**result.to_json(), "error": error_line(result.error) if result.outcome == "FAILED" else None}
        for result in results
    ]


def trial_table(study: Study, results: Sequence[Result]) -> Table:
    """Return the table of all trials, in the order of their names. Targets are those of completed trials."""
    names = short_names(study.space.fields)
    table = empty_table("trial", "outcome", *(target.name for target in study.targets), *names.values(), "time")
    table.columns[0].no_wrap = True  # a name is there to be copied
    for result in results:
        outcome = "unfinished" if result.outcome is None else OUTCOME_WORDS[result.outcome]
        time = "" if result.outcome is None else duration(result.seconds)
        style = "dim" if result.outcome in (None, "PRUNED") else "red" if result.outcome == "FAILED" else None
        table.add_row(result.trial, outcome, *scores(study, result), *cells(result, names), time, style=style)
    return table
