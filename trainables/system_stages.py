"""The stages of further systems: entries of the table in `trainables.stage_table`."""

from trainables.stage_definition import Stage

SYSTEM_STAGES: tuple[Stage, ...] = ()
