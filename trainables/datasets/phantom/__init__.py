"""The phantom: a small world of moving shapes whose every cause is known, the embedded default data set.

Importing this is light: the world is imported when it is made.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from trainables.config.data import PhantomWorld
from trainables.datasets.errors import DataReport, DataVerdict

if TYPE_CHECKING:
    from trainables.datasets.base import BrainData, Stimuli
    from trainables.datasets.presentations import Presentations

GENERATOR = 1
"""Raised when the phantom's stimuli or brains change: everything that was simulated before is then made anew."""


def clips_fingerprint(config: PhantomWorld) -> dict[str, object]:
    """Return what decides the phantom's clips beside its config."""
    return {"generator": GENERATOR}


def brains_fingerprint(config: PhantomWorld) -> dict[str, object]:
    """Return what decides the phantom's brains beside its config."""
    return {"generator": GENERATOR}


def clips_files(config: PhantomWorld) -> tuple[Path, ...]:
    """Return that the phantom has no files."""
    return ()


brains_files = clips_files


def check(config: PhantomWorld) -> DataVerdict:
    """Return that nothing is wrong, and how many subjects there are."""
    return DataVerdict(DataReport(), config.subjects)


def load_clips(config: PhantomWorld) -> "Stimuli":
    """Draw the phantom's clips: the same bytes from the same config."""
    from trainables.datasets.phantom.world import phantom_clips

    return phantom_clips(config)


def load_brains(config: PhantomWorld, stimuli: "Stimuli") -> "BrainData":
    """Let the phantom's brains watch the clips: the same bytes from the same config."""
    from trainables.datasets.phantom.world import phantom_brains

    return phantom_brains(config, stimuli)


def load_presentations(config: PhantomWorld) -> "Presentations":
    """Return when the phantom's brains watch the clips, without the time that it takes to simulate them."""
    from trainables.datasets.phantom.world import phantom_presentations

    return phantom_presentations(config)
