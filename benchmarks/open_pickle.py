"""Opening a pickled array of 219 MB, the betas of BOLD Moments: seconds and memory, against `pickle.load`.

    python -m benchmarks.open_pickle [--clips 100] [--repeats 9]

The file has the layout of the published ones (float64 [clips, 3, 91282] and the names of the videos), with a hole for
the values, so that no disk is measured. Each way runs in a process of its own. Time is the best and the median of some
openings after the first; memory is by how much the peak rises over what imports take, until a value was read.
"""

import argparse
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.prepare_readers import ROOT, peak_mb

_COLUMNS = 91282


def _ours(path: Path) -> Any:
    from trainables.preparation.pickles import read_pickle

    return read_pickle(path)


def _pickle(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)  # a file that this benchmark wrote


WAYS: Mapping[str, Callable[[Path], Any]] = {"ours": _ours, "pickle.load": _pickle}


def child(way: str, path: Path, repeats: int) -> None:
    """Open the file some times, and print what was measured."""
    import trainables.preparation.pickles  # noqa: F401  what imports take is not counted

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, seconds = peak_mb(), []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        array, names = WAYS[way](path)
        seconds.append(time.perf_counter() - started)
        value = float(array[-1, 0, 5])
        count = len(names)
        del array, names
    facts = {"best": min(seconds[1:]), "median": statistics.median(seconds[1:]), "mb": peak_mb() - before}
    print(json.dumps({**facts, "first": seconds[0], "value": value, "names": count}))


def measure(way: str, path: Path, repeats: int) -> dict[str, float]:
    """Run one way in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.open_pickle", "--way", way, "--file", str(path)]
    done = subprocess.run(
        [*command, "--repeats", str(repeats)], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the table."""
    from tests.fakes.pickles import write_holed_betas

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100, help="2.19 MB each")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--way", choices=[*WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        child(arguments.way, arguments.file, arguments.repeats)
        return
    with tempfile.TemporaryDirectory(prefix="open-pickle-") as folder:
        path = write_holed_betas(Path(folder) / "betas.pkl", (arguments.clips, 3, _COLUMNS))
        print(f"{path.stat().st_size / 1e6:.1f} MB\n")
        print("| way | first, ms | best, ms | median, ms | peak, MB |\n|---|--:|--:|--:|--:|")
        found = {way: measure(way, path, arguments.repeats) for way in WAYS}
        for way, facts in found.items():
            times = " | ".join(f"{1000 * facts[name]:.1f}" for name in ("first", "best", "median"))
            print(f"| {way} | {times} | {facts['mb']:.1f} |")
        if len({(facts["value"], facts["names"]) for facts in found.values()}) != 1:
            raise SystemExit("the ways read other values")


if __name__ == "__main__":
    main()
