"""Clips without fMRI, beside those of a data set: freshly drawn ones of the phantom's world, or videos of a folder.

None of them may be a held-out clip. Files are compared by their frames at the size that is used, and pictures that look
alike are compared by the difference of all pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainables.config.data import AnyDataset, PhantomWorld
from trainables.config.kupershmidt import FRESH, UnseeConfig
from trainables.datasets.base import Frames, digest_of
from trainables.datasets.clips import clips_in, files
from trainables.datasets.errors import ClipError, some
from trainables.datasets.prepared.similarity import difference_hash, near_pairs
from trainables.datasets.video_io import read_video, resample
from trainables.file_version import digest_of_file

_FIELD = "unsee.external"
_SAME = 6.0
"""Mean difference of all pixels, of 255, up to which two clips that look alike are one: coding costs about 2."""
_LISTED = 3


def external_files(config: UnseeConfig) -> list[Path]:
    """Return the files of the folder `unsee.external`; none of fresh clips, or if there are no unpaired clips.

    Raises:
        ValueError: There is no such folder, or it has no videos.
    """
    if config.unpaired == 0 or config.external == FRESH:
        return []
    return [file for clip in _videos(Path(config.external)) for file in files(clip)]


def external_fingerprint(config: UnseeConfig) -> dict[str, Any]:
    """Return the SHA-256 of each file of `unsee.external` by its name. Raises `ValueError` as `external_files`."""
    root = Path(config.external)
    return {str(path.relative_to(root)): digest_of_file(path) for path in external_files(config)}


def read_external(config: UnseeConfig, dataset: AnyDataset, *, count: int, frames: int, side: int) -> Frames:
    """Return at most `count` unpaired clips, uint8 [n,frames,side,side,3].

    Raises:
        ValueError: Fresh clips are asked for with another data set than a phantom, or with one that holds combinations
            of test clips back; or the folder has no videos, or one that cannot be read.
    """
    clips = _fresh(config, dataset, count) if config.external == FRESH else _read(Path(config.external), count)
    return np.stack([resample(clip, frames=frames, size=(side, side)) for clip in clips])


def refuse_held_out(external: Frames, held_out: Frames, *, names: Sequence[str], fresh: bool) -> None:
    """Refuse unpaired clips [n,F,S,S,3] of which one is a held-out clip of the data set [m,F,S,S,3].

    Args:
        external: The unpaired clips.
        held_out: Validation and test clips, at the same size.
        names: Of the held-out clips.
        fresh: Whether the clips were drawn and not read: then only equal frames count, since nothing was coded.

    Raises:
        ValueError: One of them has the same frames, or, if read from files, almost the same ones.
    """
    numbers = {digest_of(clip): number for number, clip in enumerate(held_out)}
    same = [numbers[digest] for digest in map(digest_of, external) if digest in numbers]
    if not fresh:
        same += _alike(external, held_out)
    if same:
        listed = some(sorted({names[number] for number in same}), most=_LISTED)
        raise ValueError(
            f"{_FIELD}: {len(set(same))} held-out clips of the data set are among the unpaired clips ({listed}); "
            "remove these videos, since what is tested must not be trained on"
        )


def _alike(external: Frames, held_out: Frames) -> list[int]:
    """Return the held-out clips that an external clip shows, up to what coding changes."""
    hashes = [difference_hash(clip) for clip in (*held_out, *external)]
    groups = ["held-out"] * len(held_out) + ["external"] * len(external)
    pairs = ((first, second - len(held_out)) for first, second in near_pairs(hashes, groups))
    return [
        first for first, second in pairs if np.abs(held_out[first].astype(np.int16) - external[second]).mean() <= _SAME
    ]


def _fresh(config: UnseeConfig, dataset: AnyDataset, count: int) -> Frames:
    from trainables.datasets.phantom.world import phantom_clips  # both are heavy, and a plan needs neither
    from trainables.randomness import derived_seed

    if not isinstance(dataset, PhantomWorld):
        raise ValueError(
            f"{_FIELD}: {FRESH} draws clips of the phantom's world, but the data set is {dataset.kind}; give a folder "
            "of videos, or set unsee.unpaired: 0"
        )
    if dataset.unseen_combinations:
        raise ValueError(
            f"{_FIELD}: {FRESH} would show the combinations that dataset.unseen_combinations holds back for test "
            "clips; set unsee.unpaired: 0"
        )
    seed = derived_seed("external", dataset.seed, config.external_seed)
    drawn = dataset.model_copy(update={"seed": seed, "train_clips": count, "validation_clips": 1, "test_clips": 1})
    clips: Frames = phantom_clips(drawn).clips[:count]
    return clips


def _read(folder: Path, count: int) -> list[Frames]:
    clips = []
    for path in _videos(folder)[:count]:
        try:
            clips.append(read_video(path).frames)
        except ClipError as error:
            raise ValueError(f"{_FIELD}: {path}: {error}") from error
    return clips


def _videos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"{_FIELD}: {folder}: there is no such folder; give a folder of videos, or {FRESH}")
    found = clips_in(folder, arrays=True)
    if not found:
        raise ValueError(f"{_FIELD}: {folder} has no videos; GIF, MP4, folders of PNG and .npy are read")
    return found
