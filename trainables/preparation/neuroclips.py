"""`python -m platform.prepare neuroclips FOLDER`: CC2017 as packed for NeuroClips, which NEURONS and others train on.

FOLDER holds the files of the data set gongzx/cc2017_dataset on Hugging Face: fMRI per subject, frames at 3 per second
and captions. The pack has no place of its voxels in the brain, and no scanner runs. What it does not document, such as
the type and the range of its values, is read from the files.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from trainables.datasets.clip_names import natural
from trainables.datasets.clips import Frames, choose_frames
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import DataSource, SourceClip
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.beta_regions import KnownCounts
from trainables.preparation.beta_subject import BetaSet, BetaSubject, VoxelChoice
from trainables.preparation.betas import BetaFile, open_betas
from trainables.preparation.caption_files import Captions
from trainables.preparation.cc2017 import CITATION, DESIGN, Cc2017Design, clip_names, published_captions
from trainables.preparation.clip_files import Fit, square_picture
from trainables.preparation.files import InputError
from trainables.preparation.options import FolderOptions
from trainables.preparation.torch_files import open_tensor, read_texts

VERSION = 1
_SETS = ("train", "test")
_SUBJECT = re.compile(r"subj(\d+)_train_fmri\.pt")
_GET = "download gongzx/cc2017_dataset from Hugging Face: subj01_train_fmri.pt, GT_train_3fps.pt and so on"
_PER_CLIP = 6
_TRAIN_REPEATS = 2
_KNOWN = KnownCounts({"sub-01": (13447, 13447), "sub-02": (14828, 14828), "sub-03": (9114, 9114)})
_STANDARD = 0.05
"""Means and standard deviations of standardised voxels differ from 0 and 1 by less, in the median."""
_SAMPLE = 240
_MOST_VOXELS = 2000
_DEFECTS = (
    "the pack does not say where its voxels lie: brain maps and regions are not available",
    "the authors chose its voxels by the repeats of all training segments, those of validation clips among them: "
    "validation scores are a little too high",
)


class Settings(FolderOptions):
    """Settings of this reader."""

    frames: Annotated[int, Field(ge=2, le=256)] = 8
    """frames per clip; the pack has 6 in 2 s, of more the nearest in time are repeated"""
    resolution: Annotated[int, Field(ge=32, le=2048)] = 224
    """side of the stored clips, in pixels (default: 224, as in the pack)"""
    captions: tuple[Path, ...] = ()
    """file with captions instead of those of the pack; may be repeated, as for cc2017"""


@dataclass(frozen=True)
class FrameFile:
    """The clips of a set, a tensor [clips, frames, 3, height, width]."""

    path: Path
    scale: float
    """What turns its values into 0 to 255."""

    def read(self, index: int, frames: int, side: int, fit: Fit) -> Frames:
        """Return a clip, uint8 [frames, side, side, 3]. Raises `ClipError` if it has a single frame."""
        values = np.asarray(open_tensor(self.path)[index], np.float32) * self.scale
        pictures = np.nan_to_num(values).round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        squares = [square_picture(Image.fromarray(each), side=side, fit=fit) for each in pictures]
        return choose_frames(squares, frames)


def open_source(options: Settings, *, design: Cc2017Design = DESIGN) -> DataSource:
    """Open the folder: headers of the tensors, captions, and a few frames. Raises `DatasetError`."""
    subjects = [*_subjects(options.folder, design)]
    files, warnings = {}, []
    for name in _SETS:
        files[name], notes = _open_frames(options.folder / f"GT_{name}_3fps.pt", len(_clips_of(name, design)))
        warnings += notes
    captions = published_captions(options.captions, design) if options.captions else _packed(options.folder, design)
    sources = [subject.source() for subject in subjects]
    warnings += _repeated_frames(options)
    facts = _facts(options)
    return DataSource(
        facts, partial(_clips, files, captions, options, design), sources, tuple(warnings), options.folder
    )


def _clips_of(name: str, design: Cc2017Design) -> list[str]:
    return clip_names(design.train if name == "train" else design.test, design.clips)


def _facts(options: Settings) -> SetFacts:
    return SetFacts(
        name="CC2017 (NeuroClips pack)",
        kind="rows",
        licence="CC0-1.0 (CC2017, doi 10.4231/R7SF2TCW); the pack states no other",
        citation=(
            CITATION,
            "Gong et al. NeuroClips: towards high-fidelity and smooth fMRI-to-video reconstruction. 2024",
        ),
        source="Hugging Face, gongzx/cc2017_dataset",
        reader=ReaderUsed(name="neuroclips", version=VERSION, options=options.model_dump(mode="json")),
        defects=_DEFECTS,
        processing=(
            "the pack does not document its processing; its authors use the script of Wen et al., which removes a "
            "polynomial of degree 4 and standardises each run; nothing is done again here",
            "rows are ordered by clip and repeat: the files do not contain session or run",
        ),
        previews=True,
    )


def _open_frames(path: Path, clips: int) -> tuple[FrameFile, list[DataProblem]]:
    """Return the clips of a set, and what is unusual about them. Raises `InputError`."""
    array = open_tensor(path)
    if array.ndim != 5 or array.shape[2] != 3 or array.shape[1] < 2 or array.dtype.kind not in "fiu":
        what = f"holds {array.dtype} {list(array.shape)}"
        raise InputError(path, what, "a tensor [clips, frames, 3, height, width] is needed; download it again")
    if len(array) != clips:
        raise InputError(path, f"holds {len(array)} clips", f"{clips} are needed; download it again")
    looked_at = np.asarray(array[np.linspace(0, clips - 1, min(clips, 8)).astype(int), 0], np.float32)
    low, high = float(looked_at.min()), float(looked_at.max())
    if not np.isfinite([low, high]).all() or low < -1e-3 or high > 255.5:
        raise InputError(path, f"holds values from {low:g} to {high:g}", "0 to 1 or 0 to 255 is needed")
    scale = 1.0 if high > 1.5 or array.dtype.kind in "iu" else 255.0
    notes = [] if array.shape[1] == _PER_CLIP else [_other_frames(path, array.shape[1])]
    if scale == 1.0:
        notes.append(DataProblem(str(path), f"holds {array.dtype} to {high:g}", "0 to 255 is assumed", fatal=False))
    return FrameFile(path, scale), notes


def _other_frames(path: Path, frames: int) -> DataProblem:
    what = f"has {frames} frames per clip, but {_PER_CLIP} are published"
    return DataProblem(str(path), what, "they are taken as evenly spaced over 2 s", fatal=False)


def _repeated_frames(options: Settings) -> Iterator[DataProblem]:
    if options.frames > _PER_CLIP:
        what = f"is {options.frames}, but the pack has {_PER_CLIP} frames per clip"
        right = "some are repeated, and motion stands still there: --frames 6 takes them as they are"
        yield DataProblem("--frames", what, right, fatal=False)


def _packed(folder: Path, design: Cc2017Design) -> Captions:
    """Return the captions of the pack. Raises `InputError`."""
    captions: Captions = {}
    for name in _SETS:
        path, clips = folder / f"GT_{name}_caption.pt", _clips_of(name, design)
        texts = read_texts(path)
        if len(texts) != len(clips):
            raise InputError(path, f"has {len(texts)} captions", f"{len(clips)} clips need one each")
        captions |= {clip: (text,) for clip, text in zip(clips, texts, strict=True)}
    return captions


def _clips(
    files: dict[str, FrameFile], captions: Captions, options: Settings, design: Cc2017Design
) -> Iterator[SourceClip]:
    for name in _SETS:
        for index, clip in enumerate(_clips_of(name, design)):
            segment, start = clip.partition("_")[0], index % design.clips * design.tr
            yield SourceClip(
                clip_id=clip,
                read=partial(files[name].read, index, options.frames, options.resolution, options.fit),
                captions=captions[clip],
                file=str(files[name].path),
                source=segment,
                start_s=start,
                end_s=start + design.tr,
                fps=options.frames / design.tr,
                split=design.split_of(segment),
                block=design.segments.index(segment),
            )


def _subjects(folder: Path, design: Cc2017Design) -> Iterator[BetaSubject]:
    """Yield the subjects. Raises `DatasetError` if there is none."""
    if not folder.is_dir():
        raise DatasetError.of(DataProblem(str(folder), "there is no such folder", "name the folder of the data set"))
    names = sorted((path.name for path in folder.glob("subj*_train_fmri.pt")), key=natural)
    numbers = [match[1] for match in map(_SUBJECT.fullmatch, names) if match is not None]
    if not numbers:
        raise DatasetError.of(DataProblem(str(folder), "has no subject", _GET))
    for number in numbers:
        name = f"sub-{int(number):02d}"
        find_sets = partial(_sets, folder, number, design)
        yield BetaSubject(name, folder, find_sets, partial(_choose, name), partial(_not_standardised, folder, number))


def _sets(folder: Path, number: str, design: Cc2017Design) -> tuple[BetaSet, ...]:
    repeats = {"train": _TRAIN_REPEATS, "test": None}
    return tuple(
        BetaSet(name, (BetaFile(_fmri(folder, number, name)),), tuple(_clips_of(name, design)), repeats[name])
        for name in _SETS
    )


def _fmri(folder: Path, number: str, name: str) -> Path:
    return folder / f"subj{number}_{name}_fmri.pt"


def _choose(subject: str, files: Sequence[BetaFile]) -> VoxelChoice:
    (file,) = files
    count = open_betas(file).shape[2]
    table = VoxelTable(np.full(count, "", "U1"))
    return VoxelChoice((np.arange(count),), table, _KNOWN.differences({subject: count}, file.path))


def _not_standardised(folder: Path, number: str, choice: VoxelChoice) -> Iterator[DataProblem]:
    """Check by the first training segment that voxels have a mean of 0 and a standard deviation of 1."""
    file = BetaFile(_fmri(folder, number, "train"))
    values = open_betas(file).read(slice(0, _SAMPLE), choice.columns[0][:_MOST_VOXELS])
    mean, spread = float(np.median(values.mean(axis=0))), float(np.median(values.std(axis=0)))
    if abs(mean) > _STANDARD or abs(spread - 1) > _STANDARD:
        what = f"its voxels have a mean of {mean:.2f} and a standard deviation of {spread:.2f} (medians)"
        right = "they are not standardised as the authors' script does it; a study standardises them anew"
        yield DataProblem(str(file.path), what, right, fatal=False)
