"""The graph of stages: all that is known of each stage, and the identities of a trial's stage runs.

Importing this module loads no stage: `implementation` names the function that is imported when the stage is executed.

A further system (a method that makes videos) is a name in `TrialConfig.system` and a stage here that has `makes` it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any, get_args

from pydantic import BaseModel

from storage.typed import check_fields
from trainables.config.base import CHECKPOINT_SHARE, workers_range
from trainables.config.trial import TrialConfig, config_class
from trainables.identity import SCHEMA, decides, digest, identity_fields
from trainables.tables import DerivedTable, Table

SOLVED_KIND = "ridge"
"""`kind` of a decoder's section with which its stage is solved in closed form: without epochs, seed or workers."""
VIDEOS = "@videos"
"""Among the inputs of a stage: the stage that makes the videos of the trial's system."""


@dataclass(frozen=True)
class Stage:
    """One step of a trial: a pure function of its config sections, its seed and its inputs."""

    name: str
    version: int
    """Increased when the same config would give another result. All runs of the stage are then executed again."""
    sections: tuple[str, ...]
    inputs: tuple[str, ...]
    """Other stages, or `VIDEOS`."""
    implementation: str
    guess: tuple[float, int]
    """Seconds and bytes of one run with the phantom preset on two CPU cores. Used while no run of it is stored."""
    seeded: bool = False
    makes: str | None = None
    """The system (`TrialConfig.system`) whose videos it makes, as `videos` and `index` in `videos.safetensors`."""
    builder: str | None = None
    """For a decoder, the reference of the function that builds its network again: see `trainables.saved`."""
    cores: int = 1
    """CPUs of a shared stage run, if the cluster has them. More than 1 only if the result stays bit-identical."""
    gpu: bool = True
    """Whether it computes on a GPU, if it is granted one."""
    fingerprint: str | None = None
    """The reference of a function from `TrialConfig` to JSON values. They describe what affects the result and is not
    in the config, such as files. The function reads only the stage's own sections."""
    files: str | None = None
    """The reference of a function from `TrialConfig` to the paths of the files that the fingerprint stands for. The
    stage run is refused if they are others than it was planned with, or change while it reads."""
    plugin: str | None = None
    """The SHA-256 of the plug-in that the stage comes from. It is part of the identity."""

    @property
    def is_decoder(self) -> bool:
        """Whether it trains a decoder, whose metrics are computed on validation and on test clips."""
        return self.builder is not None


_STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "clips",
            1,
            ("dataset",),
            (),
            "trainables.stages.clips:run",
            (8.0, 260_000_000),
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
            (17.0, 40_000_000),
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
            (130.0, 220_000_000),
            cores=2,
            fingerprint="trainables.backbones:fingerprint",
            files="trainables.backbones:feature_files",
        ),
        Stage("voxels", 2, ("voxels",), ("data",), "trainables.stages.voxels:run", (4.0, 11_000_000), gpu=False),
        Stage(
            "semantic",
            2,
            ("semantic",),
            ("features", "voxels"),
            "trainables.stages.semantic:run",
            (10.0, 4_000_000),
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
            (8.0, 6_000_000),
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
            (15.0, 10_000_000),
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
            (60.0, 12_000_000),
            fingerprint="trainables.backbones:generator_fingerprint",
            files="trainables.backbones:generator_files",
        ),
        Stage(
            "library", 1, (), ("clips", "data", "features", "voxels"), "trainables.stages.library:run", (8.0, 130_000)
        ),
        Stage(
            "reconstruct",
            1,
            ("reconstruct", "generator", "backbones"),
            ("features", "voxels", "semantic", "structure", "motion"),
            "trainables.stages.reconstruct:run",
            (60.0, 12_000_000),
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
            4,
            ("evaluate",),
            ("clips", "voxels", "controls", "library"),
            "trainables.stages.control_scores:run",
            (20.0, 400_000),
            cores=2,
            fingerprint="trainables.backbones:judges_fingerprint",
            files="trainables.backbones:judges_files",
        ),
        Stage(
            "evaluate",
            5,
            ("evaluate",),
            ("clips", "data", "voxels", VIDEOS, "controls", "library", "control_scores"),
            "trainables.stages.evaluate:run",
            (20.0, 4_000_000),
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
        Stage("noop", 1, ("noop",), (), "trainables.stages.noop:run", (0.05, 1_000), seeded=True, gpu=False),
    )
}
STAGES: Mapping[str, Stage] = Table("stages", _STAGES)

