"""The table of readers of `python -m platform.prepare READER`.

A new reader is an entry here and a module with `Settings`, a subclass of `ReaderOptions`, and `open_source`. Each field
of `Settings` becomes an option of the command line, its docstring the help. Importing this is light: a reader is
imported on first use.
"""

from typing import TYPE_CHECKING, Any, Protocol

from trainables.kinds import ReaderEntry, of_kind
from trainables.preparation.options import ReaderOptions

if TYPE_CHECKING:
    from trainables.datasets.prepared.source import DataSource


class PreparationReader(Protocol):
    """The content of a reader's module."""

    Settings: type[ReaderOptions]

    def open_source(self, options: Any) -> "DataSource":
        """Open a data set, headers and tables only; `options` is of the class `Settings`.

        Raises:
            DatasetError: It cannot be used; the message lists all problems.
        """


_ENTRIES: tuple[ReaderEntry[PreparationReader], ...] = (
    ReaderEntry("rows", "your own arrays, one row per presentation of a clip", "trainables.preparation.own_rows"),
    ReaderEntry("series", "your own arrays, BOLD over time with onsets", "trainables.preparation.own_series"),
    ReaderEntry("bids", "BIDS events with bold of fMRIPrep or ciftify", "trainables.preparation.bids"),
    ReaderEntry("cc2017", "the video data of Wen et al. 2018, as published", "trainables.preparation.cc2017"),
    ReaderEntry("bmd", "BOLD Moments (OpenNeuro ds005165), prepared betas of version B", "trainables.preparation.bmd"),
    ReaderEntry("algonauts2021", "the challenge of 2021, mini or full track", "trainables.preparation.algonauts2021"),
    ReaderEntry("hcp", "the movie runs of HCP Young Adult at 7 T", "trainables.preparation.hcp"),
    ReaderEntry("neuroclips", "CC2017 as packed for NeuroClips and NEURONS", "trainables.preparation.neuroclips"),
    ReaderEntry("mosaic", "MOSAIC (HDF5): betas of BMD or HAD on the 32k surface", "trainables.preparation.mosaic"),
    ReaderEntry("algonauts2025", "the challenge of 2025: Friends and movie10", "trainables.preparation.algonauts2025"),
    ReaderEntry("nsd", "the Natural Scenes Dataset: images, without motion", "trainables.preparation.nsd"),
)
READERS = {entry.name: entry for entry in _ENTRIES}


def preparation_reader(name: str) -> PreparationReader:
    """Return the reader called `name`. Raises `ValueError`, which lists the readers there are."""
    return of_kind(READERS, name, field="reader").reader
