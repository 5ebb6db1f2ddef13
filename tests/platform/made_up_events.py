"""Events from their parts, with bodies as JSON."""

from collections.abc import Mapping
from typing import Any

from platform.events import Epochs, Finished, Proposed, Started, TrialEvent

KINDS: Mapping[str, type[TrialEvent]] = {kind.kind: kind for kind in (Proposed, Started, Epochs, Finished)}


def made_up_event(trial: str, sequence: int, kind: str, time: float, body: Mapping[str, Any]) -> TrialEvent:
    """Return the event `sequence` of `trial`."""
    return KINDS[kind].read({"trial": trial, "sequence": sequence, "time": time}, body)
