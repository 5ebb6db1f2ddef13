"""A folder with the weights of a decoder that was trained elsewhere: `model.safetensors` and `weights.json`.

`semantic.weights`, `structure.weights` and `motion.weights` name such a folder. The stage then trains nothing. Identity
follows content: the folder may be moved.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trainables.config.trial import TrialConfig, flatten
from trainables.file_version import digest_of_file

MODEL, FACTS = "model.safetensors", "weights.json"
FORMAT = 1
NETWORK_FIELDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("semantic", "mlp"): (
        "features.condition_tokens",
        *(f"semantic.{name}" for name in ("linear_trunk", "trunk_blocks", "hidden", "head_hidden")),
    ),
    ("structure", "mlp"): ("features.latent_size", "structure.hidden", "structure.residual_layers"),
    ("motion", "cmg"): (
        "features.latent_size",
        *(f"motion.{name}" for name in ("patch_size", "width", "depth", "heads", "attention_width", "ffn_width")),
        *(f"motion.{name}" for name in ("encoder_hidden", "fmri_tokens", "spatial_fusion", "temporal_fusion")),
        "motion.layer_norm",
    ),
    ("motion", "cmg_small_patch"): (
        "features.latent_size",
        *(f"motion.{name}" for name in ("patch_size", "width", "depth", "heads", "ffn_width")),
    ),
}
"""Stage and kind to the fields that make its network. Some of them change no tensor's size, but what it computes."""


def folder_of(config: TrialConfig, stage: str) -> Path | None:
    """Return the folder that `STAGE.weights` names; None if the stage is trained."""
    weights = getattr(getattr(config, stage), "weights", None)
    return None if weights is None else Path(weights)


def network_of(config: TrialConfig, stage: str, kind: str) -> dict[str, Any]:
    """Return the fields of `NETWORK_FIELDS` and their values, as JSON has them."""
    values = flatten(config.model_dump(mode="json"))
    return {field: values[field] for field in NETWORK_FIELDS.get((stage, kind), ())}


def read_facts(folder: Path, stage: str) -> dict[str, Any]:
    """Return `weights.json` of weights for `stage`.

    Raises:
        ValueError: There is no such folder, it was not written by `python -m platform.checkpoint`, or it is of another
            stage.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        of_stage, number, _ = facts["stage"], facts["format"], facts["kind"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(
            f"{stage}.weights: {folder} is not a folder that `python -m platform.checkpoint import` wrote: {error}"
        ) from error
    if number != FORMAT:
        raise ValueError(f"{stage}.weights: {folder} has format {number}; this version reads format {FORMAT}")
    if of_stage != stage:
        raise ValueError(f"{stage}.weights: {folder} has weights for the stage {of_stage}")
    return dict(facts)


def used_folder(config: TrialConfig, stage: str) -> Path | None:
    """Return the folder whose weights `stage` uses; None if it is trained.

    Weights are used by the kind of network that they are of. With another kind, as in a condition that replaces the
    network, the stage trains. Raises `ValueError` as `read_facts`.
    """
    folder = folder_of(config, stage)
    return folder if folder is not None and read_facts(folder, stage)["kind"] == getattr(config, stage).kind else None


def weights_files(config: TrialConfig, stage: str) -> list[Path]:
    """Return the files that `weights_fingerprint` stands for."""
    folder = used_folder(config, stage)
    return [] if folder is None else [folder / MODEL, folder / FACTS]


def weights_fingerprint(config: TrialConfig, stage: str) -> Mapping[str, Any]:
    """Return what identifies the weights of `stage`; empty if it is trained.

    Raises:
        ValueError: As `read_facts`; or the weights were imported for other sizes than the config's.
    """
    folder = used_folder(config, stage)
    if folder is None:
        return {}
    _refuse_other_network(config, stage, read_facts(folder, stage))
    try:
        return {"weights": digest_of_file(folder / MODEL)}
    except OSError as error:
        raise ValueError(f"{stage}.weights: {folder} lacks {MODEL}: {error}") from error


def unused_weights(config: TrialConfig, stage: str) -> str | None:
    """Return why `stage` does not use the weights that it names, and what to do; None if it does, or names none."""
    folder = folder_of(config, stage)
    if folder is None or used_folder(config, stage) is not None:
        return None
    kind, chosen = read_facts(folder, stage)["kind"], getattr(config, stage).kind
    return (
        f"{folder} has weights of {stage}.kind: {kind}, but {stage}.kind is {chosen}, which would be trained; set "
        f"{stage}.kind: {kind}, or leave {stage}.weights out"
    )


def _refuse_other_network(config: TrialConfig, stage: str, facts: Mapping[str, Any]) -> None:
    """Raise `ValueError` if weights were imported for other sizes. Folders of older versions do not tell which."""
    imported, network = facts.get("network"), network_of(config, stage, facts["kind"])
    if not isinstance(imported, Mapping):
        return
    other = [field for field, value in imported.items() if field in network and value != network[field]]
    if other:
        theirs, ours = (", ".join(f"{field}: {of[field]}" for field in other) for of in (imported, network))
        raise ValueError(
            f"{stage}.weights: {folder_of(config, stage)} has weights of a network with {theirs}, but here it is "
            f"{ours}; set these fields as when the file was imported, or import it again with --set as here"
        )


# The functions that the table of stages names.
semantic_weights, semantic_files = (partial(of, stage="semantic") for of in (weights_fingerprint, weights_files))
structure_weights, structure_files = (partial(of, stage="structure") for of in (weights_fingerprint, weights_files))
motion_weights, motion_files = (partial(of, stage="motion") for of in (weights_fingerprint, weights_files))
