"""The command that opens the studies of a home folder in the MLflow UI."""

import shlex
from pathlib import Path

from platform.options import home_of
from platform.tracking_uri import default_tracking, is_server
from storage.environment import without_secrets


def ui_command(home: Path, tracking: str) -> str:
    """Return the command that opens the studies in `tracking`, run from the project's folder, or a server's URL."""
    if is_server(tracking):
        return without_secrets(tracking)
    if tracking != default_tracking(home):
        return f"python -m platform.ui --tracking {shlex.quote(without_secrets(tracking))}"
    return "make ui" if home == home_of(None) else f"python -m platform.ui --home {shlex.quote(str(home))}"
