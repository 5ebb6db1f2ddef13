"""Writes a small data set as Algonauts 2021 is published, with planted answers to motion."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.fakes.bmd import Planted, Videos, write_videos
from tests.fakes.pickles import write_algonauts

VIDEOS, PARTICIPANTS = "AlgonautsVideos268_All_30fpsmax", "participants_data_v2021"
REGIONS: Mapping[str, slice] = {"V1": slice(0, 12), "EBA": slice(12, 26), "LOC": slice(22, 42)}
"""Columns of the whole brain, of which EBA and LOC share 4."""
VOXELS = 50


def whole_brain(subject: int, videos: Videos) -> NDArray[np.float32]:
    """Return [clips, 3, VOXELS] of the training clips; the first 26 voxels answer to motion."""
    planted = Planted(videos, visual=26, seed=50 + subject)
    return planted.betas(videos.numbers["train"], 3, VOXELS).astype(np.float32)


def mask(voxels: int = VOXELS) -> NDArray[Any]:
    """Return the mask of the whole brain, as published but for the voxels that are in it."""
    inside = np.zeros(78 * 93 * 71)
    inside[1000 : 1000 + 7 * voxels : 7] = 1
    return inside.reshape(78, 93, 71)


def write_subject(parent: Path, subject: int, videos: Videos, regions: Sequence[str]) -> Path:
    """Write the pickles of a subject into `parent`, of `WB` with its mask; return their folder."""
    folder, betas = parent / f"sub{subject:02}", whole_brain(subject, videos)
    for region in regions:
        if region == "WB":
            write_algonauts(folder / "WB.pkl", betas, mask())
        else:
            write_algonauts(folder / f"{region}.pkl", betas[..., REGIONS[region]])
    return folder


def write_algonauts2021(root: Path, *, subjects: Sequence[int] = (1, 2), videos: Videos | None = None) -> Path:
    """Write videos, and both tracks."""
    videos = videos if videos is not None else Videos()
    write_videos(root / VIDEOS, videos, ending="_some-words")
    for subject in subjects:
        write_subject(root / PARTICIPANTS / "mini_track", subject, videos, [*REGIONS])
        write_subject(root / PARTICIPANTS / "full_track", subject, videos, ["WB"])
    return root
