"""Checks the predictions that a plug-in's decoder wrote, before its stage run is committed."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from safetensors import SafetensorError, safe_open

from storage.runs import Artifacts

_FILE = "predictions.safetensors"
_HELD_OUT = ("validation", "test")
_Shape: TypeAlias = list[int]
_FEATURES: Mapping[str, Mapping[str, tuple[str, Callable[[_Shape], _Shape]]]] = {
    "semantic": {
        "embedding": ("clip_text", lambda shape: shape),
        "condition": ("condition", lambda shape: [shape[0] - 1, *shape[1:]]),
    },
    "structure": {"first_latent": ("latents", lambda shape: shape[1:])},
    "motion": {"latents": ("latents", lambda shape: shape)},
}
"""Stage to its predictions: the feature that each predicts, and from that feature's shape per clip to its own."""


def check_predictions(stage: str, kind: str, folder: Path, *, inputs: Mapping[str, Artifacts]) -> None:
    """Check names and shapes in the `predictions.safetensors` that the decoder `kind` of `stage` wrote into `folder`.

    Args:
        stage: semantic, structure or motion.
        kind: The name of the plug-in's decoder.
        folder: The folder of the artifacts.
        inputs: The inputs of the stage run, `features` and `voxels` among them.

    Raises:
        ValueError: The file is missing or damaged, or a tensor is missing or has another shape than the stage's.
    """
    path = folder / _FILE
    if not path.is_file():
        raise ValueError(f"the plug-in's decoder {stage}.kind: {kind} wrote no {_FILE}")
    try:
        found = _shapes(path)
    except SafetensorError as error:
        raise ValueError(f"{_FILE} of the plug-in's decoder {stage}.kind: {kind} cannot be read: {error}") from error
    problems = list(_problems(stage, found, inputs))
    if problems:
        raise ValueError(f"{_FILE} of the plug-in's decoder {stage}.kind: {kind}: {'; '.join(problems)}")


def _problems(stage: str, found: Mapping[str, _Shape], inputs: Mapping[str, Artifacts]) -> Iterator[str]:
    """Yield what is missing, and what has another shape."""
    features = _shapes(inputs["features"].path("features.safetensors"))
    clips = sum(member in _HELD_OUT for member in inputs["voxels"].json("voxels.json")["split"])
    expected = {name: [clips, *of_clip(features[key][1:])] for name, (key, of_clip) in _FEATURES[stage].items()}
    for name, shape in {**expected, "index": [clips]}.items():
        if name not in found:
            yield f"{name} {shape} is missing"
        elif found[name] != shape:
            yield f"{name} is {found[name]} and must be {shape}: the validation clips, then the test clips"


def _shapes(path: Path) -> dict[str, _Shape]:
    with safe_open(path, framework="pt") as file:
        return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
