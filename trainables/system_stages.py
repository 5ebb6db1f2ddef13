"""The stages of further systems: entries of the table in `trainables.stage_table`."""

from trainables.stage_definition import Stage

SYSTEM_STAGES: tuple[Stage, ...] = (
    Stage(
        "premask",
        1,
        ("premask",),
        ("data", "voxels"),
        "trainables.stages.premask:run",
        (600.0, 3_000_000),
        seeded=True,
        held_out=True,
    ),
    Stage(
        "tokens",
        1,
        ("tokens",),
        ("data", "features", "voxels", "premask"),
        "trainables.stages.tokens:run",
        (120.0, 4_000_000),
        seeded=True,
        held_out=True,
    ),
)
