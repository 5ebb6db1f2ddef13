"""Where and how a study runs: what the options of the command line say."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Where and how a study runs. Nothing here changes what comes out."""

    home: Path
    """Absolute; everything that a run makes lies in it, unless `store` or `tracking` say otherwise."""
    store: str
    """URI of the object store."""
    tracking: str
    """URI of the MLflow server or database."""
    address: str | None = None
    """Ray cluster to join; None starts one here."""
    max_concurrent: int | None = None
    """Trials at a time; None takes what the cluster holds."""
    stage_deadline: float | None = None
    """Seconds without an epoch or a new stage after which a trial counts as hanging; None waits for ever."""
    inline: bool = False
    """Whether the study runs in this process, one trial at a time, without Ray: for debugging."""
    fresh: bool = False
    """Whether to begin the study anew, even if it was run before."""
    dry_run: bool = False
    as_json: bool = False
    """One JSON object on stdout at the end, everything else on stderr."""
