"""The phantom: a small world of moving shapes whose every cause is known, the embedded default data set.

Importing this is light: `world` is imported on first use.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from trainables.config.data import PhantomWorld
from trainables.datasets.errors import DataReport, DataVerdict

if TYPE_CHECKING:
    from trainables.datasets.base import BrainData, Stimuli
    from trainables.datasets.presentations import Presentations

GENERATOR = 1
"""Raised when the phantom's stimuli or brains change: everything is then simulated again."""


def clips_fingerprint(config: PhantomWorld) -> dict[str, object]:
    """Return what determines the phantom's clips in addition to its config: the generator's version."""
    return {"generator": GENERATOR}


def brains_fingerprint(config: PhantomWorld) -> dict[str, object]:
    """Return what determines the phantom's fMRI in addition to its config: the generator's version."""
    return {"generator": GENERATOR}


def clips_files(config: PhantomWorld) -> tuple[Path, ...]:
    """Return no files: clips are generated."""
    return ()


brains_files = clips_files


def card_files(config: PhantomWorld) -> tuple[Path, ...]:
    """Return that the phantom has no card."""
    return ()


def check(config: PhantomWorld) -> DataVerdict:
    """Return an empty report, and the number of subjects."""
    return DataVerdict(DataReport(), config.subjects)


def load_clips(config: PhantomWorld) -> "Stimuli":
    """Generate the phantom's clips: the same bytes from the same config."""
    from trainables.datasets.phantom.world import phantom_clips

    return phantom_clips(config)


def load_brains(config: PhantomWorld, stimuli: "Stimuli") -> "BrainData":
    """Simulate the phantom's responses to the clips: the same bytes from the same config."""
    from trainables.datasets.phantom.world import phantom_brains

    return phantom_brains(config, stimuli)


def load_presentations(config: PhantomWorld) -> "Presentations":
    """Return when the phantom's brains watch the clips, without the time that it takes to simulate them."""
    from trainables.datasets.phantom.world import phantom_presentations

    return phantom_presentations(config)
