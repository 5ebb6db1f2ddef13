"""FOLDER: run a stage where no file can be written, and print the error's name and what the store then holds."""

import resource
import sys
from pathlib import Path

from storage.local import LocalStore
from storage.runs import RunStore
from trainables.config.trial import resolve
from trainables.execute import execute
from trainables.failure import cause_of
from trainables.graph import stage_runs


def run(folder: Path) -> None:
    config = resolve({"noop.epochs": 3})
    (run,) = stage_runs(config, seed=0, targets=["noop"])
    runs = RunStore(LocalStore(folder / "store"), cache=folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        execute(run, config, runs=runs, scratch=folder / "scratch")
    except Exception as error:
        print(cause_of(error), runs.find(run.identity), list(LocalStore(folder / "store").list("")))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
