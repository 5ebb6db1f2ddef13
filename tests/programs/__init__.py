"""Programs that tests start as processes of their own: `subprocess.Popen(program("committer", uri))`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Where they are started: only from there does Python find our `platform`."""


def program(name: str, *arguments: object) -> list[str]:
    """Return the command that runs the program `name` of this folder."""
    return [sys.executable, "-m", f"{__name__}.{name}", *map(str, arguments)]
