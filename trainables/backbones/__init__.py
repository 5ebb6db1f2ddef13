"""The frozen networks that features are read with: loaded by name or folder, or the small ones shipped as `phantom`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from storage.content import settled_file_at
from trainables.backbones.architectures import CONFIG, FIELD, check_files, read_config
from trainables.backbones.sources import WeightSource, check_model, check_parts, locate, source_digest, source_files
from trainables.config.features import TABLE
from trainables.config.trial import TrialConfig
from trainables.datasets.wordnet import wordnet_files

_VAE = ("vae",)
STABLE_DIFFUSION_PARTS = ("vae", "text_encoder", "tokenizer")
_OWN_GENERATOR_PARTS = ("unet", "scheduler")
GENERATOR_PARTS = (*STABLE_DIFFUSION_PARTS, *_OWN_GENERATOR_PARTS)


def fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the weights that features are read with. Loads none of them.

    Raises:
        ValueError: A source of `config.backbones` is neither `phantom`, a folder, nor formed like a hub name, or the
            folder of the synonyms lacks files.
    """
    diffusion, clip = _feature_sources(config)
    words = _synonym_files(config)
    synonyms = {"synonyms": [settled_file_at(path).digest for path in words]} if words else {}
    return {
        "stable_diffusion": source_digest(diffusion, parts=STABLE_DIFFUSION_PARTS),
        "clip": source_digest(clip),
        **synonyms,
    }


def feature_files(config: TrialConfig) -> list[Path]:
    """Return the files that `fingerprint` stands for."""
    diffusion, clip = _feature_sources(config)
    return [*source_files(diffusion, parts=STABLE_DIFFUSION_PARTS), *source_files(clip), *_synonym_files(config)]


def vae_fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the VAE alone. Raises `ValueError` as `fingerprint`."""
    return source_digest(_diffusion(config, _VAE), parts=_VAE)


def vae_files(config: TrialConfig) -> list[Path]:
    """Return the files that `vae_fingerprint` stands for."""
    return source_files(_diffusion(config, _VAE), parts=_VAE)


def generator_fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the weights that video is made with. Raises `ValueError` as `fingerprint`."""
    return source_digest(_diffusion(config, _OWN_GENERATOR_PARTS), parts=GENERATOR_PARTS)


def generator_files(config: TrialConfig) -> list[Path]:
    """Return the files that `generator_fingerprint` stands for."""
    return source_files(_diffusion(config, _OWN_GENERATOR_PARTS), parts=GENERATOR_PARTS)


def judges_fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the weights that video is judged by. Raises `ValueError` as `fingerprint`."""
    return {role: source_digest(source) for role, source in _judges(config).items()}


def judge_digests(sources: Mapping[str, str]) -> dict[str, Any]:
    """Return what identifies the weights of each source, by role. Raises `ValueError` as `fingerprint`."""
    return {role: source_digest(locate_judge(role, source, field=role)) for role, source in sources.items()}


def judges_files(config: TrialConfig) -> list[Path]:
    """Return the files that `judges_fingerprint` stands for."""
    return [file for source in _judges(config).values() for file in source_files(source)]


def layers_fingerprint(config: TrialConfig) -> Any:
    """Return what identifies the network of `layers.source`. Raises `ValueError` as `fingerprint`."""
    return source_digest(_layers(config))


def layers_files(config: TrialConfig) -> list[Path]:
    """Return the files that `layers_fingerprint` stands for."""
    return source_files(_layers(config))


def _layers(config: TrialConfig) -> WeightSource:
    source = locate(config.layers.source, kind="layers", field=FIELD)
    if source.is_folder:
        check_files(Path(source.location))
        read_config(Path(source.location) / CONFIG, location=source.location)
    return source


def _synonym_files(config: TrialConfig) -> list[Path]:
    """Return the files of the synonyms; none for our own table, which belongs to the code."""
    source = config.features.synonyms
    return [] if source == TABLE else wordnet_files(Path(source))


def _diffusion(config: TrialConfig, parts: Iterable[str] = STABLE_DIFFUSION_PARTS) -> WeightSource:
    source = locate(config.backbones.stable_diffusion, kind="stable_diffusion")
    check_parts(source, parts, field="backbones.stable_diffusion")
    return source


def _feature_sources(config: TrialConfig) -> tuple[WeightSource, WeightSource]:
    clip = locate(config.backbones.clip, kind="clip")
    check_model(clip, kind="clip", field="backbones.clip")
    return _diffusion(config), clip


_JUDGES: Mapping[str, str] = {
    "image_classifier": "image_classifier",
    "video_classifier": "video_classifier",
    "vifi": "clip",
    "clip": "clip",
}
"""Field of `evaluate` to the kind of its network."""


def _judges(config: TrialConfig) -> Mapping[str, WeightSource]:
    sources = {role: getattr(config.evaluate, role) for role in _JUDGES}
    return {role: locate_judge(role, source, field=f"evaluate.{role}") for role, source in sources.items()}


def locate_judge(role: str, source: str, *, field: str) -> WeightSource:
    """Return where the judge for a role of `evaluate` lies.

    Raises:
        ValueError: As `locate`, or the folder holds another kind of model. The message begins with `field`.
    """
    located = locate(source, kind=_JUDGES[role], field=field)
    check_model(located, kind=_JUDGES[role], field=field, whole=False)
    return located
