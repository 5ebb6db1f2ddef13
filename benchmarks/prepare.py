"""What preparing data costs, against the straightforward way.

    python -m benchmarks.prepare [--grayordinates 91282] [--repeats 2] [--keep FOLDER]

`clean`: runs of CC2017's shape (245 volumes of all grayordinates, 240 of them kept) are detrended, standardised and
averaged over repeats. Ours reads blocks of grayordinates and removes the trend of a block by one product of matrices;
what a user would write loads each file with nibabel and fits `numpy.polyfit` to one vertex after another. The loop runs
on a sample of the vertices, and its time is scaled by their share; loading is timed apart and is counted once for each.
Peak memory is that of a process that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VOLUMES, KEPT, DEGREE = 245, slice(1, 241), 4
CORTEX_91K = (29696, 29716)


def write_runs(folder: Path, grayordinates: int, repeats: int) -> list[Path]:
    """Write files of CC2017's shape: a mean of 10,000, a drift, and noise."""
    import numpy as np

    from tests.fakes.cifti import SUBCORTEX_91K, Brain, write_dtseries

    if grayordinates == sum(CORTEX_91K) + sum(SUBCORTEX_91K.values()):
        brain = Brain(range(CORTEX_91K[0]), range(CORTEX_91K[1]), subcortex=SUBCORTEX_91K)
    else:
        brain = Brain(range(grayordinates // 2), range(grayordinates - grayordinates // 2))
    paths = [folder / f"seg1_{repeat + 1}_Atlas.dtseries.nii" for repeat in range(repeats)]
    for seed, path in enumerate(paths):
        if not path.exists():
            rng = np.random.default_rng(seed)
            drift = np.linspace(-1, 1, VOLUMES, dtype=np.float32)[:, None] ** 2
            values = rng.standard_normal((VOLUMES, len(brain)), np.float32) * 100 + drift * 300 + 10000
            write_dtseries(path, values, brain)
    return paths


def ours(paths: list[Path], result: Path) -> dict[str, Any]:
    """Clean and average all repeats with the code that readers use."""
    import numpy as np

    from trainables.preparation.cifti import open_cifti
    from trainables.preparation.filtering import Run, make_projection, mean_of_repeats
    from trainables.preparation.series import blocks

    started = time.perf_counter()
    projection = make_projection(KEPT.stop - KEPT.start, 2.0)
    runs = [Run(open_cifti(path), KEPT, projection) for path in paths]
    opened = time.perf_counter()
    columns = len(runs[0].series.axis)
    mean = np.empty((KEPT.stop - KEPT.start, columns), np.float32)
    for block in blocks(columns):
        mean[:, block] = mean_of_repeats(runs, block)
    done = time.perf_counter()
    np.save(result, mean)
    return {"seconds": done - started, "headers": opened - started, "columns": columns}


def loop(paths: list[Path], result: Path, every: int) -> dict[str, Any]:
    """Clean and average every n-th vertex by itself."""
    import nibabel as nib
    import numpy as np

    loading = fitting = 0.0
    total: Any = 0.0
    for path in paths:
        started = time.perf_counter()
        image = nib.load(path)
        cortex = [span for name, span, _ in image.header.get_axis(1).iter_structures() if "CORTEX_" in name]
        values = image.get_fdata()[KEPT][:, cortex[0].start : cortex[1].stop]
        loaded = time.perf_counter()
        sample = values[:, ::every]
        position = np.arange(len(sample))
        cleaned = np.empty_like(sample)
        for vertex in range(sample.shape[1]):
            series = sample[:, vertex]
            series = series - np.polyval(np.polyfit(position, series, DEGREE), position)
            cleaned[:, vertex] = (series - series.mean()) / series.std(ddof=1)
        total = total + cleaned / len(paths)
        loading += loaded - started
        fitting += time.perf_counter() - loaded
    np.save(result, total)
    share = total.shape[1] / values.shape[1]
    return {"seconds": loading + fitting / share, "loading": loading, "vertices": total.shape[1]}


def measure(way: str, paths: list[Path], result: Path, every: int) -> dict[str, Any]:
    """Run one way in a fresh process on one thread; return what it says, and its peak memory in MB."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.prepare", "--way", way, "--result", str(result), "--every", str(every)]
    done = subprocess.run(
        [*command, *map(str, paths)], cwd=ROOT, env={**os.environ, **threads}, stdout=subprocess.PIPE, check=True
    )
    return dict(json.loads(done.stdout))


def one_way(arguments: argparse.Namespace) -> None:
    """Do the work of a child and print what was measured."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if arguments.way == "ours":
        measured = ours(arguments.paths, arguments.result)
    else:
        measured = loop(arguments.paths, arguments.result, arguments.every)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**measured, "peak_mb": peak / 1024, "before_mb": before / 1024}))


def compare(folder: Path, grayordinates: int, repeats: int, every: int) -> str:
    """Return the row of the table."""
    import numpy as np

    paths = write_runs(folder, grayordinates, repeats)
    fast = measure("ours", paths, folder / "ours.npy", every)
    slow = measure("loop", paths, folder / "loop.npy", every)
    difference = np.abs(np.load(folder / "ours.npy", mmap_mode="r")[:, ::every] - np.load(folder / "loop.npy")).max()
    rate = VOLUMES * repeats / fast["seconds"]
    return (
        f"| clean | {repeats} x {VOLUMES} x {fast['columns']} | {fast['seconds']:.2f} | {slow['seconds']:.1f} "
        f"| {slow['seconds'] / fast['seconds']:.0f}x | {rate:.0f} | {difference:.1e} "
        f"| {fast['peak_mb']:.0f} | {slow['peak_mb']:.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grayordinates", type=int, default=91282)
    parser.add_argument("--repeats", type=int, default=2, help="files that are averaged")
    parser.add_argument("--every", type=int, default=20, help="the loop takes every n-th vertex")
    parser.add_argument("--keep", type=Path, help="write the files here, and use those that are there")
    parser.add_argument("--way", choices=["ours", "loop"], help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        one_way(arguments)
        return
    with tempfile.TemporaryDirectory(prefix="prepare-") as temporary:
        folder = Path(temporary) if arguments.keep is None else arguments.keep
        folder.mkdir(parents=True, exist_ok=True)
        row = compare(folder, arguments.grayordinates, arguments.repeats, arguments.every)
    print(
        "| what | runs | ours in s | loop in s | ratio | volumes per s | largest difference | peak MB | its peak MB |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    print(row)


if __name__ == "__main__":
    main()
