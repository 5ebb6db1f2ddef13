"""What the stage `unsee` reads besides its inputs: a network, and videos without fMRI. Loads no torch."""

from pathlib import Path
from typing import Any

from trainables.backbones import layers_files, layers_fingerprint
from trainables.config.trial import TrialConfig
from trainables.datasets.external_clips import external_files, external_fingerprint


def unsee_fingerprint(config: TrialConfig) -> dict[str, Any]:
    """Return what identifies the network of `layers.source` and the videos of `unsee.external`.

    Raises:
        ValueError: A folder is missing, or does not hold what it must.
    """
    videos = external_fingerprint(config.unsee)
    return {"layers": layers_fingerprint(config), **({"external": videos} if videos else {})}


def unsee_files(config: TrialConfig) -> list[Path]:
    """Return the files that `unsee_fingerprint` stands for."""
    return [*layers_files(config), *external_files(config.unsee)]
