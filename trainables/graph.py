"""The stages: what each is made of, what it needs, and the identity of every stage run of a trial.

Importing this loads no stage: `implementation` names the function to import when a stage is really run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

from trainables.config.base import workers_range
from trainables.config.trial import TrialConfig
from trainables.identity import SCHEMA, digest, identity_fields


@dataclass(frozen=True)
class Stage:
    """One kind of step: a pure function of its config sections, its seed and its inputs."""

    name: str
    version: int
    """Raised when the same config would give another result; every run of the stage is then done anew."""
    sections: tuple[str, ...]
    inputs: tuple[str, ...]
    implementation: str
    seeded: bool = False
    cores: int = 1
    """CPUs that a shared run is granted where the cluster has them. Only where they change no bit of the result."""
    fingerprint: str | None = None
    """Names a function from `TrialConfig` to JSON values, for what decides the result beside the config (files).
    It reads the stage's own sections only."""


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("data", 1, ("dataset",), (), "trainables.stages.data:run", fingerprint="trainables.datasets:fingerprint"),
        Stage(
            "features",
            1,
            ("features", "backbones"),
            ("data",),
            "trainables.stages.features:run",
            cores=2,
            fingerprint="trainables.backbones:fingerprint",
        ),
        Stage("voxels", 1, ("voxels",), ("data",), "trainables.stages.voxels:run"),
        Stage("semantic", 2, ("semantic",), ("features", "voxels"), "trainables.stages.semantic:run", seeded=True),
        Stage("structure", 1, ("structure",), ("features", "voxels"), "trainables.stages.structure:run", seeded=True),
        Stage(
            "motion", 1, ("motion",), ("features", "voxels", "structure"), "trainables.stages.motion:run", seeded=True
        ),
        Stage(
            "controls",
            1,
            ("generator", "backbones"),
            ("features", "voxels"),
            "trainables.stages.controls:run",
            fingerprint="trainables.backbones:generator_fingerprint",
        ),
        Stage(
            "reconstruct",
            1,
            ("reconstruct", "generator", "backbones"),
            ("features", "voxels", "semantic", "structure", "motion"),
            "trainables.stages.reconstruct:run",
            seeded=True,
            fingerprint="trainables.backbones:generator_fingerprint",
        ),
        Stage(
            "evaluate",
            1,
            ("evaluate",),
            ("data", "voxels", "reconstruct", "controls"),
            "trainables.stages.evaluate:run",
            fingerprint="trainables.backbones:judges_fingerprint",
        ),
        Stage(
            "importance",
            1,
            ("importance",),
            ("data", "features", "voxels", "semantic", "structure", "motion"),
            "trainables.stages.importance:run",
        ),
        Stage("noop", 1, ("noop",), (), "trainables.stages.noop:run", seeded=True),
    )
}


@dataclass(frozen=True)
class StageRun:
    """One execution of a stage, known by its identity. Plain JSON values only: it crosses process boundaries."""

    stage: str
    identity: str
    seed: int
    config: Mapping[str, Any]
    """The identity fields of the stage's sections, as hashed."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Stage name to identity."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "StageRun":
        """Read what `to_json` wrote."""
        return cls(**value)


def workers_of(config: TrialConfig, stage: str) -> tuple[int, int]:
    """Return the least and the most processes that may execute a run of `stage` together."""
    section = getattr(config, stage, None)
    return workers_range(getattr(getattr(section, "train", section), "workers", 1))


def resolve_reference(reference: str) -> Any:
    """Import what `package.module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def ancestors(targets: Iterable[str]) -> tuple[str, ...]:
    """Return `targets` and all that they need, inputs first. Raises `KeyError` for an unknown stage."""
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        for needed in STAGES[name].inputs:
            visit(needed)
        ordered.setdefault(name)

    for target in targets:
        visit(target)
    return tuple(ordered)


Memory = dict[tuple[Any, ...], dict[str, Any]]
"""A stage's name and config sections to what decides its result, for `stage_runs` of many configs."""


def stage_runs(
    config: TrialConfig, *, seed: int, targets: Iterable[str], memory: Memory | None = None
) -> tuple[StageRun, ...]:
    """Return the stage runs that `targets` need under `config`, inputs first. A pure function, but for fingerprints.

    With a `memory` that several calls share, what configs have in common is described, and its files are looked at,
    once: at the first of these calls.
    """
    runs: dict[str, StageRun] = {}
    known: Memory = {} if memory is None else memory
    for name in ancestors(targets):
        stage = STAGES[name]
        decisive = (name, *(getattr(config, section) for section in stage.sections))
        if decisive not in known:
            known[decisive] = _fields(stage, config)
        fields = known[decisive]
        inputs = {needed: runs[needed].identity for needed in stage.inputs}
        run_seed = seed if stage.seeded else 0
        key = [SCHEMA, name, stage.version, fields, run_seed, inputs]
        runs[name] = StageRun(name, f"{name}-{digest(key)}", run_seed, fields, inputs)
    return tuple(runs.values())


def _fields(stage: Stage, config: TrialConfig) -> dict[str, Any]:
    fields = {section: identity_fields(getattr(config, section)) for section in stage.sections}
    if stage.fingerprint is not None:
        fields["fingerprint"] = resolve_reference(stage.fingerprint)(config)
    return fields
