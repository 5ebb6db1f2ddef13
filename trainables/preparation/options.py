"""The options that all readers share, and those of cutting. Each field is an option of `python -m platform.prepare`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainables.config.base import Config, Count, Natural
from trainables.datasets.errors import DataProblem, DatasetError

POSITIONAL = "positional"
"""Marks a field, as in `Annotated[Path, POSITIONAL]`, that the command line takes without a name."""

SplitBy = Literal["auto", "given", "source", "run", "block", "clip"]
Share = Annotated[float, Field(ge=0.0, lt=0.5)]


class ReaderOptions(Config):
    """The options of every reader."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str = ""
    """name of the data set (default: of the folder that is written)"""
    licence: str = ""
    """licence of the data, such as CC0-1.0; printed in the data card"""
    citation: tuple[str, ...] = ()
    """a reference to cite; may be repeated"""
    previews: bool | None = None
    """whether the licence allows frames of the clips in reports (default: as the reader knows it, else no)"""
    frames: Annotated[int, Field(ge=2, le=256)] = 8
    """frames per clip, evenly spaced over it"""
    resolution: Annotated[int, Field(ge=32, le=2048)] = 256
    """side of the stored clips, in pixels"""
    fit: Literal["crop", "squeeze"] = "crop"
    """how frames become square: the largest square in the middle, or all of it without keeping its proportions"""
    subjects: tuple[str, ...] = ()
    """prepare this subject only; may be repeated (default: all)"""
    split_by: SplitBy = "auto"
    """how clips are split, if the data has no split of its own: by whole films or segments (source), by scanner runs
    (run), by blocks of --block-clips neighbours (block), or one by one (clip: only if none are neighbours in a film)"""
    validation_fraction: Share = 0.1
    """share of the clips on which epochs and trials are compared"""
    test_fraction: Share = 0.1
    """share of the clips that only the final metrics see"""
    block_clips: Count = 20
    """with --split-by block: neighbouring clips that stay in one split"""
    seed: Natural = 0
    """of the split"""
    duplicates: Literal["exclude", "refuse"] = "exclude"
    """what to do with a clip for training or validation that has the pixels of a test clip: leave it out, or stop"""


class FolderOptions(ReaderOptions):
    """Options of a reader that is given a folder."""

    folder: Annotated[Path, POSITIONAL]
    """folder of the data set"""


def check_options(options: FolderOptions, *, name: str, terms: str) -> None:
    """Refuse a missing folder, and previews, which the terms of `terms` forbid. Raises `DatasetError`."""
    if not options.folder.is_dir():
        right = "name the folder of the data set"
        raise DatasetError.of(DataProblem(str(options.folder), "there is no such folder", right))
    if options.previews:
        right = f"leave it out: the terms of {terms} do not allow passing frames on"
        raise DatasetError.of(DataProblem("--previews", f"is not possible for {name}", right))


class CutOptions(Config):
    """How `python -m platform.prepare clips` cuts videos."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    seconds: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 2.0
    """length of a clip"""
    frames: Annotated[int, Field(ge=2, le=64)] = 8
    """frames per clip"""
    resolution: Annotated[int, Field(ge=32, le=1024)] = 64
    """side of the clips, in pixels; frames are scaled to squares"""
    most: Annotated[int, Field(ge=1, le=100_000)] = 200
    """largest number of clips of a video"""
