"""The graph of stages: the identities of a trial's stage runs, and what its config says of each."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any, get_args

from pydantic import BaseModel

from storage.typed import check_fields
from trainables.config.base import CHECKPOINT_SHARE, workers_range
from trainables.config.trial import TrialConfig, config_class
from trainables.identity import SCHEMA, decides, digest, identity_fields
from trainables.stage_definition import SOLVED_KIND, VIDEOS, ChosenInput, DecoderKind, Stage
from trainables.stage_table import DATASET_PLUGINS, DECODER_KINDS, EXTENDED_BY, STAGES, VIDEO_STAGES

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


def inputs_of(stage: str, system: str, config: TrialConfig | None = None) -> tuple[str, ...]:
    """Return the inputs of `stage` in a trial of `system`: with `config`, or all that one can have."""
    always = (VIDEO_STAGES[system] if name == VIDEOS else name for name in STAGES[stage].inputs)
    chosen = (each.stage for each in STAGES[stage].chosen if config is None or chooses(config, each))
    return (*always, *chosen)


def chooses(config: TrialConfig, each: ChosenInput) -> bool:
    """Return whether `config` has the value with which a stage has this input."""
    section, _, name = each.field.partition(".")
    return bool(getattr(getattr(config, section), name) == each.value)


def video_stage(stages: Iterable[str]) -> str:
    """Return the one of a trial's `stages` that makes its videos; if there is none, that of the default system."""
    default = VIDEO_STAGES[TrialConfig.model_fields["system"].default]
    return next((name for name in stages if name in VIDEO_STAGES.values()), default)


def ancestors(targets: Iterable[str], *, systems: Iterable[str], config: TrialConfig | None = None) -> tuple[str, ...]:
    """Return `targets` and all stages they depend on in a trial of any of `systems`, inputs first.

    With `config`, inputs that it does not choose are left out; otherwise all that a trial can have are there.

    Raises:
        KeyError: A stage or system is unknown.

    Example:
        >>> ancestors(["semantic"], systems=["mindanimator"])
        ('clips', 'features', 'data', 'voxels', 'semantic')
    """
    ordered: dict[str, None] = {}
    of_study = tuple(systems)

    def visit(name: str) -> None:
        if name in ordered:  # otherwise each way that leads to a stage would be walked
            return
        for system in of_study:
            for needed in inputs_of(name, system, config):
                visit(needed)
        ordered.setdefault(name)

    for target in targets:
        visit(target)
    return tuple(ordered)


def needed_stages(config: TrialConfig, targets: Iterable[str]) -> tuple[str, ...]:
    """Return `targets` and all stages they depend on with `config`, inputs first.

    Example:
        >>> from trainables.config.trial import resolve
        >>> needed_stages(resolve({"system": "han_like"}), ["han"])
        ('clips', 'features', 'data', 'voxels', 'han')
    """
    return ancestors(targets, systems=[config.system], config=config)


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
    for name in needed_stages(config, targets):
        stage = STAGES[name]
        decisive = (name, *(getattr(config, section) for section in sections_of(stage, config)))
        if decisive not in fields_of:
            fields_of[decisive] = _fields(stage, config)
        fields = fields_of[decisive]
        inputs = {needed: runs[needed].identity for needed in inputs_of(name, config.system, config)}
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
