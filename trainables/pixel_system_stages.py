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
    Stage(
        "see",
        1,
        ("see", "layers"),
        ("clips", "voxels"),
        "trainables.stages.see:run",
        (400.0, 4_000_000),
        seeded=True,
        held_out=True,
        fingerprint="trainables.backbones:layers_fingerprint",
        files="trainables.backbones:layers_files",
    ),
    Stage(
        "unsee",
        2,
        ("unsee", "see", "layers"),
        ("clips", "voxels", "see"),
        "trainables.stages.unsee:run",
        (900.0, 30_000_000),
        seeded=True,
        held_out=True,
        makes="kupershmidt_like",
        fingerprint="trainables.unpaired_sources:unsee_fingerprint",
        files="trainables.unpaired_sources:unsee_files",
    ),
)