VIDEO_STAGES: Mapping[str, str] = DerivedTable(
    lambda: {stage.makes: stage.name for stage in STAGES.values() if stage.makes is not None}
)
"""System to the stage that makes its videos."""


@dataclass(frozen=True)
class DecoderKind:
    """A kind of decoder that a plug-in adds: what the stage `stage` does if `kind` of its section is `name`."""

    stage: str
    name: str
    implementation: str
    plugin: str
    """The SHA-256 of the plug-in. It is part of the identity of runs of this kind."""
    section: str | None = None
    """The config section with the settings of this kind, beside that of the stage."""
    builder: str | None = None
    """As `Stage.builder`."""
    solved: bool = False
    """Whether it is solved without epochs, so that neither seed nor number of workers matters."""


DECODER_KINDS: Mapping[str, DecoderKind] = Table("decoder_kinds", {})
"""`stage.kind` to the kinds that plug-ins add."""
EXTENDED_BY: Mapping[str, tuple[str, ...]] = Table("extended_by", {})
"""Stage to the SHA-256 of the plug-ins that add to what each of its runs computes, such as a metric of videos."""
DATASET_PLUGINS: Mapping[str, str] = Table("dataset_plugins", {})
"""Kind of data set to the SHA-256 of the plug-in that adds it."""
_DATA_STAGES = ("clips", "data")


def decoder_kind(config: TrialConfig, stage: str) -> DecoderKind | None:
    """Return the kind of decoder that the run of `stage` trains, if a plug-in added it."""
    return DECODER_KINDS.get(f"{stage}.{getattr(getattr(config, stage, None), 'kind', None)}")


def sections_of(stage: Stage, config: TrialConfig) -> tuple[str, ...]:
    """Return the sections of `config` that decide a run of `stage`."""
    kind = decoder_kind(config, stage.name)
    return stage.sections if kind is None or kind.section is None else (*stage.sections, kind.section)


def stage_function(config: TrialConfig, stage: str) -> Any:
    """Import and return the function that executes `stage` with `config`."""
    kind = decoder_kind(config, stage)
    return resolve_reference(STAGES[stage].implementation if kind is None else kind.implementation)


@dataclass(frozen=True)
class StageRun:
    """One execution of a stage, with its identity. Plain JSON values only: it is sent between processes."""

    stage: str
    identity: str
    seed: int
    config: Mapping[str, Any]
    """The identity fields of the stage's sections, as they are hashed."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Stage name to identity."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StageRun":
        """Return the stage run that `to_json` described. Raises `IntegrityError` for a wrong type."""
        check_fields(cls, value)
        return cls(**value)


def workers_of(config: TrialConfig, stage: str) -> tuple[int, int]:
    """Return the minimum and maximum number of worker processes for a run of `stage`."""
    if is_solved(config, stage):
        return 1, 1
    return workers_range(getattr(_training(config, stage), "workers", 1))


def is_solved(config: TrialConfig, stage: str) -> bool:
    """Return whether the decoder of `stage` is solved in closed form, so that neither seed nor epochs matter."""
    return STAGES[stage].is_decoder and getattr(getattr(config, stage, None), "kind", None) in solved_kinds(stage)


def solved_kinds(stage: str) -> tuple[str, ...]:
    """Return the kinds of decoder of `stage` that are solved without epochs."""
    return (SOLVED_KIND, *(kind.name for kind in DECODER_KINDS.values() if kind.solved and kind.stage == stage))


def always_uses_ray_train(config: TrialConfig, stage: str) -> bool:
    """Return whether Ray Train runs `stage` also with one worker."""
    return not is_solved(config, stage) and getattr(_training(config, stage), "use_ray_train", "auto") == "always"


def uses_gpu(config: TrialConfig, stage: str) -> bool:
    """Return whether a run of `stage` computes on a GPU, if it is granted one."""
    return STAGES[stage].gpu and getattr(_training(config, stage), "device", "auto") != "cpu"


def checkpoint_share(config: TrialConfig, stage: str) -> float:
    """Return the share of its time that a run of `stage` may spend on checkpoints."""
    return float(getattr(_training(config, stage), "checkpoint_share", CHECKPOINT_SHARE))


def _training(config: TrialConfig, stage: str) -> object:
    """Return the part of the config that says where and how `stage` trains; None if it has no section."""
    section = getattr(config, stage, None)
    return getattr(section, "train", section)


def depends_on(stage: str, field: str) -> bool:
    """Tell whether the dotted config `field` decides `stage` directly: is in its sections, and not for others alone.

    A field that no config has counts if its section is the stage's.
    """
    section, _, inner = field.partition(".")
    kinds = (kind.section for kind in DECODER_KINDS.values() if kind.stage == stage)
    if section not in (*STAGES[stage].sections, *kinds):
        return False
    models = _models_of(section)
    infos = [model.model_fields[name] for model in models if (name := inner.partition(".")[0]) in model.model_fields]
    return not infos or any(decides(info, stage) for info in infos)


def _models_of(section: str) -> tuple[type[BaseModel], ...]:
    """Return the config class of a section, or those that it may have."""
    annotation = config_class().model_fields[section].annotation
    return tuple(kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type))


def resolve_reference(reference: str) -> Any:
    """Import and return the object that `package.module:name` refers to."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def inputs_of(stage: str, system: str) -> tuple[str, ...]:
    """Return the inputs of `stage` in a trial of `system`."""
    return tuple(VIDEO_STAGES[system] if name == VIDEOS else name for name in STAGES[stage].inputs)


