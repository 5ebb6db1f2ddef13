"""Ends a search before all its points are tried: after some hours, at a target value, or without progress.

No further point is proposed; trials that run end as usual. Only points whose repeats all completed
count, and of these only one that satisfies the outcome constraints can be the best.
"""

import time
from collections.abc import Callable

from platform.record.results import better
from platform.record.trial_log import PointResult, Records
from platform.study.study import Study


class StopRule:
    """Follows the results of a study's points. Used from one thread."""

    def __init__(self, study: Study, records: Records, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock, and add the points that have ended, in the order of their ends."""
        self._options, self._target, self._clock = study.stop, study.targets[0], clock
        self._began = clock()
        self._best: float | None = None
        self._since = 0
        """Number of completed points since the best one."""
        if self._options is not None:
            ended = {name: record.time for name, record in records.finished().items()}
            results = [result for point in records.values() if (result := records.result(point)) is not None]
            for result in sorted(results, key=lambda each: _end(each, study, ended)):
                self.add(result)

    def add(self, result: PointResult) -> None:
        """Add the result of a point that has ended."""
        if self._options is None or not result.values:
            return
        self._since += 1
        value = result.values[0]
        kept = all(excess <= 0 for excess in result.excesses.values())
        if kept and (self._best is None or better(self._target, value, self._best)):
            self._best, self._since = value, 0

    @property
    def reason(self) -> str | None:
        """Why no further point is proposed; None while the search goes on."""
        if self._options is None:
            return None
        hours, target, patience = self._options.hours, self._options.target, self._options.no_better_in
        if hours is not None and self._clock() - self._began >= hours * 3600:
            return f"stop: {hours:g} hours are over"
        if target is not None and self._best is not None and not better(self._target, target, self._best):
            return f"stop: a point has reached {target:g} ({self._target.name} {self._best:.4g})"
        if patience is not None and self._since >= patience:
            return f"stop: no better point in {patience}"
        return None


def _end(result: PointResult, study: Study, ended: dict[str, float]) -> float:
    return max(ended[study.trial_name(result.point, repeat)] for repeat in range(study.repeats))
