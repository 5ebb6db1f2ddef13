"""The failure of a study that had begun, and how often a failed trial is tried again."""

from collections.abc import Mapping

from trainables.failure import Cause


class StudyError(Exception):
    """The study cannot go on, through no mistake in its definition. Its text is for the user, the exit code is 1."""

    exit_code = 1


RETRIES: Mapping[Cause, int] = {"WORKER_LOST": 2, "NODE_LOST": 2, "STORE_LOST": 2, "OUT_OF_MEMORY": 1}
"""How often a trial is started again after each cause, counted by itself; after all others never.

What came from outside may not come again. Too little memory may be a neighbour's doing, once. The same loss diverges
again, the same code hangs or fails again, and a full disk stays full.
"""
