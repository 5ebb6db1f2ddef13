"""Data sets by `dataset.kind`: what decides their content, what is wrong with them, and how they are read or made.

Importing this is light: what reads or makes a data set is imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from trainables.config.data import FolderConfig, PhantomWorld
from trainables.config.trial import TrialConfig
from trainables.datasets.errors import Problem, Report

if TYPE_CHECKING:
    from trainables.datasets.base import Dataset

GENERATOR = 1
"""Raised when the phantom's stimuli or brains change: everything that was simulated before is then made anew."""


def fingerprint(config: TrialConfig) -> dict[str, Any]:
    """Return what decides the data beside the config, as JSON: digests of files, the generator's version."""
    dataset = config.dataset
    if isinstance(dataset, PhantomWorld):
        return {"generator": GENERATOR}
    from trainables.datasets.folder import fingerprint as of_folder

    return of_folder(dataset) | ({"generator": GENERATOR} if dataset.simulate else {})


def check(config: TrialConfig) -> Report:
    """Tell what is wrong with the data set that `config` names; reads all of it and writes nothing."""
    dataset, subject = config.dataset, config.voxels.subject
    if isinstance(dataset, PhantomWorld):
        report, subjects = Report(), dataset.subjects
    else:
        from trainables.datasets.folder import check as check_folder

        report, subjects = check_folder(dataset)
    if not report.errors and subject >= subjects:
        right = f"the data set has {subjects} subject(s), numbered from 0"
        report = Report((*report.problems, Problem("voxels.subject", f"is {subject}", right)))
    return report


def load(dataset: PhantomWorld | FolderConfig) -> "Dataset":
    """Make or read the data set. Raises `DatasetError`, which lists all that is wrong."""
    if isinstance(dataset, PhantomWorld):
        from trainables.datasets.phantom.world import build

        return build(dataset)
    from trainables.datasets.folder import load as load_folder

    return load_folder(dataset)
