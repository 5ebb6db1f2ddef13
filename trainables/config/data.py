"""Data sets and how voxels are read from them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import Config, Count, Natural, NonNegative
from trainables.identity import CIRCUMSTANCE


class PhantomConfig(Config):
    """The phantom: a small world of moving shapes whose brain is known (trainables/datasets/phantom)."""

    kind: Literal["phantom"] = "phantom"
    seed: Natural = 0
    train_clips: Count = 1200
    validation_clips: Count = 120
    test_clips: Count = 120
    frames: Annotated[int, Field(ge=2)] = 8
    resolution: Annotated[int, Field(ge=32)] = 64
    subjects: Count = 3
    voxels: Annotated[int, Field(ge=64)] = 900
    """Voxels per subject, shared out over the ROIs."""
    noise: NonNegative = 0.3
    """Standard deviation of the autocorrelated noise, in units of the signal's own."""
    repeats: Count = 2
    """How often validation and test clips are shown; training clips are shown once."""
    rest_tr: Natural = 3
    """Blank volumes between clips; 0 is continuous stimulation as in CC2017."""
    block_clips: Count = 20
    """Clips per block; splits are made of whole blocks, so no neighbours fall on both sides of one."""


class FolderConfig(Config):
    """Clips, captions and fMRI that a user brings (trainables/datasets/folder)."""

    kind: Literal["folder"] = "folder"
    path: Annotated[Path, CIRCUMSTANCE]
    """Holds the clips (GIF, MP4, or folders of PNG), the captions file and `fmri.npy`. Its content decides identity."""
    captions: str = "captions.json"
    fmri: str = "fmri.npy"
    simulate: bool = False
    """Run the phantom's forward model on these clips instead of reading `fmri`."""
    frames: Annotated[int, Field(ge=2)] = 8
    resolution: Annotated[int, Field(ge=32)] = 64
    crop: Annotated[tuple[int, int, int, int], Field()] | None = None
    """Top, bottom, left, right in pixels, cut from every frame before it is resized (side-by-side GIFs)."""
    validation_fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.15
    test_fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.15
    block_clips: Count = 1
    """Neighbouring clips that must stay on one side of a split."""
    seed: Natural = 0
    voxels: Annotated[int, Field(ge=64)] = 900
    """Voxels to simulate; only with `simulate`."""
    noise: NonNegative = 0.3
    """As in the phantom; only with `simulate`."""


DatasetConfig = Annotated[PhantomConfig | FolderConfig, Field(discriminator="kind")]


class VoxelsConfig(Config):
    """Which fMRI rows go with which clip, and how they are standardised."""

    subject: Natural = 0
    lag_tr: Natural = 2
    """Volumes between a clip's onset and the volume that answers it (phantom: 2 x 2 s; CC2017 as published: 0)."""
    normalise: Literal["train_stats", "test_stats"] = "train_stats"
    """`test_stats` standardises the test set by itself, as the released code does (spec B27)."""
    average_repeats: bool = True
