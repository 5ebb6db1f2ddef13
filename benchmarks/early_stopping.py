"""What early stopping saves, and what it costs in quality: one search space under ASHA and under FIFO.

    python -m benchmarks.early_stopping [--space search_spaces/cmg.yaml] [--trials 27] [--seeds 1] [--set KEY=VALUE]
        [--keep FOLDER]

Each way runs in a fresh process with a store of its own, one after the other, with the space's own sampler, target and
ASHA options. Epochs are those of the target's stage that were really trained, by the study's own events; wall is from
the first trial's start to the last one's end, so that data and features, which both need, are not in it. The best value
is that of a trial that ran to its end: one that was stopped early is no result.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WAYS = {"asha": (), "fifo": ("scheduler=fifo",)}
"""What each way changes in the file, which names ASHA."""


@dataclass(frozen=True)
class Measured:
    """One study."""

    epochs: int
    """Of the target's stage, over all trials."""
    full: int
    """Trials that ran to their end."""
    best: float
    wall: float
    """Seconds."""
    values: dict[str, Any]
    """Swept field to value of the best trial."""


def run(space: Path, settings: list[str], home: Path) -> Measured:
    """Run one study as `python -m platform.sweep` does and read what happened from its events."""
    from platform.events import TrialEvent
    from platform.launch import launch
    from platform.options import Options
    from platform.record.results import ranked, results_from_events
    from platform.study.sweep_file import load_study
    from platform.tracking_uri import default_tracking
    from storage.events import EventLog
    from storage.uri import open_store

    study = load_study(space, settings)
    options = Options(home=home, store=(home / "store").as_uri(), tracking=default_tracking(home))
    summary = launch(study, options)
    if summary.interrupted:
        raise SystemExit("interrupted")
    events = [TrialEvent.from_json(event) for event in EventLog(open_store(options.store), study.id).read()]
    target = study.targets[0]
    rows = [row for event in events if event.kind == "epochs" for row in event.body["rows"]]
    starts = [event.time for event in events if event.kind == "started"]
    best = ranked(results_from_events(events), study.targets)[0]
    return Measured(
        epochs=sum(row["stage"] == target.stage for row in rows),
        full=summary.trials["completed"],
        best=best.metrics[target.name],
        wall=max(event.time for event in events if event.kind == "finished") - min(starts),
        values=dict(best.values),
    )


def _measured(way: str, seed: int, arguments: argparse.Namespace, folder: Path) -> Measured:
    """Measure one way in a process of its own."""
    home = folder / f"{way}-s{seed}"
    command = [sys.executable, "-m", "benchmarks.early_stopping", "--space", str(arguments.space.absolute())]
    command += ["--trials", str(arguments.trials), "--way", way, "--seed", str(seed), "--keep", str(home)]
    command += [text for setting in arguments.settings for text in ("--set", setting)]
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{way} failed")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _table(arguments: argparse.Namespace, folder: Path) -> None:
    found: dict[str, list[Measured]] = {way: [] for way in WAYS}
    for seed in range(arguments.seeds):
        for way in WAYS:
            found[way].append(_measured(way, seed, arguments, folder))
            print(f"{way}, seed {seed}: {asdict(found[way][-1])}", file=sys.stderr, flush=True)
    print(
        "| way | seed | epochs trained | trials run to their end | best value | wall in s |\n|---|--:|--:|--:|--:|--:|"
    )
    for way, measured in found.items():
        for seed, one in enumerate(measured):
            print(f"| {way} | {seed} | {one.epochs} | {one.full} | {one.best:.4f} | {one.wall:.0f} |")
    pairs = list(zip(found["asha"], found["fifo"], strict=True))
    epochs = statistics.median(1 - asha.epochs / fifo.epochs for asha, fifo in pairs)
    wall = statistics.median(1 - asha.wall / fifo.wall for asha, fifo in pairs)
    apart = ", ".join(f"{asha.best - fifo.best:+.4f}" for asha, fifo in pairs)
    print(f"\nASHA saves {epochs:.0%} of the epochs and {wall:.0%} of the wall; its best is {apart} from FIFO's")


def main() -> None:
    """Print the table, or with `--way` one measurement as JSON."""
    logging.basicConfig(level=logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", type=Path, default=ROOT / "search_spaces" / "cmg.yaml")
    parser.add_argument("--trials", type=int, default=27)
    parser.add_argument("--seeds", type=int, default=1, help="studies of each way, each with another seed")
    parser.add_argument("--keep", type=Path, help="keep stores and MLflow databases in this folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="as in a sweep"
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.way is not None:
        settings = [*arguments.settings, *WAYS[arguments.way], f"trials={arguments.trials}", f"seed={arguments.seed}"]
        print(json.dumps(asdict(run(arguments.space, settings, arguments.keep))))
    elif arguments.keep is not None:
        _table(arguments, arguments.keep.absolute())
    else:
        with tempfile.TemporaryDirectory(prefix="early-stopping-") as folder:
            _table(arguments, Path(folder))


if __name__ == "__main__":
    main()
