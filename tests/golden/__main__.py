"""Records results and sources anew: `python -m tests.golden`.

Refuses, and writes nothing, where results differ although the version of their stage or metric was not raised.
"""

import json
import sys

from tests.golden.results import SOURCES, Recorded, computed, differences, recorded, refusals
from tests.golden.sources import source_digests


def main() -> int:
    """Compare and record; return 1 if something changed without a new version."""
    before, now = recorded(), computed()
    problems = refusals(before, now)
    if problems:
        remedy = "raise the version of the stage in trainables/stage_table.py (of a metric: in trainables/metrics)"
        sys.stderr.write("\n".join([*problems, f"Nothing is recorded. If this is intended, {remedy}.", ""]))
        return 1
    _kept(before, now).write()
    SOURCES.write_text(json.dumps(source_digests(), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("Results are equal, or their version was raised; sources are recorded.\n")
    return 0


def _kept(before: Recorded, now: Recorded) -> Recorded:
    """Return `now`, with the recorded numbers wherever they agree: another processor is no reason for a diff."""
    stages = {
        stage: numbers if differences(before.stages.get(stage, {}), numbers) else before.stages[stage]
        for stage, numbers in now.stages.items()
    }
    return Recorded(
        now.versions, stages, before.metrics if not differences(before.metrics, now.metrics) else now.metrics
    )


if __name__ == "__main__":
    raise SystemExit(main())
