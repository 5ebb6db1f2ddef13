"""Writes a prepared data set of CC2017's size, of noise, for `benchmarks.real_size`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainables.datasets.errors import DataReport, DataVerdict
from trainables.datasets.prepared.description import ClipShape, Description, FileFacts, ReaderUsed, write_description
from trainables.datasets.prepared.digest import content_files, folder_state, set_digest
from trainables.datasets.prepared.tables import (
    ClipRow,
    EventRow,
    RunRow,
    VoxelTable,
    write_rows,
    write_voxels,
)
from trainables.datasets.verdicts import remember_verdict

RUNS, VOLUMES, TR = 23, 240, 2.0
TRAIN_RUNS, VALIDATION_RUNS = 16, 2
VERTICES, SUBJECTS, FRAMES, SHARD = 59_412, 3, 8, 64
AREAS = ("V1", "V2", "V3", "V4", "MT", "LO", "FFA", "PPA", "none")


def write_set(folder: Path, *, stored: int, pixels: int) -> None:
    """Write the data set with the verdict of its preparation. `stored` clips lie in files, the others name the same."""
    (folder / "clips").mkdir(parents=True)
    digests = _write_shards(folder / "clips", stored=stored, pixels=pixels)
    clips = [_clip(index, digests) for index in range(RUNS * VOLUMES)]
    write_rows(clips, ClipRow, folder / "clips.parquet")
    for subject in range(SUBJECTS):
        _write_subject(folder / f"subject{subject + 1}", clips, seed=subject)
    about = _description(folder, count=len(clips), pixels=pixels)
    write_description(about, folder)
    verdict = DataVerdict(DataReport(), subjects=SUBJECTS, kind="series", digest=about.digest)
    remember_verdict(folder, folder_state(folder), verdict, beside=True)


def _write_shards(folder: Path, *, stored: int, pixels: int) -> list[str]:
    """Write the files of the clips, and return the digest of each clip."""
    digests, shape = [], (SHARD, FRAMES, pixels, pixels, 3)
    for number in range(stored // SHARD):
        rng = np.random.default_rng(number)
        file = np.lib.format.open_memmap(folder / f"shard_{number:05d}.npy", "w+", np.uint8, shape)
        for row in range(SHARD):
            file[row] = rng.integers(0, 255, shape[1:], np.uint8)
            digests.append(hashlib.sha256(file[row].data).hexdigest())
        file.flush()
        del file
    return digests


def _clip(index: int, digests: Sequence[str]) -> ClipRow:
    run, at = index // VOLUMES, index % len(digests)
    start = index % VOLUMES * TR
    text = f"scene {index} of a film"
    return ClipRow(
        clip_id=f"seg{run}_{index % VOLUMES:03d}",
        file=f"clips/shard_{at // SHARD:05d}.npy",
        index=at % SHARD,
        start_s=start,
        end_s=start + TR,
        fps=4.0,
        frames=FRAMES,
        sha256=digests[at],
        caption=text,
        captions=(text,),
        source=f"seg{run}",
        block=run,
        split="train" if run < TRAIN_RUNS else "validation" if run < TRAIN_RUNS + VALIDATION_RUNS else "test",
    )


def _write_subject(folder: Path, clips: Sequence[ClipRow], *, seed: int) -> None:
    """Write array and tables of a subject, to whom each run shows the clips of one film, one per volume."""
    folder.mkdir()
    bold = np.lib.format.open_memmap(folder / "bold.npy", "w+", np.float32, (RUNS * VOLUMES, VERTICES))
    for first in range(0, RUNS * VOLUMES, VOLUMES):
        rng = np.random.default_rng([seed, first])
        bold[first : first + VOLUMES] = rng.standard_normal((VOLUMES, VERTICES), np.float32)
    bold.flush()
    del bold
    runs = [RunRow(f"seg{r}", "1", "film", "", VOLUMES, r * VOLUMES, TR, 0.0, "0" * 64) for r in range(RUNS)]
    write_rows(runs, RunRow, folder / "runs.parquet")
    events = [EventRow(clip.source, clip.start_s or 0.0, TR, clip.clip_id, 0) for clip in clips]
    write_rows(events, EventRow, folder / "events.parquet")
    areas = np.array(AREAS)[np.arange(VERTICES) * len(AREAS) // VERTICES]
    write_voxels(VoxelTable(areas), folder / "voxels.parquet")


def _description(folder: Path, *, count: int, pixels: int) -> Description:
    files = {name: FileFacts(bytes=(folder / name).stat().st_size, sha256="0" * 64) for name in content_files(folder)}
    return Description(
        name="CC2017's size",
        kind="series",
        licence="none",
        reader=ReaderUsed(name="series"),
        tr=TR,
        lag_s=2 * TR,
        subjects=tuple(f"subject{subject + 1}" for subject in range(SUBJECTS)),
        clips=ClipShape(count=count, frames=FRAMES, height=pixels, width=pixels),
        files=files,
        digest=set_digest(files),
    )
