"""Reading of fMRI by each reader against what a user would write: load the whole file, then take the voxels.

    python -m benchmarks.prepare_readers [--scale 1.0]

A row per format: betas in a pickle (BOLD Moments), in a pickle of protocol 2 (Algonauts 2021), in a tensor
(NeuroClips), in HDF5 by presentation (MOSAIC), in HDF5 by run (Algonauts 2025) and by session (NSD). A third of the
voxels is taken. Each way runs in a process of its own on one thread; memory is the peak without what imports take. The
CIFTI of CC2017, HCP and BIDS is in `benchmarks.prepare`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GRID = (81, 104, 83)
_EVERY = 3
"""One voxel in so many is taken: the first third of them, or of NSD's region."""
_BLOCK = 64


def write_files(folder: Path, scale: float) -> None:
    """Write a file of each format; at scale 1 each has about 100 MB."""
    import h5py
    import torch

    from tests.fakes.pickles import write_bmd_betas, write_pickle

    rng = np.random.default_rng(0)
    count = max(4, round(40 * scale))
    betas = rng.standard_normal((count, 3, 91282))
    write_bmd_betas(folder / "bmd.pkl", betas, 1)
    write_pickle(folder / "algonauts2021.pkl", {"train": betas[:, :, :30000]}, protocol=2)
    torch.save(torch.from_numpy(betas[:, :2, :13447].astype("f4").repeat(15, axis=0)), folder / "neuroclips.pt")
    with h5py.File(folder / "mosaic.hdf5", "w") as file:
        file.attrs.update({"dataset_name": "BMD", "subjectID": "sub-01"})
        for number in range(3 * count):
            item = file.create_dataset(
                f"betas/sub-01_BMD_stimulus-{number:04d}_phase-train_rep-1", data=betas[number // 3, number % 3]
            )
            item.attrs["presented_stimulus_filename"] = f"{number:04d}.mp4"
            item.attrs.update({"phase": "train", "repetition": 1})
            item.attrs["nan_indices"] = np.array([], np.int64)
    with h5py.File(folder / "algonauts2025.h5", "w") as file:
        for number in range(count):
            file[f"ses-{number:03d}_task-s01e{number:02d}a"] = rng.standard_normal((480, 1000)).astype("f4")
    with h5py.File(folder / "nsd.hdf5", "w") as file:
        file["betas"] = rng.integers(-900, 900, (max(26, round(75 * scale)), *GRID[::-1]), np.int16)


def voxels_of(count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the voxels that are taken."""
    return np.arange(count // _EVERY, dtype=np.int64)


def region() -> "np.ndarray[Any, np.dtype[np.int32]]":
    """Return the voxels of NSD that are taken, [V, 3]: as many as nsdgeneral of subject 1 has."""
    flat = np.sort(np.random.default_rng(1).choice(np.prod(GRID), 15724, replace=False))
    return np.stack(np.unravel_index(flat, GRID), axis=1).astype(np.int32)


def betas_by_blocks(path: Path, key: str = "") -> float:
    """Read the voxels as the readers of betas do; return a sum, so that both ways can be compared."""
    from trainables.preparation.betas import BetaFile, open_betas
    from trainables.preparation.mosaic_files import open_groups

    group = open_groups(path)[0].group if path.suffix == ".hdf5" else ""
    betas = open_betas(BetaFile(path, key, group))
    clips, _, voxels = betas.shape
    blocks = (betas.read(slice(first, first + _BLOCK), voxels_of(voxels)) for first in range(0, clips, _BLOCK))
    return float(sum(block.sum(dtype=np.float64) for block in blocks))


def whole(values: Any) -> float:
    """Take the voxels of a whole array, [..., voxels], in float32."""
    return float(np.asarray(values)[..., voxels_of(values.shape[-1])].astype(np.float32).sum(dtype=np.float64))


def unpickled(path: Path) -> Any:
    """Load a pickle as its authors do."""
    import pickle

    return pickle.loads(path.read_bytes(), encoding="latin1")


def _whole_track(path: Path) -> float:
    return whole(unpickled(path)["train"])


def _whole_pair(path: Path) -> float:
    return whole(unpickled(path)[0])


def _whole_tensor(path: Path) -> float:
    import torch

    return whole(torch.load(path, weights_only=True).numpy())


def whole_mosaic(path: Path) -> float:
    """Stack all presentations."""
    import h5py

    with h5py.File(path) as file:
        return whole(np.stack([item[:] for item in file["betas"].values()]))


def parcels_by_run(path: Path) -> float:
    """Read the runs as the reader does, which also takes out drift and standardises; values are not comparable."""
    from trainables.preparation.parcel_runs import open_runs

    return float(sum(np.abs(block.values).sum() > 0 for run in open_runs(path) for block in run.blocks()))


def parcels_by_loop(path: Path) -> float:
    """Load all runs, and fit a polynomial of degree 5 to one parcel after another, on every 20th."""
    import h5py

    with h5py.File(path) as file:
        runs = [item[:] for item in file.values()]
    position = np.arange(len(runs[0]))
    for run in runs:
        for column in run.T[::20]:
            rest = column - np.polyval(np.polyfit(position, column, 5), position)
            rest /= rest.std(ddof=1)
    return float(len(runs))


def session_by_blocks(path: Path) -> float:
    """Read the voxels of a session as the reader does."""
    from trainables.preparation.nsd_betas import open_session

    return float(open_session(path, GRID).read(region()).sum(dtype=np.float64))


def whole_session(path: Path) -> float:
    """Load the whole session, scale it, and take the voxels."""
    import h5py

    with h5py.File(path) as file:
        values = file["betas"][:].astype(np.float32) / 300
    i, j, k = region().T
    return float(values.transpose(0, 3, 2, 1)[:, i, j, k].sum(dtype=np.float64))


Way = Callable[[Path], float]
FORMATS: Mapping[str, tuple[str, Way, Way, float]] = {
    "bmd": ("bmd.pkl", betas_by_blocks, _whole_pair, 1.0),
    "algonauts2021": ("algonauts2021.pkl", partial(betas_by_blocks, key="train"), _whole_track, 1.0),
    "neuroclips": ("neuroclips.pt", betas_by_blocks, _whole_tensor, 1.0),
    "mosaic": ("mosaic.hdf5", partial(betas_by_blocks, key="train"), whole_mosaic, 1.0),
    "algonauts2025": ("algonauts2025.h5", parcels_by_run, parcels_by_loop, 20.0),
    "nsd": ("nsd.hdf5", session_by_blocks, whole_session, 1.0),
}
"""Reader to file, our way, the other, and by how much the other's time is scaled."""


def measure(reader: str, way: str, folder: Path) -> dict[str, float]:
    """Run one way in a fresh process."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "benchmarks.prepare_readers",
        "--reader",
        reader,
        "--way",
        way,
        "--folder",
        str(folder),
    ]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **threads}, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def peak_mb() -> float:
    """Return the largest memory of this process so far, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def one_way(reader: str, way: str, folder: Path) -> None:
    """Do the work of a child and print what was measured."""
    import h5py  # noqa: F401  what imports take is not counted
    import torch  # noqa: F401

    import trainables.preparation.parcel_runs  # noqa: F401

    file, ours, other, _ = FORMATS[reader]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_mb()
    started = time.perf_counter()
    value = (ours if way == "ours" else other)(folder / file)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "value": value, "mb": peak_mb() - before}))


