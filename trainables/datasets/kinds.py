"""The table of data set kinds: the values of `dataset.kind`, and the module that reads or generates each.

A new kind is a config class in `config/data.py`, an entry here, and a module with the functions of `Reader`.
Importing this is light: a reader is imported on first use.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from trainables.datasets.errors import DataVerdict
from trainables.kinds import ReaderEntry, of_kind
from trainables.tables import Table

if TYPE_CHECKING:
    from trainables.datasets.base import BrainData, Stimuli
    from trainables.datasets.presentations import Presentations


class Reader(Protocol):
    """The functions of a module that reads or generates data sets. `config` is of the kind's own class."""

    def clips_fingerprint(self, config: Any) -> Mapping[str, object]:
        """Return what determines clips and captions in addition to the config, as JSON: file digests, a version.

        It does not depend on fMRI, subjects or split.
        """

    def brains_fingerprint(self, config: Any) -> Mapping[str, object]:
        """Return what determines fMRI and split in addition to the config and the clips, as JSON."""

    def clips_files(self, config: Any) -> Iterable[Path]:
        """Return the files that `clips_fingerprint` covers; none for generated clips."""

    def brains_files(self, config: Any) -> Iterable[Path]:
        """Return the files that `brains_fingerprint` covers; none for simulated fMRI."""

    def card_files(self, config: Any) -> Iterable[Path]:
        """Return the files of the data card, which describes the data set to people; none if there is no card."""

    def check(self, config: Any) -> DataVerdict:
        """Return what is wrong with the data set, its number of subjects and its kind. May store it (`verdicts`)."""

    def load_clips(self, config: Any) -> "Stimuli":
        """Return clips and captions. Raises `DatasetError`, which lists all that is wrong with them."""

    def load_brains(self, config: Any, stimuli: "Stimuli") -> "BrainData":
        """Return fMRI and split of the clips `stimuli`. Raises `DatasetError`, which lists all that is wrong."""


@runtime_checkable
class KnowsPresentations(Protocol):
    """What a `Reader` may also have: it is asked instead of `load_brains` where no fMRI is needed."""

    def load_presentations(self, config: Any) -> "Presentations":
        """Return when each clip is shown, and the split, without the fMRI."""


_ENTRIES: tuple[ReaderEntry[Reader], ...] = (
    ReaderEntry("phantom", "the phantom: moving shapes, and brains that are known", "trainables.datasets.phantom"),
    ReaderEntry("appearing", "the phantom whose shapes appear on an empty ground", "trainables.datasets.phantom"),
    ReaderEntry("folder", "clips, captions and fMRI of your own", "trainables.datasets.folder"),
    ReaderEntry("prepared", "a data set made by platform.prepare", "trainables.datasets.prepared.dataset"),
    ReaderEntry("across", "trained on one data set, tested on another, by atlas regions", "trainables.datasets.across"),
)
DATASET_KINDS: Mapping[str, ReaderEntry[Reader]] = Table("dataset_kinds", {entry.name: entry for entry in _ENTRIES})


WITHOUT_ANSWER = ("folder", "prepared", "across")
"""Kinds of data, most of them measured, where nobody knows what a voxel carries or which object a clip shows."""


def reader_of(kind: str) -> Reader:
    """Return the module for data sets of `kind`. Raises `ValueError`, which lists the kinds there are."""
    return of_kind(DATASET_KINDS, kind, field="dataset.kind").reader
