"""Data sets of any kind: what decides their content, what is wrong with them, and how they are read or made.

Importing this is light; `kinds` is the table of what there is.
"""

from typing import TYPE_CHECKING, Any

from trainables.config.data import AnyDataset
from trainables.config.trial import TrialConfig
from trainables.datasets.errors import DataProblem, DataReport
from trainables.datasets.kinds import reader_of

if TYPE_CHECKING:
    from trainables.datasets.base import Dataset


def fingerprint(config: TrialConfig) -> dict[str, Any]:
    """Return what decides the data beside the config, as JSON: digests of files, the generator's version."""
    reader = reader_of(config.dataset.kind)
    return {**reader.clips_fingerprint(config.dataset), **reader.brains_fingerprint(config.dataset)}


def check(config: TrialConfig) -> DataReport:
    """Tell what is wrong with the data set that `config` names; reads all of it and writes nothing."""
    report, subjects = reader_of(config.dataset.kind).check(config.dataset)
    subject = config.voxels.subject
    if not report.errors and subject >= subjects:
        right = f"the data set has {subjects} subject(s), numbered from 0"
        report = DataReport((*report.problems, DataProblem("voxels.subject", f"is {subject}", right)))
    return report


def load(dataset: AnyDataset) -> "Dataset":
    """Make or read the data set. Raises `DatasetError`, which lists all that is wrong."""
    from trainables.datasets.base import Dataset

    reader = reader_of(dataset.kind)
    stimuli = reader.load_clips(dataset)
    return Dataset(stimuli, reader.load_brains(dataset, stimuli))
