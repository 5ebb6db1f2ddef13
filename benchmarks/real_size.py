"""What planning on a data set of CC2017's size takes, and the stages `clips`, `data` and `voxels`: time and memory.

    python -m benchmarks.real_size [--pixels 512] [--stored 512] [--keep FOLDER]

The set has 5,520 clips of 8 frames and 3 subjects of 59,412 vertices with 23 runs of 240 volumes. 512 clips lie in
files of 6.3 MB each; the others are entries of the table that name the same files. Peak memory is the resident set of a
process that does nothing else, and what of it is not mapped from files, which the system takes back when it needs it.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUNS, VOLUMES, TR = 23, 240, 2.0
TRAIN_RUNS, VALIDATION_RUNS = 16, 2
VERTICES, SUBJECTS, FRAMES, SHARD = 59_412, 3, 8, 64
AREAS = ("V1", "V2", "V3", "V4", "MT", "LO", "FFA", "PPA", "none")


def write_set(folder: Path, *, stored: int, pixels: int) -> None:
    """Write the data set, with the verdict that its preparation would keep."""
    import numpy as np

    from trainables.datasets.errors import DataReport
    from trainables.datasets.prepared.description import (
        ClipShape,
        Description,
        FileFacts,
        ReaderUsed,
        write_description,
    )
    from trainables.datasets.prepared.digest import content_files, keep_verdict, set_digest
    from trainables.datasets.prepared.tables import ClipRow, EventRow, RunRow, VoxelTable, write_rows, write_voxels

    (folder / "clips").mkdir(parents=True)
    digests, shape = [], (SHARD, FRAMES, pixels, pixels, 3)
    for number in range(stored // SHARD):
        rng = np.random.default_rng(number)
        file = np.lib.format.open_memmap(folder / "clips" / f"shard_{number:05d}.npy", "w+", np.uint8, shape)
        for row in range(SHARD):
            file[row] = rng.integers(0, 255, shape[1:], np.uint8)
            digests.append(hashlib.sha256(file[row].data).hexdigest())
        file.flush()
        del file
    clips = []
    for index in range(RUNS * VOLUMES):
        run, at = index // VOLUMES, index % stored
        start = index % VOLUMES * TR
        text = f"scene {index} of a film"
        clips.append(
            ClipRow(
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
        )
    write_rows(clips, ClipRow, folder / "clips.parquet")
    for subject in range(SUBJECTS):
        own = folder / f"subject{subject + 1}"
        own.mkdir()
        bold = np.lib.format.open_memmap(own / "bold.npy", "w+", np.float32, (RUNS * VOLUMES, VERTICES))
        for first in range(0, RUNS * VOLUMES, VOLUMES):
            rng = np.random.default_rng([subject, first])
            bold[first : first + VOLUMES] = rng.standard_normal((VOLUMES, VERTICES), np.float32)
        bold.flush()
        del bold
        runs = [RunRow(f"seg{r}", "1", "film", "", VOLUMES, r * VOLUMES, TR, 0.0, "0" * 64) for r in range(RUNS)]
        write_rows(runs, RunRow, own / "runs.parquet")
        events = [EventRow(clip.source, clip.start_s or 0.0, TR, clip.clip_id, 0) for clip in clips]
        write_rows(events, EventRow, own / "events.parquet")
        areas = np.array(AREAS)[np.arange(VERTICES) * len(AREAS) // VERTICES]
        write_voxels(VoxelTable(areas), own / "voxels.parquet")
    files = {name: FileFacts(bytes=(folder / name).stat().st_size, sha256="0" * 64) for name in content_files(folder)}
    about = Description(
        name="CC2017's size",
        kind="series",
        licence="none",
        reader=ReaderUsed(name="series"),
        tr=TR,
        lag_s=2 * TR,
        subjects=tuple(f"subject{subject + 1}" for subject in range(SUBJECTS)),
        clips=ClipShape(count=len(clips), frames=FRAMES, height=pixels, width=pixels),
        files=files,
        digest=set_digest(files),
    )
    write_description(about, folder)
    keep_verdict(folder, DataReport(), about.digest)


def plan(data: Path, work: Path) -> None:
    """Plan a sweep, as `--dry-run` does."""
    from platform.sweep import main

    settings = ["dataset.kind=prepared", f"dataset.path={data}"]
    given = [word for setting in settings for word in ("--set", setting)]
    code = main(["search_spaces/cmg.yaml", *given, "--home", str(work / "home"), "--dry-run", "--json"])
    if code != 0:
        raise SystemExit(f"the plan ended with {code}")


def stage(name: str, data: Path, work: Path) -> None:
    """Execute one stage; its inputs are in the store already."""
    from storage.local import LocalStore
    from storage.runs import RunStore
    from trainables.config.trial import resolve
    from trainables.context import Part
    from trainables.execute import execute_anew
    from trainables.graph import stage_runs

    config = resolve({"dataset.kind": "prepared", "dataset.path": str(data)})
    run = {run.stage: run for run in stage_runs(config, seed=0, targets=[name])}[name]
    runs = RunStore(LocalStore(work / "store"), cache=work / "cache")
    execute_anew(run, config, runs=runs, scratch=work / "scratch", part=Part())


def one_way(way: str, data: Path, work: Path) -> None:
    """Do the work of a child, and print what was measured to stderr."""
    peaks = {"VmRSS": 0, "RssAnon": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for line in Path("/proc/self/status").read_text("utf-8").splitlines():
                name, _, rest = line.partition(":")
                if name in peaks:
                    peaks[name] = max(peaks[name], int(rest.split()[0]))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started = time.perf_counter()
    plan(data, work) if way == "plan" else stage(way, data, work)
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    measured = {"seconds": seconds, "mb": peaks["VmRSS"] / 1024, "anonymous_mb": peaks["RssAnon"] / 1024}
    print(json.dumps(measured), file=sys.stderr)


def measure(way: str, data: Path, work: Path) -> dict[str, Any]:
    """Run one way in a fresh process; return what it says, and its seconds from start to end."""
    command = [sys.executable, "-m", "benchmarks.real_size", "--way", way, "--keep", str(data), "--work", str(work)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{way} failed:\n{done.stderr}{done.stdout}")
    return {**json.loads(done.stderr.strip().rpartition("\n")[2]), "wall": time.perf_counter() - started}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--stored", type=int, default=512, help="clips that lie in files")
    parser.add_argument("--keep", type=Path, help="write the data set here, and use it if it is there")
    parser.add_argument("--way", choices=["plan", "clips", "data", "voxels"], help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        one_way(arguments.way, arguments.keep, arguments.work)
        return
    with tempfile.TemporaryDirectory(prefix="real-size-") as temporary:
        work = Path(temporary)
        data = work / "set" if arguments.keep is None else arguments.keep
        if not (data / "dataset.json").exists():
            write_set(data, stored=arguments.stored, pixels=arguments.pixels)
        print("| what | s with imports | s | peak MB | of it not mapped from files, MB |")
        print("|---|--:|--:|--:|--:|")
        for way in ("plan", "clips", "data", "voxels"):
            found = measure(way, data, work)
            row = f"{found['wall']:.1f} | {found['seconds']:.1f} | {found['mb']:.0f} | {found['anonymous_mb']:.0f}"
            print(f"| {way} | {row} |", flush=True)


if __name__ == "__main__":
    main()
