"""How long the report of a large ablation takes, from records alone.

    python -m benchmarks.report [--trials 10000] [--repeats 3]

The records are made up (Gaussian metrics, no stage run exists) but written as a study writes them, ten epochs a trial,
into a local store. The time is that of `python -m platform.report` in a fresh process, Python's start and imports
included. Beside it: reading every event of the same study and parsing its JSON, which is the least that any report
from these records could do. Two shapes, since cost grows with trials in one way and with comparisons in another.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform.study.design import Condition, DeclaredComparison, Design, trial_name
from platform.study.registration import frozen
from storage.base import Store
from storage.events import EventLog
from storage.studies import save_study
from storage.uri import open_store
from trainables.config.trial import resolve

ROOT = Path(__file__).resolve().parent.parent
METRICS = ("semantic.retrieval_image_top1", "structure.latent_mse")
STAGES = ("data", "voxels", "features", "semantic", "structure")
SUBJECTS = 10
EPOCHS = 10


@dataclass(frozen=True)
class Shape:
    """How many conditions, the baseline among them, and seeds; subjects are ten."""

    conditions: int
    seeds: int

    @property
    def trials(self) -> int:
        """All of the study."""
        return self.conditions * SUBJECTS * self.seeds


def design_of(shape: Shape) -> Design:
    """Return a design of `shape` with four declared comparisons."""
    names = [f"arm{number:03d}" for number in range(1, shape.conditions)]
    return Design(
        baseline={},
        conditions={name: Condition(overrides={"motion.depth": 3}) for name in names},
        subjects=tuple(range(SUBJECTS)),
        seeds=shape.seeds,
        seed=0,
        primary=METRICS,
        family=tuple(DeclaredComparison(condition=name, metric=METRICS[0]) for name in names[:4]),
        unit="seeds",
        alpha=0.05,
        margins={},
        tolerance=0.1,
    )


def write(store: Store, design: Design, *, study: str) -> None:
    """Store the records of `design` as `study`, every trial completed."""
    definition = {"targets": list(METRICS), "seed": 0, "repeats": design.seeds, **frozen(design, {})}
    save_study(store, study, {"id": study, "definition": definition})
    log, chance = EventLog(store, study), random.Random(0)
    config = resolve({}).model_dump(mode="json")
    for condition in design.names:
        for subject in design.subjects:
            for seed in range(design.seeds):
                name = trial_name(condition, subject, seed)
                labels = {"condition": condition, "subject": str(subject), "seed": str(seed), "block": ""}
                for sequence, (kind, body) in enumerate(events(name, labels, config, chance)):
                    event = {"trial": name, "sequence": sequence, "kind": kind, "time": 1.79e9, "body": body}
                    log.append(name, sequence, event)


def events(
    trial: str, labels: dict[str, str], config: dict[str, Any], chance: random.Random
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kind and body of what `trial` would have recorded; decoders are its own, the rest is shared."""
    seed = int(labels["seed"])
    identity = {stage: f"{stage}-{trial if stage in STAGES[3:] else 'shared'}" for stage in STAGES}
    runs = [{"stage": stage, "identity": identity[stage], "seed": seed, "config": {}, "inputs": {}} for stage in STAGES]
    values = {"condition": labels["condition"], "subject": int(labels["subject"])}
    yield (
        "proposed",
        {"point": 0, "repeat": seed, "seed": seed, "values": values, "config": config, "runs": runs, "labels": labels},
    )
    yield "started", {"attempt": 1}
    rows = [{"stage": "semantic", "epoch": one, "metrics": {"loss": 1.0}, "time": 0.0} for one in range(1, EPOCHS + 1)]
    yield "epochs", {"rows": rows}
    metrics = {METRICS[0]: min(1.0, max(0.0, chance.gauss(0.3, 0.05))), METRICS[1]: chance.gauss(0.8, 0.05)}
    took = {stage: {"identity": identity[stage], "reused": False, "seconds": 5.0} for stage in STAGES}
    yield (
        "finished",
        {"outcome": "COMPLETED", "metrics": metrics, "step": 1, "error": None, "seconds": 9.0, "runs": took},
    )


def measure(folder: Path, shape: Shape, repeats: int) -> dict[str, float]:
    """Return medians in seconds: the report's, and that of reading every event."""
    uri = (folder / "store").as_uri()
    store = open_store(uri)
    write(store, design_of(shape), study="big")
    command = [sys.executable, "-m", "platform.report", "big", "--store", uri, "--out", str(folder / "report")]
    report, bare = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        sum(1 for _ in EventLog(store, "big").read())
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        report.append(time.perf_counter() - began)
    return {"report": statistics.median(report), "reading": statistics.median(bare)}


def main() -> None:
    """Measure both shapes and print them as JSON and as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, metavar="N", help="of each shape; a multiple of 1,000")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    options = parser.parse_args()
    found = {}
    for shape in (Shape(options.trials // 100, 10), Shape(10, options.trials // 100)):
        with tempfile.TemporaryDirectory(prefix="mindsweep-report-") as folder:
            found[shape] = measure(Path(folder), shape, options.repeats)
    sys.stdout.write(json.dumps([{"conditions": s.conditions, "trials": s.trials, **t} for s, t in found.items()]))
    sys.stdout.write("\n\n| trials | conditions | report, s | reading all events, s |\n|--:|--:|--:|--:|\n")
    for shape, took in found.items():
        sys.stdout.write(f"| {shape.trials:,} | {shape.conditions} | {took['report']:.1f} | {took['reading']:.1f} |\n")


if __name__ == "__main__":
    main()
