"""The full config of a trial, built from named sets of defaults and from overrides."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self

from pydantic import model_validator

from trainables.config.analysis import EncodingAccuracyConfig, ImportanceConfig
from trainables.config.base import Config
from trainables.config.data import DatasetConfig, PhantomConfig, PhantomWorld, VoxelsConfig
from trainables.config.decoders import MotionConfig, NoopConfig, SemanticConfig, StructureConfig
from trainables.config.features import BackbonesConfig, FeaturesConfig
from trainables.config.frame_networks import AutoencoderConfig, MapInverseConfig
from trainables.config.gan import GanConfig
from trainables.config.kupershmidt import FRESH, SeeConfig, UnseeConfig
from trainables.config.layers import LayersConfig
from trainables.config.linear_systems import HanConfig, WenConfig
from trainables.config.mindvideo import CotrainConfig, MindvideoConfig, PremaskConfig, TokensConfig
from trainables.config.nishimoto import EncodeConfig, EnergyConfig, NishimotoConfig
from trainables.config.presets import GENERATIONS, PAPER_WIDTHS, PRESETS, PROFILES, defaults_of_system
from trainables.config.retrieve import RetrieveConfig
from trainables.config.video import EvaluateConfig, GeneratorConfig, GivenConfig, ReconstructConfig
from trainables.identity import BY_CONTENT
from trainables.stage_definition import SOLVED_KIND
from trainables.tables import Table


class TrialConfig(Config):
    """A section for each stage, three choices that set the defaults of the sections, and the system."""

    preset: Literal["phantom", "paper"] = "phantom"
    """Sizes of networks and inputs: small enough for a laptop, or those of the paper."""
    profile: Literal["paper", "released_code"] = "paper"
    """Which source is followed where the paper's text and its released code disagree."""
    generation: Literal["gentle", "paper"] = "gentle"
    """Procedure of the generator: the paper's, or one for the phantom's small diffusion model."""
    system: Literal[
        "mindanimator",
        "fcvgan_like",
        "kupershmidt_like",
        "given",
        "nishimoto2011",
        "mindvideo_like",
        "han_like",
        "wen2018",
    ] = "mindanimator"
    """Which system makes the videos. `mindanimator`: the stage `reconstruct`. `given`: they were made elsewhere and are
    read from `given.path`. Others: docs/systems."""
    dataset: DatasetConfig = PhantomConfig()
    voxels: VoxelsConfig = VoxelsConfig()
    backbones: BackbonesConfig = BackbonesConfig()
    features: FeaturesConfig = FeaturesConfig()
    layers: LayersConfig = LayersConfig()
    gan: GanConfig = GanConfig()
    see: SeeConfig = SeeConfig()
    unsee: UnseeConfig = UnseeConfig()
    semantic: SemanticConfig = SemanticConfig()
    structure: StructureConfig = StructureConfig()
    motion: MotionConfig = MotionConfig()
    reconstruct: ReconstructConfig = ReconstructConfig()
    generator: GeneratorConfig = GeneratorConfig()
    given: GivenConfig = GivenConfig()
    energy: EnergyConfig = EnergyConfig()
    encode: EncodeConfig = EncodeConfig()
    nishimoto: NishimotoConfig = NishimotoConfig()
    premask: PremaskConfig = PremaskConfig()
    tokens: TokensConfig = TokensConfig()
    cotrain: CotrainConfig = CotrainConfig()
    mindvideo: MindvideoConfig = MindvideoConfig()
    retrieve: RetrieveConfig = RetrieveConfig()
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    han: HanConfig = HanConfig()
    map_inverse: MapInverseConfig = MapInverseConfig()
    wen: WenConfig = WenConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    importance: ImportanceConfig = ImportanceConfig()
    encoding_accuracy: EncodingAccuracyConfig = EncodingAccuracyConfig()
    noop: NoopConfig = NoopConfig()

    @model_validator(mode="after")
    def _patches_tile_the_latent(self) -> Self:
        side, patch = self.features.latent_size, self.motion.patch_size
        if side % patch != 0:
            divisors = [p for p in range(1, side + 1) if side % p == 0]
            raise ValueError(
                f"motion.patch_size must divide features.latent_size ({side}), but got {patch}; possible are {divisors}"
            )
        return self

    @model_validator(mode="after")
    def _blocks_can_be_held(self) -> Self:
        if self.tokens.freeze > self.premask.depth:
            raise ValueError(
                f"tokens.freeze must be at most premask.depth ({self.premask.depth}), but got {self.tokens.freeze}"
            )
        return self

    @model_validator(mode="after")
    def _mindvideo_starts_from_noise(self) -> Self:
        if self.system == "mindvideo_like" and self.generator.procedure != "scratch":
            raise ValueError(
                "system: mindvideo_like decodes no latents, so generator.procedure must be scratch, but got "
                f"{self.generator.procedure}"
            )
        return self

    @model_validator(mode="after")
    def _fresh_clips_are_of_a_phantom(self) -> Self:
        fresh = self.unsee.external == FRESH and self.unsee.unpaired > 0
        if self.system == "kupershmidt_like" and fresh and not isinstance(self.dataset, PhantomWorld):
            raise ValueError(
                f"unsee.external: {FRESH} draws clips of the phantom's world, but dataset.kind is {self.dataset.kind}; "
                "give a folder of videos, or set unsee.unpaired: 0"
            )
        return self

    @model_validator(mode="after")
    def _other_subjects_have_layers(self) -> Self:
        if self.voxels.others and self.system != "mindanimator":
            raise ValueError(
                f"voxels.subjects trains the decoders of system: mindanimator; system: {self.system} is trained on "
                "voxels.subject alone, so leave voxels.subjects out"
            )
        for name, decoder in (("semantic", self.semantic), ("structure", self.structure), ("motion", self.motion)):
            problem = _problem_with_subjects(decoder, self.voxels)
            if problem is not None:
                raise ValueError(f"{name}.{problem}")
        return self

    @model_validator(mode="after")
    def _given_videos_have_a_folder(self) -> Self:
        if self.system == "given" and self.given.path is None:
            raise ValueError("system: given needs given.path, the folder of the videos")
        return self


