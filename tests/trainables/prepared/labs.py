"""Small folders as a lab has them, for tests of preparation: deterministic, a few kilobytes."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.datasets.prepared.description import Description, read_description, write_description
from trainables.datasets.prepared.tables import ClipRow, read_typed_table, write_rows
from trainables.preparation import own_rows, own_series
from trainables.preparation.prepare import Prepared, prepare

CLIPS, VOXELS = 12, 6
TR = 2.0
SIZE: Mapping[str, Any] = {"frames": 4, "resolution": 32}


def names(count: int = CLIPS) -> list[str]:
    return [f"clip{index:03d}" for index in range(count)]


def write_clips(folder: Path, count: int = CLIPS) -> None:
    """Write GIFs whose pixels differ."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names(count)):
        rng = np.random.default_rng([7, index])
        coarse = rng.integers(0, 255, (4, 8, 8, 3), dtype=np.uint8)
        frames = [Image.fromarray(frame).resize((32, 32), Image.Resampling.NEAREST) for frame in coarse]
        frames[0].save(folder / f"{name}.gif", save_all=True, append_images=frames[1:], duration=100)


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_lab(folder: Path, *, count: int = CLIPS) -> Path:
    """Write clips, captions and the table of films: four films of equal length."""
    write_clips(folder / "clips", count)
    captions = {name: [f"scene {index}", f"view {index}"] for index, name in enumerate(names(count))}
    (folder / "captions.json").write_text(json.dumps(captions))
    write_csv(
        folder / "clips.csv", {"clip_id": names(count), "source": [f"film{i * 4 // count}" for i in range(count)]}
    )
    return folder


def values(rows: int, seed: int, voxels: int = VOXELS) -> NDArray[np.float32]:
    return np.random.default_rng([11, seed]).standard_normal((rows, voxels)).astype(np.float32)


def write_voxels(folder: Path) -> None:
    columns = {"roi": ["V1", "V1", "V2", "MT", "MT", ""], "vertex": range(VOXELS), "visual": [1, 1, 1, 0, 0, 0]}
    write_csv(folder / "voxels.csv", {**columns, "structure": ["CIFTI_STRUCTURE_CORTEX_LEFT"] * VOXELS})


def rows_lab(folder: Path, *, subjects: int = 2, repeats: int = 2) -> Path:
    """Write a folder for `prepare rows`: each subject sees the clips in another order, `repeats` times."""
    write_lab(folder)
    for subject in range(subjects):
        place = folder / f"sub-{subject + 1:02d}"
        order = np.random.default_rng([13, subject]).permutation(np.repeat(np.arange(CLIPS), repeats))
        write_csv(place / "rows.csv", {"clip_id": [names()[index] for index in order], "session": ["1"] * len(order)})
        np.save(place / "rows.npy", values(len(order), subject))
        write_voxels(place)
    return folder


def series_lab(folder: Path, *, subjects: int = 2, runs: int = 4) -> Path:
    """Write a folder for `prepare series`: each run shows one film, one clip per volume, with 3 volumes more."""
    write_lab(folder)
    shown = CLIPS // runs
    for subject in range(subjects):
        place = folder / f"sub-{subject + 1:02d}"
        events: dict[str, list[Any]] = {"run_id": [], "onset_s": [], "duration_s": [], "clip_id": []}
        for run in range(runs):
            place.mkdir(exist_ok=True)
            np.save(place / f"run-{run + 1}.npy", values(shown + 3, 100 * subject + run))
            events["run_id"] += [f"run-{run + 1}"] * shown
            events["onset_s"] += [TR * index for index in range(shown)]
            events["duration_s"] += [TR] * shown
            events["clip_id"] += names()[run * shown : (run + 1) * shown]
        write_csv(place / "events.csv", events)
        write_voxels(place)
    return folder


def prepare_rows(lab: Path, out: Path, **options: Any) -> Prepared:
    asked = own_rows.Settings(folder=lab, **{**SIZE, "licence": "CC0-1.0", "citation": ("me",), **options})
    return prepare(own_rows.open_source(asked), asked, out)


def prepare_series(lab: Path, out: Path, **options: Any) -> Prepared:
    given = {**SIZE, "licence": "CC0-1.0", "citation": ("me",), "tr": TR, **options}
    asked = own_series.Settings(folder=lab, **given)
    return prepare(own_series.open_source(asked), asked, out)


def edit_clips(folder: Path, change: Callable[[ClipRow], ClipRow]) -> None:
    """Change every row of clips.parquet, without the digests in dataset.json."""
    rows = [change(row) for row in read_typed_table(folder / "clips.parquet", ClipRow)]
    write_rows(rows, ClipRow, folder / "clips.parquet")
    edit_description(folder, files={})


def edit_description(folder: Path, **changes: Any) -> Description:
    """Change dataset.json; without `files` in it, nothing compares digests."""
    description = read_description(folder).model_copy(update={"digest": "", **changes})
    write_description(description, folder)
    return description
