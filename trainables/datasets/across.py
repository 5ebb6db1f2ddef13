"""Two data sets as one: the training and validation clips of the first, the test clips of the second.

The brains of two data sets have no voxels in common. What they share is an atlas: the voxels of each main region (`roi`
of the voxel table) are averaged, and the regions of both are joined by name, never by number or order. Each clip has
one row, the mean over its presentations: of a series the volume at the data set's own lag, after drift was removed from
each run. Rows are standardised within each data set by its own training clips: no test clip plays a part in the scale.

Clips that are not used (test clips of the first, training and validation clips of the second) are `excluded`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.config.data import AcrossConfig, PhantomWorld, SingleDataset
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, DataVerdict, some
from trainables.datasets.kinds import reader_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainables.datasets.base import BrainData, ClipSequence, Frames, Stimuli, Subject

KEPT = {"train": ("train", "validation"), "test": ("test",)}
"""Side to the splits of its data set that are used."""
EXCLUDED = "excluded"
_NAMELESS = ("", "no region", "all")
"""Regions of voxels that lie in none, or of which nothing is known."""
_BLOCK = 1 << 26
"""Bytes of fMRI that are read at a time."""


@dataclass(frozen=True)
class _Side:
    """One of the two data sets."""

    name: str
    """`train` or `test`, as the field of the config."""
    dataset: SingleDataset
    subject: int

    @property
    def reader(self) -> Any:
        """The functions that read it (`kinds.Reader`)."""
        return reader_of(self.dataset.kind)


def _sides(config: AcrossConfig) -> tuple[_Side, _Side]:
    return (
        _Side("train", config.train, config.train_subject),
        _Side("test", config.test, config.test_subject),
    )


def clips_fingerprint(config: AcrossConfig) -> dict[str, object]:
    """Return the fingerprint of the clips of both data sets."""
    return {side.name: dict(side.reader.clips_fingerprint(side.dataset)) for side in _sides(config)}


def brains_fingerprint(config: AcrossConfig) -> dict[str, object]:
    """Return the fingerprint of the fMRI of both data sets."""
    return {side.name: dict(side.reader.brains_fingerprint(side.dataset)) for side in _sides(config)}


def clips_files(config: AcrossConfig) -> list[Path]:
    """Return the files of the clips of both data sets."""
    return [path for side in _sides(config) for path in side.reader.clips_files(side.dataset)]


def brains_files(config: AcrossConfig) -> list[Path]:
    """Return the files of the fMRI of both data sets."""
    return [path for side in _sides(config) for path in side.reader.brains_files(side.dataset)]


def card_files(config: AcrossConfig) -> list[Path]:
    """Return the card of the data set whose test clips are judged."""
    return list(reader_of(config.test.kind).card_files(config.test))


def check(config: AcrossConfig) -> DataVerdict:
    """Return what is wrong with either data set, and what keeps them from being joined."""
    problems: list[DataProblem] = []
    for side in _sides(config):
        verdict = side.reader.check(side.dataset)
        problems += [replace(each, where=f"dataset.{side.name}: {each.where}") for each in verdict.report.problems]
        if not verdict.report.errors and side.subject >= verdict.subjects:
            right = f"that data set has {verdict.subjects} subject(s), numbered from 0"
            problems.append(DataProblem(f"dataset.{side.name}_subject", f"is {side.subject}", right))
    if not DataReport(tuple(problems)).errors:
        problems += _misfits(config)
    return DataVerdict(DataReport(tuple(problems)), subjects=1, kind="rows")


def _misfits(config: AcrossConfig) -> Iterator[DataProblem]:
    """Yield what keeps the two data sets from being joined: frames of other shapes, or no region of one name."""
    shapes = {side.name: tuple(side.reader.load_clips(side.dataset).clips.shape[1:]) for side in _sides(config)}
    if shapes["train"] != shapes["test"]:
        of_train, of_test = (f"{shape[0]} frames of {shape[1]} x {shape[2]} pixels" for shape in shapes.values())
        right = "both need clips of one shape: prepare them with the same frames and resolution"
        yield DataProblem("dataset", f"clips have {of_train} in dataset.train, but {of_test} in dataset.test", right)
    names = {side.name: _region_names(side) for side in _sides(config)}
    if not set(names["train"]) & set(names["test"]):
        of_train, of_test = (some(of_side) if of_side else "none" for of_side in names.values())
        right = "prepare both with the same atlas: regions are joined by name (roi of the voxel table)"
        what = f"no region of dataset.train ({of_train}) is one of dataset.test ({of_test})"
        yield DataProblem("dataset", what, right)


def _region_names(side: _Side) -> list[str]:
    """Return the names of the regions of the side's subject."""
    if isinstance(side.dataset, PhantomWorld):  # simulated by `load_brains`, which takes seconds
        from trainables.datasets.phantom.bold import AREAS

        return list(AREAS)
    brains = side.reader.load_brains(side.dataset, side.reader.load_clips(side.dataset))
    return regions_of(brains.subjects[side.subject])