def _problem_with_subjects(
    decoder: SemanticConfig | StructureConfig | MotionConfig, voxels: VoxelsConfig
) -> str | None:
    """Return why a decoder cannot be trained on the subjects that `voxels` names, beginning with the field."""
    out = f"leave voxels.subjects ({list(voxels.subjects)}) out"
    if not voxels.others:
        tuned = decoder.fine_tune.epochs
        return None if tuned == 0 else f"fine_tune.epochs is {tuned}, which needs other subjects in voxels.subjects"
    if decoder.kind == SOLVED_KIND:
        return (
            f"kind: {decoder.kind} is one map from one space of voxels, and the voxels of different subjects have no "
            f"common space; choose a kind that is trained, which has a first layer per subject, or {out}"
        )
    return None if decoder.weights is None else f"weights is given, so nothing is trained: {out}"


_CLASSES: Mapping[str, type[TrialConfig]] = Table("config", {})


def config_class() -> type[TrialConfig]:
    """Return the class of a trial's config: `TrialConfig`, with the sections and kinds of the active plug-ins."""
    return _CLASSES.get("trial", TrialConfig)


def config_from_json(value: Mapping[str, Any]) -> TrialConfig:
    """Return the config that `model_dump(mode="json")` wrote. Raises `pydantic.ValidationError`."""
    return config_class().model_validate(value)


WEIGHT_FIELDS = tuple(
    f"{section}.{name}"
    for section, model in (("backbones", BackbonesConfig), ("layers", LayersConfig), ("evaluate", EvaluateConfig))
    for name, info in model.model_fields.items()
    if BY_CONTENT in info.metadata
)
"""Fields that name weights: `phantom`, a folder, or a hub name."""


def resolve(overrides: Mapping[str, Any]) -> TrialConfig:
    """Return the config of dotted `overrides`, on top of the defaults of the named sets that they choose.

    Example:
        >>> config = resolve({"preset": "paper", "motion.depth": 3})
        >>> config.motion.depth, config.features.resolution
        (3, 512)

    Raises:
        pydantic.ValidationError: A field is unknown, of a wrong type or out of range.
    """
    nested = nest(overrides)
    preset = str(nested.get("preset", "phantom"))
    generation = str(nested.get("generation", "paper" if preset == "paper" else "gentle"))
    widths = _width_of_patches(nested) if preset == "paper" else {}
    chosen = _Sets(preset, generation, str(nested.get("system", "mindanimator")), str(nested.get("profile", "paper")))
    merged = _copied(_defaults(chosen, tuple(widths.items())))
    merge_into(merged, nested)
    return config_class().model_validate(merged)


class _Sets(NamedTuple):
    """The named sets of defaults that a trial chooses."""

    preset: str
    generation: str
    system: str
    profile: str


@lru_cache(maxsize=64)  # a plan of many points asks for each of them
def _defaults(chosen: _Sets, widths: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Return what named sets and the token width set, nested. The caller changes a copy only."""
    layers: list[Mapping[str, Any]] = [
        {"dataset.kind": "phantom", "generation": chosen.generation},
        PRESETS.get(chosen.preset, {}),
        dict(widths),
        GENERATIONS.get(chosen.generation, {}),
        defaults_of_system(chosen.system, preset=chosen.preset, generation=chosen.generation),
        PROFILES.get(chosen.profile, {}),
    ]
    merged: dict[str, Any] = {}
    for layer in map(nest, layers):
        merge_into(merged, layer)
    return merged


def _copied(nested: dict[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in nested.items()}


def _width_of_patches(nested: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the token width for the patch size that `nested` sets; `preset: paper` has that of its own size."""
    motion = nested.get("motion", {})
    if not isinstance(motion, Mapping):
        return {}
    if motion.get("kind") == "cmg_small_patch":
        return {"motion.width": 512, "motion.heads": 8, "motion.depth": 4}
    patch = motion.get("patch_size")
    return {"motion.width": PAPER_WIDTHS[patch]} if isinstance(patch, int) and patch in PAPER_WIDTHS else {}


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn `{"a.b": 1, "a": {"c": 2}}` into `{"a": {"b": 1, "c": 2}}`."""
    result: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        branch: dict[str, Any] = {leaf: nest(value) if isinstance(value, Mapping) else value}
        for parent in reversed(parents):
            branch = {parent: branch}
        merge_into(result, branch)
    return result


def merge_into(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    """Merge `source` into `target`, branch by branch. If both have a leaf, that of `source` is used."""
    for key, value in source.items():
        present = target.get(key)
        if isinstance(value, Mapping) and isinstance(present, dict):
            merge_into(present, value)
        else:
            target[key] = nest(value) if isinstance(value, Mapping) else value


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn `{"a": {"b": 1}}` into `{"a.b": 1}`. Lists are not changed."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
