"""A folder with the weights of a decoder that was trained elsewhere: `model.safetensors` and `weights.json`.

`semantic.weights`, `structure.weights` and `motion.weights` name such a folder. The stage then trains nothing. Identity
follows content: the folder may be moved.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trainables.config.trial import TrialConfig
from trainables.file_version import digest_of_file

MODEL, FACTS = "model.safetensors", "weights.json"
FORMAT = 1


def folder_of(config: TrialConfig, stage: str) -> Path | None:
    """Return the folder that `STAGE.weights` names; None if the stage is trained."""
    weights = getattr(getattr(config, stage), "weights", None)
    return None if weights is None else Path(weights)


def read_facts(folder: Path, stage: str) -> dict[str, Any]:
    """Return `weights.json` of weights for `stage`.

    Raises:
        ValueError: There is no such folder, it was not written by `python -m platform.checkpoint`, or it is of another
            stage.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        of_stage, number = facts["stage"], facts["format"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(
            f"{stage}.weights: {folder} is not a folder that `python -m platform.checkpoint import` wrote: {error}"
        ) from error
    if number != FORMAT:
        raise ValueError(f"{stage}.weights: {folder} has format {number}; this version reads format {FORMAT}")
    if of_stage != stage:
        raise ValueError(f"{stage}.weights: {folder} has weights for the stage {of_stage}")
    return dict(facts)


def weights_files(config: TrialConfig, stage: str) -> list[Path]:
    """Return the files that `weights_fingerprint` stands for."""
    folder = folder_of(config, stage)
    return [] if folder is None else [folder / MODEL, folder / FACTS]


def weights_fingerprint(config: TrialConfig, stage: str) -> Mapping[str, Any]:
    """Return what identifies the weights of `stage`; empty if it is trained. Raises `ValueError` as `read_facts`."""
    folder = folder_of(config, stage)
    if folder is None:
        return {}
    read_facts(folder, stage)
    try:
        return {"weights": digest_of_file(folder / MODEL)}
    except OSError as error:
        raise ValueError(f"{stage}.weights: {folder} lacks {MODEL}: {error}") from error


# The functions that the table of stages names.
semantic_weights, semantic_files = (partial(of, stage="semantic") for of in (weights_fingerprint, weights_files))
structure_weights, structure_files = (partial(of, stage="structure") for of in (weights_fingerprint, weights_files))
motion_weights, motion_files = (partial(of, stage="motion") for of in (weights_fingerprint, weights_files))