def regions_of(subject: "Subject") -> list[str]:
    """Return the names of a subject's regions, sorted, without voxels that lie in none."""
    return sorted(set(subject.voxels.roi.tolist()) - set(_NAMELESS))


def load_clips(config: AcrossConfig) -> "Stimuli":
    """Open the clips of both data sets, those of `train` first. Raises `DatasetError`."""
    from trainables.datasets.base import Stimuli

    both = {side.name: side.reader.load_clips(side.dataset) for side in _sides(config)}
    return Stimuli(
        clips=JoinedClips(tuple(stimuli.clips for stimuli in both.values())),
        captions=[texts for stimuli in both.values() for texts in stimuli.captions],
        source=[f"{name}: {source}" for name, stimuli in both.items() for source in stimuli.source],
        warnings=[f"dataset.{name}: {text}" for name, stimuli in both.items() for text in stimuli.warnings],
    )


@dataclass(frozen=True)
class JoinedClips:
    """Clips of several sequences, one after the other."""

    parts: tuple["ClipSequence", ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """N, F, H, W, 3."""
        return (len(self), *self.parts[0].shape[1:])

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, rows: slice, /) -> "Frames":
        """Return the clips `rows`. Raises `ValueError` for a step other than 1."""
        import numpy as np

        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"clips are read in order, but the step is {step}")
        read, start = [self.parts[0][0:0]], 0
        for part in self.parts:
            inside = slice(max(0, first - start), max(0, min(last - start, len(part))))
            if inside.start < inside.stop:
                read.append(part[inside])
            start += len(part)
        return np.concatenate(read)


def load_brains(config: AcrossConfig, stimuli: "Stimuli") -> "BrainData":
    """Read the fMRI of one subject of each data set, and join the regions that both name.

    Raises:
        DatasetError: A data set cannot be read, it lacks the subject, or no region has a name in both.
    """
    import numpy as np

    from trainables.datasets.base import BrainData, Subject
    from trainables.datasets.prepared.tables import VoxelTable

    parts = {side.name: _responses(side) for side in _sides(config)}
    names = [name for name in parts["train"].regions if name in parts["test"].regions]
    if not names:
        raise DatasetError.of(*_misfits(config))
    rows = np.concatenate([part.rows_of(names) for part in parts.values()])
    split = [name if name in KEPT[side] else EXCLUDED for side, part in parts.items() for name in part.split]
    shown = np.concatenate([part.shown for part in parts.values()])
    subject = Subject(
        name=" to ".join(part.subject for part in parts.values()),
        bold=np.ascontiguousarray(rows, np.float32),
        onsets=np.where(shown, np.arange(len(rows)), -1)[:, None],
        runs=None,
        voxels=VoxelTable(roi=np.array(names)),
    )
    return BrainData(
        kind="rows",
        subjects=[subject],
        split=split,
        block=[*parts["train"].block, *(max(parts["train"].block) + 1 + number for number in parts["test"].block)],
        cluster=[name for part in parts.values() for name in part.cluster],
        lag_tr=0,
        tr=1.0,
        roi_names=names,
        warnings=[*_left_out(parts, names), *(text for part in parts.values() for text in part.warnings)],
    )


