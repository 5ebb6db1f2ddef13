"""What checkpoints and logging cost a real trial.

    python -m benchmarks.checkpoints [--stages semantic motion] [--repeats 3] [--set KEY=VALUE] [--keep FOLDER]

First one trial of each stage runs as `python -m platform.sweep` runs it, MLflow included; the split of its time is that
of its own record: `checkpoint` is the making of the files and the waiting for the last of them, `report` telling the
driver. What is written meanwhile, in a thread, shows nowhere there, but takes from the same cores; so the stage is then
trained again in this process, in turns with checkpoints into the store and with none kept, which tells that part.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.runs import RunStore
from storage.uri import open_store
from trainables.context import Context, StageTask
from trainables.graph import StageRun, checkpoint_share, resolve_reference
from trainables.keeping import BackgroundCheckpoints, Pace
from trainables.stage_table import STAGES

TARGETS = {"semantic": "semantic.retrieval_image_top1", "motion": "motion.rollout_mse"}


class _Without(Context):
    """A context in which checkpoints are neither made nor kept."""

    @contextmanager
    def checkpoint(self, epoch: int, *, keep_older: bool = False) -> Iterator[Path]:
        """Yield a folder in memory that is forgotten."""
        with tempfile.TemporaryDirectory(prefix="forgotten-", dir="/dev/shm") as folder:
            yield Path(folder)


def trial(stage: str, settings: list[str], home: Path) -> tuple[dict[str, Any], Any]:
    """Run a study of one trial; return the body of its end, and its spec."""
    from platform.launch import launch
    from platform.options import Options
    from platform.study.sweep_file import load_study
    from platform.tracking_uri import default_tracking
    from storage.events import EventLog

    file = home / f"{stage}.yaml"
    file.write_text(f"target: {TARGETS[stage]}\nspace: {{{stage}.train.lr: {{log_uniform: [0.001, 0.003]}}}}\n")
    study = load_study(file, ["trials=1", "sampler=random", *settings])
    options = Options(home=home, store=(home / "store").as_uri(), tracking=default_tracking(home))
    launch(study, options)
    events = list(EventLog(open_store(options.store), study.id).read())
    (end,) = [event["body"] for event in events if event["kind"] == "finished"]
    (proposed,) = [event["body"] for event in events if event["kind"] == "proposed"]
    return end, study.spec(0, 0, proposed["values"])


def seconds(run: StageRun, config: Any, runs: RunStore, *, kept: bool) -> float:
    """Train once more in this process and return for how long."""
    inputs = {name: runs.open(identity) for name, identity in run.inputs.items()}
    checkpoints = runs.checkpoints(f"{run.identity}-again")
    with tempfile.TemporaryDirectory() as folder:
        pace = Pace(checkpoint_share(config, run.stage))
        keeper = BackgroundCheckpoints(checkpoints, logging.warning, pace=pace)
        context = (Context if kept else _Without)(Path(folder), keeper, pace=pace)
        started = time.perf_counter()
        resolve_reference(STAGES[run.stage].implementation)(StageTask(config, run.seed, inputs, context))
        keeper.drain()
        found = time.perf_counter() - started
    checkpoints.clear()
    return found


def measure(stage: str, arguments: argparse.Namespace, home: Path) -> str:
    """Return one row of the table."""
    from trainables.config.trial import TrialConfig

    end, spec = trial(stage, arguments.settings, home)
    split = end["time"]
    wall = end["seconds"]
    runs = RunStore(open_store((home / "store").as_uri()), cache=home / "scratch" / "cache")
    (run,) = [run for run in spec.runs if run.stage == stage]
    config = TrialConfig.model_validate(spec.config)
    pairs = [[seconds(run, config, runs, kept=kept) for kept in (True, False)] for _ in range(arguments.repeats)]
    added = statistics.median(kept / without - 1 for kept, without in pairs)
    parts = " | ".join(f"{split[part]:.2f}" for part in ("data", "compute", "checkpoint", "report"))
    share = (split["checkpoint"] + split["report"]) / wall
    return f"| {stage} | {wall:.1f} | {parts} | {share:.1%} | {added:+.1%} |"


def main() -> None:
    """Print the table."""
    logging.basicConfig(level=logging.WARNING)
    os.environ.update({"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"})
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=3, help="times that each stage is trained again, both ways")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--keep", type=Path, help="keep the store in this folder, and use what it holds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="checkpoints-") as folder:
        home = (Path(folder) if arguments.keep is None else arguments.keep).absolute()
        home.mkdir(parents=True, exist_ok=True)
        rows = [measure(stage, arguments, home) for stage in arguments.stages]
    print("| trial | wall in s | data | compute | checkpoint | report | checkpoint + report | checkpoints add |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
