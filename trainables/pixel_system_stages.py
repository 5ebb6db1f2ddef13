"""The stages of systems that are trained on pixels: entries of the table in `trainables.stage_table`."""

from trainables.stage_definition import Stage

PIXEL_SYSTEM_STAGES: tuple[Stage, ...] = (
    Stage(
        "gan",
        1,
        ("gan",),
        ("clips", "voxels"),
        "trainables.stages.gan:run",
        (600.0, 30_000_000),
        seeded=True,
        held_out=True,
        makes="fcvgan_like",
    ),
)
