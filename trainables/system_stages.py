"""The stages of further systems: entries of the table in `trainables.stage_table`."""

from trainables.pixel_system_stages import PIXEL_SYSTEM_STAGES
from trainables.stage_definition import Stage

SYSTEM_STAGES: tuple[Stage, ...] = (
    *PIXEL_SYSTEM_STAGES,
    Stage("energy", 1, ("energy",), ("clips",), "trainables.stages.energy:run", (20.0, 15_000_000), gpu=False),
    Stage(
        "encode",
        1,
        ("encode",),
        ("voxels", "energy"),
        "trainables.stages.encode:run",
        (30.0, 15_000_000),
        gpu=False,
        held_out=True,
    ),
    Stage(
        "nishimoto",
        1,
        ("nishimoto",),
        ("clips", "voxels", "encode"),
        "trainables.stages.nishimoto:run",
        (10.0, 50_000_000),
        gpu=False,
        held_out=True,
        makes="nishimoto2011",
    ),
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
