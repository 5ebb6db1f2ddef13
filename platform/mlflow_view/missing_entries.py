"""Says what MLflow lacks of a study, and the command that writes it."""

import logging
import shlex

from platform.options import place_arguments

_log = logging.getLogger(__name__)


def warn_of_missing(missing: str, *, study: str, home: str, store: str, tracking: str) -> None:
    """Log a warning that MLflow at `tracking` lacks `missing`."""
    options = place_arguments(home=home, store=store, tracking=tracking)
    command = shlex.join(["python", "-m", "platform.rebuild", study, *options])
    _log.warning("missing in MLflow: %s. The store has all of it; write it with: %s", missing, command)