def _left_out(parts: Mapping[str, "_Responses"], names: Sequence[str]) -> Iterator[str]:
    """Yield which regions only one of the data sets has."""
    for side, part in parts.items():
        others = [name for name in part.regions if name not in names]
        if others:
            yield f"{len(names)} regions are joined by name; only dataset.{side} has {some(others)}"


@dataclass(frozen=True)
class _Responses:
    """What one side contributes."""

    subject: str
    regions: Mapping[str, int]
    """Name of each region that varies over training clips to its column."""
    rows: "NDArray[np.float64]"
    """[N, regions], standardised by the training clips of this data set."""
    shown: "NDArray[np.bool_]"
    """[N]: whether a volume answers the clip."""
    split: Sequence[str]
    block: Sequence[int]
    cluster: Sequence[str]
    warnings: Sequence[str]

    def rows_of(self, names: Iterable[str]) -> "NDArray[np.float64]":
        """Return the rows of the regions `names`, in that order."""
        return self.rows[:, [self.regions[name] for name in names]]


def _responses(side: _Side) -> _Responses:
    """Read the fMRI of a side. Raises `DatasetError`."""
    import numpy as np

    from trainables.datasets.clip_rows import detrend, rows_of_clips
    from trainables.datasets.clusters import each_its_own
    from trainables.datasets.presentations import answering, runs_of

    brains = side.reader.load_brains(side.dataset, side.reader.load_clips(side.dataset))
    if side.subject >= len(brains.subjects):
        what, right = f"is {side.subject}", f"that data set has {len(brains.subjects)} subject(s), numbered from 0"
        raise DatasetError.of(DataProblem(f"dataset.{side.name}_subject", what, right))
    subject = brains.subjects[side.subject]
    names, series = regions_of(subject), region_means(subject)
    runs = runs_of(subject.runs, volumes=len(series))
    if brains.kind == "series":
        series = detrend(series, runs, tr=brains.tr)
    volumes = answering(np.asarray(subject.onsets, np.float64), runs, lag=brains.lag_tr)
    rows, shown = rows_of_clips(series, volumes, average=True), np.asarray((volumes >= 0).any(axis=1))
    known = rows[shown & (np.array(brains.split) == "train")]
    if len(known) == 0:
        right = "the scale of its fMRI is that of its training clips, so it needs some"
        raise DatasetError.of(DataProblem(f"dataset.{side.name}", "no training clip has a volume", right))
    mean, spread = known.mean(axis=0), known.std(axis=0)
    varying = np.flatnonzero(spread > 0)
    return _Responses(
        subject=subject.name,
        regions={names[column]: index for index, column in enumerate(varying.tolist())},
        rows=((rows - mean) / np.where(spread > 0, spread, 1.0))[:, varying],
        shown=shown,
        split=brains.split,
        block=brains.block,
        cluster=[*brains.cluster] if brains.cluster else each_its_own(range(len(rows))),
        warnings=[f"dataset.{side.name}: {text}" for text in brains.warnings],
    )


def region_means(subject: "Subject") -> "NDArray[np.float32]":
    """Return the mean over the voxels of each region, [T, regions] in the order of `regions_of`; read in blocks."""
    import numpy as np

    names = regions_of(subject)
    weights = np.zeros((len(subject.voxels), len(names)))
    for column, name in enumerate(names):
        members = subject.voxels.roi == name
        weights[members, column] = 1 / members.sum()
    bold, step = subject.bold, max(1, _BLOCK // (8 * max(1, len(weights))))
    blocks = [np.asarray(bold[at : at + step], np.float64) @ weights for at in range(0, len(bold), step)]
    return np.concatenate(blocks).astype(np.float32)