def compare(reader: str, folder: Path) -> str:
    """Return the row of a reader."""
    fast, slow = measure(reader, "ours", folder), measure(reader, "loop", folder)
    if reader != "algonauts2025" and not np.isclose(fast["value"], slow["value"], rtol=1e-5):
        raise SystemExit(f"{reader}: the sums differ: {fast['value']} and {slow['value']}")
    scaled = slow["seconds"] * FORMATS[reader][3]
    size = (folder / FORMATS[reader][0]).stat().st_size / 1e6
    return (
        f"| {reader} | {size:.0f} | {fast['seconds']:.2f} | {scaled:.2f} | {scaled / fast['seconds']:.1f} "
        f"| {fast['mb']:.0f} | {slow['mb']:.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the files")
    parser.add_argument("--reader", choices=[*FORMATS], help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=["ours", "loop"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader is not None:
        one_way(arguments.reader, arguments.way, arguments.folder)
        return
    with tempfile.TemporaryDirectory(prefix="prepare-readers-") as temporary:
        folder = Path(temporary)
        write_files(folder, arguments.scale)
        print("| reader | file, MB | ours, s | loop, s | ratio | ours, peak MB | loop, peak MB |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for reader in FORMATS:
            print(compare(reader, folder), flush=True)


if __name__ == "__main__":
    main()
