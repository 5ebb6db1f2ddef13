"""How long the plan of a large ablation takes: eight systems, three subjects, eleven seeds, 264 trials.

    python -m benchmarks.plan [--repeats 3]

Seven systems are folders of videos made elsewhere (`system: given`), which the plan reads to check them; the eighth is
the phantom's own. Each plan is a call of `python -m platform.ablate FILE --dry-run` with an empty store, from the
start of Python to the end. The table shows wall time and CPU time; other work on the machine changes the second less.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS, SUBJECTS, SEEDS, CLIPS, FIRST_TEST = 8, 3, 11, 60, 2520
TRIALS = SYSTEMS * SUBJECTS * SEEDS


def write_design(folder: Path) -> Path:
    """Write the videos of seven systems, and the ablation that compares them with ours."""
    for system in range(1, SYSTEMS):
        videos = folder / f"system{system}"
        videos.mkdir()
        for clip in range(FIRST_TEST, FIRST_TEST + CLIPS):
            frames = np.random.default_rng([system, clip]).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
            np.save(videos / f"phantom:0:{clip}.npy", frames)
    design = {
        "primary": ["evaluate.test_two_way_i", "evaluate.test_vifi", "evaluate.test_ssim"],
        "subjects": list(range(SUBJECTS)),
        "seeds": SEEDS,
        "unit": "clips",
        "baseline": {"generator.test_clips": CLIPS},
        "conditions": {
            f"system{number}": {"system": "given", "given.path": str(folder / f"system{number}")}
            for number in range(1, SYSTEMS)
        },
    }
    file = folder / "systems.yaml"
    file.write_text(json.dumps(design), encoding="utf-8")  # JSON is YAML
    return file


def planned(file: Path, home: Path) -> tuple[float, float]:
    """Return the wall and the CPU seconds of one plan."""
    before, started = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "platform.ablate", str(file), "--dry-run", "--home", str(home)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - started, os.times()
    assert f"{TRIALS} " in done.stdout, done.stdout
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        file = write_design(Path(name))
        walls, cpus = zip(*(planned(file, Path(name) / "home") for _ in range(repeats)), strict=True)
    print(f"| plan of {TRIALS} trials | median of {repeats}, s | range, s |\n|---|--:|--:|")
    for title, seconds in (("wall", walls), ("CPU", cpus)):
        print(f"| {title} | {statistics.median(seconds):.2f} | {min(seconds):.2f}-{max(seconds):.2f} |")


if __name__ == "__main__":
    main()
