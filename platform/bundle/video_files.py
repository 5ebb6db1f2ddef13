"""Writes the reconstructions of a trial as video files, named as the clips: what `given.path` and `evaluate` read."""

import tempfile
from pathlib import Path

from platform.errors import UserError
from platform.reproduction.selection import RecordedTrial
from storage.base import Store
from storage.runs import RunStore
from trainables.stage_table import VIDEO_STAGES

FORMS = ("npy", "png", "gif", "mp4")
"""Those of `trainables.datasets.video_writing`, whose import takes a second."""


def write_reconstructions(store: Store, trial: RecordedTrial, folder: Path, *, form: str) -> int:
    """Write the videos that `trial` made into `folder` in one of `FORMS`; return how many.

    Raises:
        UserError: The trial made no videos, or `folder` is not empty or cannot be written.
    """
    identities = {run.stage: run.identity for run in trial.runs}
    makers = [stage for stage in VIDEO_STAGES.values() if stage in identities]
    if not makers:
        raise UserError(f"trial {trial.name} made no videos: it has no stage {' or '.join(VIDEO_STAGES.values())}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; choose one that does not exist yet")
    # these take seconds to import: errors of the user are reported first
    from trainables.config.trial import config_from_json
    from trainables.datasets.stored_clips import read_stimuli
    from trainables.datasets.video_writing import VIDEO_FORMS
    from trainables.tensors import map_tensors

    with tempfile.TemporaryDirectory(prefix="mindsweep-videos-") as cache:
        runs = RunStore(store, cache=Path(cache))
        shown = "clips" if "clips" in identities else "data"
        dataset = config_from_json(trial.proposed.config).dataset
        names = read_stimuli({shown: runs.open(identities[shown])}, dataset).source
        videos = map_tensors(runs.open(identities[makers[0]]).path("videos.safetensors"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for clip, frames in zip(videos["index"].tolist(), videos["videos"], strict=True):
                VIDEO_FORMS[form](frames, folder / Path(names[clip]).name)
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error}") from error
        return len(videos["index"])
