"""One subject whose fMRI is betas: the same for BOLD Moments, Algonauts 2021 and the pack of NeuroClips.

The voxels of a subject lie in one file, or in several groups such as a file per region. Its clips lie in one or more
sets, such as training and test.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.errors import DataProblem, some
from trainables.datasets.prepared.source import DataBlock, RunRecording, ShownClip, SourceSubject
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.betas import BetaFile, Betas, FileColumns, open_betas
from trainables.preparation.files import InputError

_BLOCK_VALUES = 1 << 21
"""Betas that are in memory at a time."""
_REGIONS = 20
"""Regions that a message about voxels without values lists."""


@dataclass(frozen=True)
class BetaSet:
    """The betas of one subject for some clips."""

    name: str
    files: tuple[BetaFile, ...]
    """One per group of voxels."""
    clips: tuple[str, ...]
    """The clips of the set. Files without clip names are responses to all of them, in this order."""
    repeats: int | None
    """As published; None if that is not known."""


@dataclass(frozen=True)
class VoxelChoice:
    """The voxels that are used."""

    columns: tuple[FileColumns, ...]
    """Column indices in the file of each group."""
    table: VoxelTable
    """The rows of these columns, group after group."""
    notes: tuple[DataProblem, ...] = ()
    """Warnings."""


ChooseVoxels = Callable[[Sequence[BetaFile]], VoxelChoice]
"""Chooses from one file per group. Raises `InputError`."""
FindSets = Callable[[], tuple[BetaSet, ...]]
"""Returns at least one set with at least one file. Raises `InputError`."""
FindMore = Callable[[VoxelChoice], Iterator[DataProblem]]


def nothing_more(choice: VoxelChoice) -> Iterator[DataProblem]:
    """Return no warnings."""
    yield from ()


@dataclass(frozen=True)
class BetaSubject:
    """A subject, opened on access."""

    name: str
    folder: Path
    find_sets: FindSets
    choose: ChooseVoxels
    find_more: FindMore = nothing_more

    def source(self) -> SourceSubject:
        """Return the subject for the writer."""
        return SourceSubject(self.name, lambda: self.choice.table, self.recordings, self.findings)

    @cached_property
    def sets(self) -> tuple[BetaSet, ...]:
        """Its betas."""
        return self.find_sets()

    @cached_property
    def choice(self) -> VoxelChoice:
        """The voxels without those that hold NaN or infinite values; reads everything once."""
        choice = self.choose(self.sets[0].files)
        bad = np.zeros(len(choice.table), np.bool_)
        for betas in self.sets:
            for block in _blocks(betas, choice):
                voxels = slice(block.first_voxel, block.first_voxel + block.values.shape[1])
                bad[voxels] |= ~np.isfinite(block.values).all(axis=0)
        return _without(choice, bad, self.folder) if bad.any() else choice

    def recordings(self) -> list[RunRecording]:
        """Return a recording per set, from the headers of its files."""
        shapes = [[open_betas(file).shape for file in betas.files] for betas in self.sets]
        for betas, of_files in zip(self.sets, shapes, strict=True):
            _check_shapes(betas, of_files, expected=[shape[2] for shape in shapes[0]])
        return [self._recording(betas, of_files[0]) for betas, of_files in zip(self.sets, shapes, strict=True)]

    def _recording(self, betas: BetaSet, shape: tuple[int, int, int]) -> RunRecording:
        count, repeats, _ = shape
        return RunRecording(
            run_id=betas.name,
            file=str(betas.files[0].path),
            rows=count * repeats,
            shown=[ShownClip(clip) for clip in shown_clips(betas, count) for _ in range(repeats)],
            blocks=lambda: _blocks(betas, self.choice),
            further_files=tuple(str(file.path) for file in betas.files[1:]),
        )

    def findings(self) -> list[DataProblem]:
        """Return warnings: about voxels, the number of repeats, and those of the reader."""
        notes = [*self.choice.notes]
        for betas in self.sets:
            repeats = open_betas(betas.files[0]).shape[1]
            if betas.repeats is not None and repeats != betas.repeats:
                what = f"has {repeats} repeats of each clip, but {betas.repeats} are published"
                notes.append(DataProblem(str(betas.files[0].path), what, "they are taken as they are", fatal=False))
        return [*notes, *self.find_more(self.choice)]


def _blocks(betas: BetaSet, choice: VoxelChoice) -> Iterator[DataBlock]:
    first_voxel = 0
    for file, columns in zip(betas.files, choice.columns, strict=True):
        if len(columns):
            yield from _blocks_of(open_betas(file), columns, first_voxel)
        first_voxel += len(columns)


def _blocks_of(betas: Betas, columns: FileColumns, first_voxel: int) -> Iterator[DataBlock]:
    clips, repeats, _ = betas.shape
    step = max(1, _BLOCK_VALUES // (repeats * len(columns)))
    for first in range(0, clips, step):
        values = betas.read(slice(first, min(first + step, clips)), columns)
        yield DataBlock(values, first_row=first * repeats, first_voxel=first_voxel)


def _without(choice: VoxelChoice, bad: NDArray[np.bool_], folder: Path) -> VoxelChoice:
    counts = Counter(str(name) if name else "no region" for name in choice.table.roi[bad])
    listed = some((f"{count} in {name}" for name, count in counts.most_common()), most=_REGIONS)
    what = f"{int(bad.sum())} of {len(bad)} voxel(s) hold NaN or infinite values: {listed}"
    if bad.all():
        raise InputError(folder, what, "nothing is left; download the files again")
    ends = np.cumsum([len(columns) for columns in choice.columns])
    kept = [columns[~part] for columns, part in zip(choice.columns, np.split(bad, ends[:-1]), strict=True)]
    note = DataProblem(str(folder), what, "they are left out", fatal=False)
    return VoxelChoice(tuple(kept), rows_of(choice.table, ~bad), (*choice.notes, note))


def rows_of(table: VoxelTable, chosen: NDArray[np.bool_]) -> VoxelTable:
    """Return some rows of a voxel table without measures."""
    return replace(
        table,
        roi=table.roi[chosen],
        structure=None if table.structure is None else table.structure[chosen],
        vertex=None if table.vertex is None else table.vertex[chosen],
        ijk=None if table.ijk is None else table.ijk[chosen],
        regions={name: member[chosen] for name, member in table.regions.items()},
    )


def _check_shapes(betas: BetaSet, shapes: Sequence[tuple[int, int, int]], expected: Sequence[int]) -> None:
    """Compare the files of a set with its first one, and their voxels with those of the first set."""
    for file, shape, voxels in zip(betas.files, shapes, expected, strict=True):
        if shape[:2] != shapes[0][:2]:
            what = f"holds {shape[0]} clips x {shape[1]} repeats, but {betas.files[0].path.name} "
            what += f"{shapes[0][0]} x {shapes[0][1]}"
            raise InputError(file.path, what, "all files of a subject must be of one version; download it again")
        if shape[2] != voxels:
            what = f"holds {shape[2]} voxels for the {betas.name} clips, but {voxels} for the others"
            raise InputError(file.path, what, "all sets of clips must have the same voxels; download it again")


def shown_clips(betas: BetaSet, count: int) -> tuple[str, ...]:
    """Return the clips of a set, in the order of its responses. Raises `InputError` if there are no videos for them."""
    path, names = betas.files[0].path, open_betas(betas.files[0]).names
    if names is None:
        if count != len(betas.clips):
            what = f"has responses to {count} {betas.name} clips, but there are {len(betas.clips)} videos for them"
            raise InputError(path, what, "it does not name its clips, so all videos are needed")
        return betas.clips
    strange = [name for name in names if name not in set(betas.clips)]
    if strange:
        what = f"has responses to {len(strange)} {betas.name} clip(s) without a video: {some(strange)}"
        raise InputError(path, what, "put these videos into the folder of the stimuli")
    return names
