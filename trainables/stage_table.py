"""The table of stages: all that is known of each.

Importing this module loads no stage: `implementation` names the function that is imported when the stage is executed.

A further system (a method that makes videos) is a name in `TrialConfig.system`, a stage in `trainables.system_stages`
that has `makes` it, and an entry in `trainables.systems`.
"""

from collections.abc import Mapping

from trainables.stage_definition import VIDEOS, DecoderKind, Stage
from trainables.system_stages import SYSTEM_STAGES
from trainables.tables import DerivedTable, Table

_STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "clips",
            1,
            ("dataset",),
            (),
            "trainables.stages.clips:run",
            (2.0, 260_000_000),
            gpu=False,
            fingerprint="trainables.datasets:clips_fingerprint",
            files="trainables.datasets:clips_files",
        ),
        Stage(
            "data",
            2,
            ("dataset",),
            ("clips",),
            "trainables.stages.data:run",
            (5.0, 143_000_000),
            gpu=False,
            fingerprint="trainables.datasets:brains_fingerprint",
            files="trainables.datasets:brains_files",
        ),
        Stage(
            "features",
            2,
            ("features", "backbones"),
            ("clips",),
            "trainables.stages.features:run",
            (35.0, 110_000_000),
            cores=2,
            fingerprint="trainables.backbones:fingerprint",
            files="trainables.backbones:feature_files",
        ),
        Stage(
            "layers",
            1,
            ("layers",),
            ("clips",),
            "trainables.stages.layers:run",
            (10.0, 36_000_000),
            fingerprint="trainables.backbones:layers_fingerprint",
            files="trainables.backbones:layers_files",
        ),
        Stage("voxels", 2, ("voxels",), ("data",), "trainables.stages.voxels:run", (0.3, 9_500_000), gpu=False),
        Stage(
            "semantic",
            3,
            ("semantic",),
            ("features", "voxels"),
            "trainables.stages.semantic:run",
            (8.0, 4_300_000),
            seeded=True,
            builder="trainables.saved:semantic_network",
            fingerprint="trainables.imported.weights_folder:semantic_weights",
            files="trainables.imported.weights_folder:semantic_files",
        ),
        Stage(
            "structure",
            1,
            ("structure",),
            ("features", "voxels"),
            "trainables.stages.structure:run",
            (5.0, 3_500_000),
            seeded=True,
            builder="trainables.saved:structure_network",
            fingerprint="trainables.imported.weights_folder:structure_weights",
            files="trainables.imported.weights_folder:structure_files",
        ),
        Stage(
            "motion",
            1,
            ("motion",),
            ("features", "voxels", "structure"),
            "trainables.stages.motion:run",
            (14.0, 12_000_000),
            seeded=True,
            builder="trainables.saved:motion_network",
            fingerprint="trainables.imported.weights_folder:motion_weights",
            files="trainables.imported.weights_folder:motion_files",
        ),
        Stage(
            "controls",
            1,
            ("generator", "backbones"),
            ("features", "voxels"),
            "trainables.stages.controls:run",
            (19.0, 13_000_000),
            fingerprint="trainables.backbones:generator_fingerprint",
            files="trainables.backbones:generator_files",
        ),
        Stage(
            "library", 1, (), ("clips", "data", "features", "voxels"), "trainables.stages.library:run", (0.8, 100_000)
        ),
        Stage(
            "reconstruct",
            1,
            ("reconstruct", "generator", "backbones"),
            ("features", "voxels", "semantic", "structure", "motion"),
            "trainables.stages.reconstruct:run",
            (18.0, 13_000_000),
            seeded=True,
            makes="mindanimator",
            fingerprint="trainables.backbones:generator_fingerprint",
            files="trainables.backbones:generator_files",
        ),
        Stage(
            "given",
            1,
            ("given",),
            ("clips", "voxels"),
            "trainables.stages.given:run",
            (5.0, 6_000_000),
            gpu=False,
            makes="given",
            fingerprint="trainables.judging.given_videos:given_fingerprint",
            files="trainables.judging.given_videos:given_files",
        ),
        Stage(
            "control_scores",
            5,
            ("evaluate",),
            ("clips", "voxels", "controls", "library"),
            "trainables.stages.control_scores:run",
            (13.0, 15_000_000),
            cores=2,
            fingerprint="trainables.backbones:judges_fingerprint",
            files="trainables.backbones:judges_files",
        ),
        Stage(
            "evaluate",
            6,
            ("evaluate",),
            ("clips", "data", "voxels", VIDEOS, "controls", "library", "control_scores"),
            "trainables.stages.evaluate:run",
            (8.5, 1_300_000),
            fingerprint="trainables.backbones:judges_fingerprint",
            files="trainables.backbones:judges_files",
        ),
        Stage(
            "importance",
            2,
            ("importance",),
            ("data", "features", "voxels", "semantic", "structure", "motion"),
            "trainables.stages.importance:run",
            (60.0, 200_000),
        ),
        Stage(
            "encoding_accuracy",
            1,
            ("encoding_accuracy",),
            ("data", "features", "voxels"),
            "trainables.stages.encoding_accuracy:run",
            (15.0, 100_000),
            held_out=True,
            gpu=False,
        ),
        *SYSTEM_STAGES,
        Stage("noop", 1, ("noop",), (), "trainables.stages.noop:run", (0.05, 1_000), seeded=True, gpu=False),
    )
}
STAGES: Mapping[str, Stage] = Table("stages", _STAGES)

VIDEO_STAGES: Mapping[str, str] = DerivedTable(
    lambda: {stage.makes: stage.name for stage in STAGES.values() if stage.makes is not None}
)
"""System to the stage that makes its videos."""

DECODER_KINDS: Mapping[str, DecoderKind] = Table("decoder_kinds", {})
"""`stage.kind` to the kinds that plug-ins add."""
EXTENDED_BY: Mapping[str, tuple[str, ...]] = Table("extended_by", {})
"""Stage to the SHA-256 of the plug-ins that add to what each of its runs computes, such as a metric of videos."""
DATASET_PLUGINS: Mapping[str, str] = Table("dataset_plugins", {})
"""Kind of data set to the SHA-256 of the plug-in that adds it."""
