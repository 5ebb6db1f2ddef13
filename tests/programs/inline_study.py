"""Runs `small.yaml` of the folder given as argument in this process; prints how it ended and what it loaded."""

import sys
from pathlib import Path

from platform.options import Options
from platform.run.driver import run_study
from platform.study.sweep_file import load_study

home = Path(sys.argv[1])
options = Options(home=home, store=(home / "store").as_uri(), tracking="", inline=True)
summary = run_study(load_study(home / "small.yaml"), options)
sys.stdout.write(f"completed {summary.trials['completed']}\nray loaded: {'ray' in sys.modules}\n")
