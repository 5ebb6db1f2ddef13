"""Progress of a long command in steps, with the time left: bars on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from platform.screen.units import duration

_EVERY = 15.0
"""Seconds between lines where there is no terminal."""


class StepProgress:
    """Shows how far each step is. Use it as a context, and call it with a step, what has been done, and the total."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Print to `console`, usually on stderr."""
        self._console, self._clock = console, clock
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._done: dict[str, int] = {}
        self._next_line = clock() + _EVERY

    def __call__(self, step: str, done: int, total: int) -> None:
        """Show that `done` more of `total` are done of `step`."""
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
            self._began[step] = self._clock()
        self._bars.advance(self._tasks[step], done)
        self._done[step] = self._done.get(step, 0) + done
        if not self._console.is_terminal and self._clock() >= self._next_line:
            self._next_line = self._clock() + _EVERY
            self._console.print(self._line(step, total), soft_wrap=True)

    def _line(self, step: str, total: int) -> str:
        done = self._done[step]
        seconds_left = (self._clock() - self._began[step]) * (total - done) / max(done, 1)
        return f"{step}: {done:,} of {total:,}, {duration(max(seconds_left, 0.0))} left"

    def __enter__(self) -> Self:
        """Start the bars."""
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove the bars."""
        self._bars.stop()
