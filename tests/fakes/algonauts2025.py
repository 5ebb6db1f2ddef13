"""Writes a small data set as Algonauts 2025 is published, with planted answers to motion."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from tests.fakes.films import write_film

SAMPLES, PARCELS, VISUAL = 40, 20, 8
LAG = 3
PARTS = ("s01e01a", "s05e01a", "s06e03b", "figures01")
KEYS = {
    "friends": ("ses-003_task-s01e01a", "ses-012_task-s05e01a", "ses-020_task-s06e03b"),
    "movie10": ("ses-001_task-figures01_run-1", "ses-002_task-figures01_run-2"),
}
_TR = 1.49


def speeds(part: str) -> list[float]:
    """Return pixels per frame in each sample of a part; two neighbours, a clip, have one speed."""
    drawn = np.random.default_rng([37, PARTS.index(part)]).uniform(0, 5, SAMPLES // 2 + 1)
    return [float(drawn[(sample + 1) // 2]) for sample in range(SAMPLES)]


def values(part: str, subject: int, run: int, samples: int = SAMPLES) -> np.ndarray:
    """Return [samples, PARCELS]; visual parcels answer LAG samples later."""
    rng = np.random.default_rng([41, subject, PARTS.index(part), run])
    bold = 0.5 * rng.normal(size=(samples, PARCELS)) + np.linspace(0, 3, samples)[:, None]
    bold[LAG:, :VISUAL] += np.array(speeds(part))[: samples - LAG, None]
    return bold.astype(np.float32)


def write_runs(folder: Path, subject: int, *, shorter: int = 0) -> None:
    """Write both files of a subject, perhaps with fewer samples."""
    func = folder / "fmri" / f"sub-{subject:02}" / "func"
    func.mkdir(parents=True, exist_ok=True)
    for name, keys in KEYS.items():
        end = "desc-s123456_bold" if name == "friends" else "bold"
        stem = f"sub-{subject:02}_task-{name}_space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net_{end}"
        with h5py.File(func / f"{stem}.h5", "w") as file:
            for run, key in enumerate(keys):
                part = key.split("_")[1].removeprefix("task-")
                file[key] = values(part, subject, run, SAMPLES - shorter)


def film_path(folder: Path, part: str) -> Path:
    """Return where a film lies."""
    movies = folder / "stimuli" / "movies"
    if part.startswith("s0"):
        return movies / "friends" / f"s{part[2]}" / f"friends_{part}.mkv"
    return movies / "movie10" / part[:-2] / f"{part}.mkv"


def write_algonauts2025(folder: Path, subjects: Sequence[int] = (1, 2)) -> Path:
    """Write runs, films and transcripts whose every fifth row is empty."""
    for subject in subjects:
        write_runs(folder, subject, shorter=2 * (subject == 2))
    for part in PARTS:
        write_film(film_path(folder, part), speeds(part), clip_s=_TR, fps=8, first_pattern=100 * PARTS.index(part))
        prefix = "friends" if part.startswith("s0") else "movie10"
        table = folder / "stimuli" / "transcripts" / prefix / f"{prefix}_{part}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        words = ["" if sample % 6 in (5, 0) else f"word {sample} " for sample in range(SAMPLES)]
        table.write_text("\n".join(["text_per_tr\twords_per_tr", *(f"{text}\t[]" for text in words)]) + "\n")
    return folder
