"""Pictures of a fixed set of clips of each trial, which MLflow's image grid shows side by side for several runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.runs import RunStore
from trainables.config.trial import config_from_json
from trainables.graph import video_stage

if TYPE_CHECKING:
    from platform.mlflow_view.client import MlflowClient

PICTURES = "pictures"
"""The subfolder of a trial's pages that holds them."""
_NEEDED = ("clips", "voxels", "controls", "evaluate")
_LOGGED = "images"
"""The folder of a run's artifacts in which MLflow keeps keyed images."""


def write_clip_pictures(runs: RunStore, identities: Mapping[str, str], config: Mapping[str, Any], folder: Path) -> None:
    """Write a PNG for each of the first clips of a trial into `folder/pictures`; none if it made no videos.

    Raises:
        storage.errors.StoreError: A stage run cannot be read.
        ValueError, OSError: Its videos or its data set cannot be read.
    """
    stages = (*_NEEDED, video_stage(identities))
    if any(stage not in identities or runs.find(identities[stage]) is None for stage in stages):
        return
    from trainables.config.video import EvaluateConfig
    from trainables.judging.trial_videos import read_material
    from trainables.pages.clip_images import clip_images

    opened = {stage: runs.open(identities[stage]) for stage in stages}
    evaluate = EvaluateConfig.model_validate(opened["evaluate"].manifest.config["evaluate"])
    (folder / PICTURES).mkdir()
    for split in read_material(opened, evaluate, config_from_json(config).dataset):
        for name, picture in clip_images(split):
            picture.save(folder / PICTURES / f"{name}.png")


def log_clip_pictures(client: MlflowClient, run_id: str, folder: Path, *, time: int) -> tuple[str, ...]:
    """Log the pictures of `folder/pictures` as images with the keys `clips/<name>` at step 0, once per run.

    MLflow's image grid compares the images of one key and step across runs. `time` is in milliseconds since 1970.
    Returns the keys.
    """
    pictures = sorted((folder / PICTURES).glob("*.png"))
    keys = tuple(f"clips/{path.stem}" for path in pictures)
    if not pictures or client.list_artifacts(run_id, _LOGGED):
        return keys
    from PIL import Image

    for path, key in zip(pictures, keys, strict=True):
        with Image.open(path) as picture:
            picture.load()
            client.log_image(run_id, picture, key=key, step=0, timestamp=time, synchronous=True)
    return keys
