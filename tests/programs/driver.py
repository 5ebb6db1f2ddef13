"""STUDY HOME STORE [ADDRESS]: run a sweep, two trials at a time, with an Optuna journal; print its summary as JSON."""

import json
import sys
from pathlib import Path

from platform.options import Options
from platform.record.optuna_journal import OptunaView
from platform.run.driver import run_study
from platform.study.sweep_file import load_study


def run(path: str, home: Path, store: str, address: str | None = None) -> int:
    study = load_study(Path(path))
    options = Options(home=home, store=store, tracking="", address=address, max_concurrent=2)
    summary = run_study(study, options, views=lambda: [OptunaView(study, home=home)])
    print(json.dumps(summary.to_json()))
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