def video_stage(stages: Iterable[str]) -> str:
    """Return the one of a trial's `stages` that makes its videos; if there is none, that of the default system."""
    default = VIDEO_STAGES[TrialConfig.model_fields["system"].default]
    return next((name for name in stages if name in VIDEO_STAGES.values()), default)


def ancestors(targets: Iterable[str], *, systems: Iterable[str]) -> tuple[str, ...]:
    """Return `targets` and all stages they depend on in a trial of any of `systems`, inputs first.

    Raises:
        KeyError: A stage or system is unknown.

    Example:
        >>> ancestors(["semantic"], systems=["mindanimator"])
        ('clips', 'features', 'data', 'voxels', 'semantic')
    """
    ordered: dict[str, None] = {}
    of_study = tuple(systems)

    def visit(name: str) -> None:
        for system in of_study:
            for needed in inputs_of(name, system):
                visit(needed)
        ordered.setdefault(name)

    for target in targets:
        visit(target)
    return tuple(ordered)


Memory = dict[tuple[Any, ...], dict[str, Any]]
"""A cache for `stage_runs` of many configs: a stage's name and config sections to the fields that are hashed."""


def stage_runs(
    config: TrialConfig, *, seed: int, targets: Iterable[str], memory: Memory | None = None
) -> tuple[StageRun, ...]:
    """Return the stage runs that `targets` need with `config`, inputs first.

    This is a pure function, except that fingerprints read files. If several calls share a `memory`, config sections
    that they have in common are hashed once, and the files are read once, at the first of these calls.
    """
    runs: dict[str, StageRun] = {}
    fields_of: Memory = {} if memory is None else memory
    for name in ancestors(targets, systems=[config.system]):
        stage = STAGES[name]
        decisive = (name, *(getattr(config, section) for section in sections_of(stage, config)))
        if decisive not in fields_of:
            fields_of[decisive] = _fields(stage, config)
        fields = fields_of[decisive]
        inputs = {needed: runs[needed].identity for needed in inputs_of(name, config.system)}
        run_seed = seed if stage.seeded and not is_solved(config, name) else 0
        key = [SCHEMA, name, stage.version, fields, run_seed, inputs]
        runs[name] = StageRun(name, f"{name}-{digest(key)}", run_seed, fields, inputs)
    return tuple(runs.values())


def _fields(stage: Stage, config: TrialConfig) -> dict[str, Any]:
    sections = sections_of(stage, config)
    fields = {section: identity_fields(getattr(config, section), stage=stage.name) for section in sections}
    fingerprint = {} if stage.fingerprint is None else resolve_reference(stage.fingerprint)(config)
    if fingerprint:
        fields["fingerprint"] = fingerprint
    plugins = plugins_of(config, stage.name)
    return {**fields, "plugins": list(plugins)} if plugins else fields


def plugins_of(config: TrialConfig, stage: str) -> tuple[str, ...]:
    """Return the SHA-256 of each plug-in whose code a run of `stage` executes, sorted."""
    kind = decoder_kind(config, stage)
    data = DATASET_PLUGINS.get(config.dataset.kind) if stage in _DATA_STAGES else None
    digests = {STAGES[stage].plugin, None if kind is None else kind.plugin, data, *EXTENDED_BY.get(stage, ())}
    return tuple(sorted(sha256 for sha256 in digests if sha256 is not None))
