"""What planning on a data set of CC2017's size takes, and the stages `clips`, `data` and `voxels`: time and memory.

    python -m benchmarks.real_size [--pixels 512] [--stored 512] [--keep FOLDER]

The set has 5,520 clips of 8 frames and 3 subjects of 59,412 vertices with 23 runs of 240 volumes. 512 clips lie in
files of 6.3 MB each; the others are entries of the table that name the same files. Peak memory is the resident set of a
process that does nothing else, and what of it is not mapped from files, which the system takes back when it needs it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


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
            from benchmarks.real_size_set import write_set  # here, so that it counts in no measured process

            write_set(data, stored=arguments.stored, pixels=arguments.pixels)
        print("| what | s with imports | s | peak MB | of it not mapped from files, MB |")
        print("|---|--:|--:|--:|--:|")
        for way in ("plan", "clips", "data", "voxels"):
            found = measure(way, data, work)
            row = f"{found['wall']:.1f} | {found['seconds']:.1f} | {found['mb']:.0f} | {found['anonymous_mb']:.0f}"
            print(f"| {way} | {row} |", flush=True)


if __name__ == "__main__":
    main()
