"""Export and import of a trained decoder: the weights as safetensors, and the settings to rebuild it as JSON."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from storage.runs import RunStore
from trainables.config.decoders import MotionConfig, SemanticConfig, StructureConfig
from trainables.config.trial import config_class
from trainables.graph import resolve_reference
from trainables.kinds import of_kind
from trainables.networks.decoders import semantic_decoder, structure_decoder
from trainables.networks.motion import motion_decoder
from trainables.stage_table import DECODER_KINDS, STAGES

MODEL, CONFIG = "model.safetensors", "config.json"
Shapes: TypeAlias = Mapping[str, Sequence[int]]


def save_decoder(runs: RunStore, identity: str, folder: Path) -> None:
    """Copy the model of a finished decoder stage run into `folder`, with the settings to rebuild it.

    `config.json` holds the stage, identity, seed, the stage's config, the number of voxels, and the shapes of the
    predictions for one clip.

    Raises:
        storage.errors.StoreError: The stage run, or the voxels it was trained on, are not in the store or are damaged.
    """
    artifacts = runs.open(identity)
    manifest = artifacts.manifest
    with safe_open(artifacts.path("predictions.safetensors"), framework="pt") as predictions:
        names = [name for name in predictions.keys() if name != "index"]  # noqa: SIM118
        shapes = {name: predictions.get_slice(name).get_shape()[1:] for name in names}
    voxels = int(runs.open(manifest.inputs["voxels"]).manifest.info["voxels"])
    facts = {
        "stage": manifest.stage,
        "identity": identity,
        "seed": manifest.seed,
        "config": manifest.config.get(manifest.stage, {}),
        **({"settings": dict(manifest.config)} if "plugins" in manifest.config else {}),
    }
    folder.mkdir(parents=True)
    shutil.copyfile(artifacts.path(MODEL), folder / MODEL)
    text = json.dumps({**facts, "voxels": voxels, "shapes": shapes}, indent=2)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def load_decoder(folder: Path) -> nn.Module:
    """Return the decoder that `save_decoder` wrote into `folder`, in evaluation mode, on the CPU.

    Its input is standardised fMRI [B, voxels]. The motion generator's `roll_out` also takes a first latent.

    Raises:
        ValueError: It is a decoder of a plug-in that is not active, or that brings no function for its network.
    """
    model = _built(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    model.load_state_dict(load_file(folder / MODEL))
    return model.eval()


def _built(facts: dict[str, Any]) -> nn.Module:
    if "settings" in facts:
        return _built_by_plugin(facts)
    builders = {name: stage.builder for name, stage in STAGES.items() if stage.builder is not None}
    build: Callable[[Mapping[str, Any], int, Shapes], nn.Module]
    build = resolve_reference(of_kind(builders, facts["stage"], field="stage"))
    return build(facts["config"], facts["voxels"], facts["shapes"])


def _built_by_plugin(facts: dict[str, Any]) -> nn.Module:
    stage, sections = facts["stage"], facts["settings"]
    kind = DECODER_KINDS.get(f"{stage}.{facts['config'].get('kind')}")
    section, builder = (stage, None) if kind is None else (kind.section, kind.builder)
    if kind is None and stage in STAGES and STAGES[stage].plugin is not None:  # else it is a kind that is not active
        builder = STAGES[stage].builder
    if builder is None:
        digests = ", ".join(sections["plugins"])
        raise ValueError(
            f"{stage} was trained by a plug-in (SHA-256 {digests}) that is not active, or that has no `network`; load "
            "it in the block of `load_plugins([...]).active()`"
        )
    settings = None
    if section is not None and section in sections:
        settings = config_class().model_fields[section].get_default().__class__.model_validate(sections[section])
    network: nn.Module = resolve_reference(builder)(settings, facts["voxels"], facts["shapes"])
    return network


def semantic_network(config: Mapping[str, Any], voxels: int, shapes: Shapes) -> nn.Module:
    """Return the untrained semantic decoder of a config, for this number of voxels and shapes per clip."""
    tokens, width = shapes["condition"]
    semantic, clip_dim = SemanticConfig.model_validate(config), shapes["embedding"][0]
    return semantic_decoder(semantic, voxels=voxels, clip_dim=clip_dim, condition=(tokens, width))


def structure_network(config: Mapping[str, Any], voxels: int, shapes: Shapes) -> nn.Module:
    """Return the untrained structure decoder of a config, for this number of voxels and shapes per clip."""
    return structure_decoder(StructureConfig.model_validate(config), voxels=voxels, latent=shapes["first_latent"])


def motion_network(config: Mapping[str, Any], voxels: int, shapes: Shapes) -> nn.Module:
    """Return the untrained motion decoder of a config, for this number of voxels and shapes per clip."""
    return motion_decoder(MotionConfig.model_validate(config), voxels=voxels, video=shapes["latents"])
