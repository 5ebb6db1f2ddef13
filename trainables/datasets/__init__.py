"""Data sets of any kind: fingerprints of their content, checks, and loading.

Importing this is light; `kinds` is the table of what there is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.config.data import AnyDataset, PhantomWorld, VoxelsConfig
from trainables.config.trial import TrialConfig
from trainables.datasets.clusters import each_its_own
from trainables.datasets.errors import (
    ROWS_HAVE_NO_LAG,
    ROWS_HAVE_NO_WINDOW,
    DataProblem,
    DataReport,
    DataVerdict,
)
from trainables.datasets.kinds import KnowsPresentations, reader_of

if TYPE_CHECKING:
    from trainables.datasets.base import BrainData, Dataset, Stimuli
    from trainables.datasets.presentations import Presentations


def clips_fingerprint(config: TrialConfig) -> dict[str, Any]:
    """Return what determines clips and captions in addition to the config, as JSON: file digests, a version."""
    return dict(reader_of(config.dataset.kind).clips_fingerprint(config.dataset))


def brains_fingerprint(config: TrialConfig) -> dict[str, Any]:
    """Return what determines fMRI and split in addition to the config and the clips, as JSON."""
    return dict(reader_of(config.dataset.kind).brains_fingerprint(config.dataset))


def clips_files(config: TrialConfig) -> list[Path]:
    """Return the files that `clips_fingerprint` covers."""
    return list(reader_of(config.dataset.kind).clips_files(config.dataset))


def brains_files(config: TrialConfig) -> list[Path]:
    """Return the files that `brains_fingerprint` covers."""
    return list(reader_of(config.dataset.kind).brains_files(config.dataset))


def card_files(config: TrialConfig) -> list[Path]:
    """Return the files of the data set's card (card.md, card.html); none if it has no card."""
    return list(reader_of(config.dataset.kind).card_files(config.dataset))


def check(config: TrialConfig) -> DataReport:
    """Check the data set that `config` names, and return all errors and warnings.

    Files that have not changed since they were checked are not read again.
    """
    verdict = reader_of(config.dataset.kind).check(config.dataset)
    if verdict.report.errors:
        return verdict.report
    return DataReport((*verdict.report.problems, *_misfits(config.voxels, verdict), *_missing_clips(config)))


def _missing_clips(config: TrialConfig) -> Iterator[DataProblem]:
    """Yield that a phantom has fewer training clips than are to be used; of others the stage `voxels` says it."""
    dataset, wanted = config.dataset, config.voxels.own_clips
    if isinstance(dataset, PhantomWorld) and wanted is not None and wanted > dataset.train_clips:
        right = f"the data set has {dataset.train_clips} training clips (dataset.train_clips)"
        yield DataProblem("voxels.own_clips", f"is {wanted}", right)


def _misfits(voxels: VoxelsConfig, verdict: DataVerdict) -> Iterator[DataProblem]:
    """Yield what in the section `voxels` does not fit the data set."""
    if voxels.subject >= verdict.subjects:
        right = f"the data set has {verdict.subjects} subject(s), numbered from 0"
        yield DataProblem("voxels.subject", f"is {voxels.subject}", right)
    missing = [number for number in voxels.others if number >= verdict.subjects]
    if missing:
        right = f"the data set has {verdict.subjects} subject(s), numbered from 0"
        yield DataProblem("voxels.subjects", f"has {missing}", right)
    if verdict.kind == "rows" and voxels.lag_tr not in (None, 0):
        yield DataProblem("voxels.lag_tr", f"is {voxels.lag_tr}", ROWS_HAVE_NO_LAG)
    if verdict.kind == "rows" and voxels.window > 1:
        yield DataProblem("voxels.window", f"is {voxels.window}", ROWS_HAVE_NO_WINDOW)


def load_clips(dataset: AnyDataset) -> "Stimuli":
    """Generate or open clips and captions. Raises `DatasetError`, which lists all that is wrong."""
    return reader_of(dataset.kind).load_clips(dataset)


def load_brains(dataset: AnyDataset, stimuli: "Stimuli") -> "BrainData":
    """Simulate or open the fMRI responses to `stimuli`. Raises `DatasetError`, which lists all that is wrong."""
    return reader_of(dataset.kind).load_brains(dataset, stimuli)


def load_presentations(dataset: AnyDataset, stimuli: "Stimuli") -> "Presentations":
    """Return when each clip of `stimuli` was shown. Raises `DatasetError`, which lists all that is wrong."""
    from trainables.datasets.presentations import presentations_of

    reader = reader_of(dataset.kind)
    if isinstance(reader, KnowsPresentations):
        return reader.load_presentations(dataset)
    return presentations_of(reader.load_brains(dataset, stimuli))


def judged_clusters(config: TrialConfig) -> tuple[str, ...]:
    """Return the cluster of each test clip that `config` judges: the first `generator.test_clips` with fMRI.

    Of a phantom with independent clips nothing is generated. Raises `DatasetError` as `load_brains`.
    """
    dataset, most = config.dataset, config.generator.test_clips
    if isinstance(dataset, PhantomWorld) and dataset.scene_clips == 1:
        return each_its_own(range(min(most, dataset.test_clips)))
    shown = load_presentations(dataset, load_clips(dataset))
    split = shown.split_of(config.voxels.subject, lag_tr=config.voxels.lag_tr)
    clips = [clip for clip, name in enumerate(split) if name == "test"][:most]
    return tuple(shown.cluster[clip] for clip in clips) if shown.cluster else each_its_own(clips)


def load(dataset: AnyDataset) -> "Dataset":
    """Generate or open the whole data set. Raises `DatasetError`, which lists all that is wrong."""
    from trainables.datasets.base import Dataset

    stimuli = load_clips(dataset)
    return Dataset(stimuli, load_brains(dataset, stimuli))
