"""The progress of a running study: a live table on a terminal, plain lines elsewhere. Always on stderr."""

import threading
import time
from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from platform.events import Finished, SharedState, Started, TrialEvent
from platform.record.results import OUTCOME_WORDS, Result, averaged, outcomes, ranked, result_of
from platform.record.trial_record import TrialRecord
from platform.screen.final_table import best_line, cells, final_table, short_names, values_text
from platform.screen.units import duration
from platform.study.study import Study

_SHOWN = 12
"""Largest number of running trials in the live table."""
_WIDTH = 120
"""Width in columns if the output is not a terminal."""


class Progress:
    """Shows the events of one study. Events from before its creation belong to earlier calls and are only counted."""

    def __init__(self, study: Study, *, ui: str = "make ui", live: bool = True, console: Console | None = None) -> None:
        """Print nothing until the first new event.

        Args:
            study: The study that runs.
            ui: The command that opens the study in the MLflow UI.
            live: Whether a terminal shows a live table. Otherwise, or without a terminal, one line per trial.
            console: The output; by default stderr.
        """
        self._study, self._ui, self._redraws = study, ui, live
        self._console = console if console is not None else stderr_console()
        self._began = time.time()
        self._before = 0
        self._records: dict[str, TrialRecord] = {}
        self._results: dict[str, Result] = {}
        self._running: dict[str, float] = {}
        """Running trial to the time when it started."""
        self._errors: dict[str, str] = {}
        self._shared: dict[str, tuple[str, SharedState, float]] = {}
        self._remarks: set[str] = set()
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._names = short_names(study.space.fields)

    def see(self, event: TrialEvent) -> None:
        """Show one event. The events of a trial must be in order."""
        with self._lock:
            record = self._records.setdefault(event.trial, TrialRecord(event.trial))
            record.absorb(event)
            self._results[event.trial] = result_of(record)
            is_new = event.time >= self._began
            if isinstance(event, Started):
                self._running[event.trial] = event.time
            elif isinstance(event, Finished):
                self._running.pop(event.trial, None)
                self._before += not is_new
                if event.error is not None:
                    self._errors[event.trial] = event.reason
            if is_new:
                self._start()
                self._print(event)
                if isinstance(event, Finished):
                    for text in remarks_of(event):
                        self.remark(text)

    def shared(self, stage: str, identity: str, state: SharedState) -> None:
        """Show the state of a shared stage run."""
        with self._lock:
            since = self._shared.get(identity, (stage, state, time.time()))[2]
            self._shared[identity] = (stage, state, since if state != "running" else time.time())
            self._start()
            if self._live is None and state != "waiting":
                timing = f" in {duration(time.time() - since)}" if state == "done" else ""
                self._line(f"shared stage {stage} ({identity}): {state}{timing}")

    def remark(self, text: str) -> None:
        """Print a text once."""
        with self._lock:
            if text not in self._remarks:
                self._remarks.add(text)
                self._start()
                self.note(text)

    def note(self, text: str) -> None:
        """Print a text above the live table."""
        with self._lock:
            (self._console if self._live is None else self._live.console).print(text, soft_wrap=True)

    def close(self) -> None:
        """Remove the live table and print the final table."""
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            live.stop()
        results = [self._results[trial] for trial in sorted(self._results)]
        final_table(self._study, results, errors=self._errors, ui=self._ui, console=self._console)

    def _start(self) -> None:
        """Start the live table at the first new event."""
        if self._live is not None or not self._redraws or not self._console.is_terminal:
            return
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,  # stdout is for programs
        )
        self._live.start()

    def _print(self, event: TrialEvent) -> None:
        if self._live is not None:
            return
        if self._before:
            self._line(f"{self._before} of {self._study.trial_count} trials were already finished")
            self._before = 0
        if isinstance(event, Finished):
            result = self._results[event.trial]
            done = sum(result.outcome is not None for result in self._results.values())
            value = result.value(self._study.targets[0])
            parts = [
                f"[{done}/{self._study.trial_count}] {result.trial} {OUTCOME_WORDS[event.outcome]}",
                "" if value is None else f"{self._study.targets[0].name} {value:.4g}",
                f"{duration(result.seconds)}",
                values_text(result, self._names),
                self._errors.get(event.trial, ""),
            ]
            self._line("  ".join(part for part in parts if part))

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)
        self._console.file.flush()

    def _render(self) -> RenderableType:
        with self._lock:
            return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        counts = outcomes(self._results.values())
        done = sum(counts.values()) - counts["unfinished"]
        elapsed = time.time() - self._began
        seconds_left = self._seconds_left(elapsed, done)
        yield f"{self._study.id}  {', '.join(target.name for target in self._study.targets)}"
        yield self._bar(counts, done)
        yield f"{duration(elapsed)} so far" + ("" if seconds_left is None else f", about {duration(seconds_left)} left")
        if preparing := [*self._preparing()]:
            yield "preparing: " + ", ".join(preparing)
        if self._running:
            yield self._table()
        order = ranked(averaged(self._results.values()), self._study.targets, self._study.outcome_constraints)
        if order and self._study.has_best:
            yield best_line(order[0], self._study, self._names)

    def _bar(self, counts: Mapping[str, int], done: int) -> Table:
        total = self._study.trial_count
        parts = [
            f"{counts[outcome.lower()]} {label}" for outcome, label in OUTCOME_WORDS.items() if counts[outcome.lower()]
        ]
        text = f"{done}/{total} trials" + (": " if parts else "") + ", ".join(parts)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=total, completed=done, width=30), text)
        return bar

    def _preparing(self) -> Iterator[str]:
        """Yield the shared stages that are not finished; a running one with its time."""
        for stage, state, since in self._shared.values():
            if state == "waiting":
                yield stage
            elif state == "running":
                yield f"{stage} ({duration(time.time() - since)})"

    def _seconds_left(self, elapsed: float, done: int) -> float | None:
        ended = sum(r.outcome is not None and r.finished >= self._began for r in self._results.values())
        return elapsed / ended * (self._study.trial_count - done) if ended else None

    def _table(self) -> Table:
        target = self._study.targets[0].name
        table = Table("trial", "stage", "epoch", target, "time", *self._names.values(), box=box.SIMPLE, pad_edge=False)
        for trial, started in sorted(self._running.items())[:_SHOWN]:
            record = self._records[trial]
            value = record.last_metrics().get(target)
            row = [
                trial,
                "" if record.latest is None else record.latest["stage"],
                "" if record.latest is None else str(record.latest["epoch"]),
                "" if value is None else f"{value:.4g}",
                duration(time.time() - started),
            ]
            table.add_row(*row, *cells(self._results[trial], self._names))
        return table


def remarks_of(end: Finished) -> Iterator[str]:
    """Yield the warnings of a trial's stage runs, and which of them other code had made."""
    yield from (f"warning: {text}" for text in end.warnings)
    yield from (
        f"{stage} ({run['identity']}) is read from the store; made by {run['made_by']}"
        for stage, run in end.runs.items()
        if "made_by" in run
    )


def stderr_console() -> Console:
    """Return a console on stderr without markup."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console
