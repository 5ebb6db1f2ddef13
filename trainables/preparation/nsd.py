"""`python -m platform.prepare nsd FOLDER`: the Natural Scenes Dataset, images whose clips stand still.

FOLDER is the root of NSD, with `nsddata`, `nsddata_betas` and `nsddata_stimuli`. A clip is one image, repeated:
semantic and structure decoders can be trained on it, motion cannot, and studies that judge motion are refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.datasets.clip_names import natural
from trainables.datasets.clips import Frames
from trainables.datasets.errors import DataProblem, DatasetError, some
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import (
    DataBlock,
    DataSource,
    RunRecording,
    ShownClip,
    SourceClip,
    SourceSubject,
)
from trainables.datasets.prepared.tables import Split, VoxelTable
from trainables.preparation.clip_files import square_picture
from trainables.preparation.files import InputError, require_content
from trainables.preparation.nsd_betas import SessionBetas, open_session, refuse_copies
from trainables.preparation.nsd_design import NsdDesign, clip_name, nsd_captions, read_design
from trainables.preparation.numbered_videos import drawn_by_hash
from trainables.preparation.options import FolderOptions, check_options

VERSION = 1
_CITATION = "Allen et al. Nature Neuroscience 25:116, 2022"
_LICENCE = "NSD terms and conditions (agreement; not to be passed on); images: COCO's terms"
_SPACE = "func1pt8mm"
_SESSIONS = (40, 40, 32, 30, 40, 32, 40, 30)
"""Published sessions of each subject."""
_SUBJECT = re.compile(r"subj(\d\d)")
_SESSION = re.compile(r"betas_session(\d\d)\.(?:hdf5|nii\.gz)")
_BRICK = "imgBrick"
_GET = "the root of NSD is needed, with nsddata, nsddata_betas and nsddata_stimuli"


class Settings(FolderOptions):
    """Settings of this reader."""

    betas: Literal["betas_fithrf_GLMdenoise_RR", "betas_fithrf", "betas_assumehrf"] = "betas_fithrf_GLMdenoise_RR"
    """which estimates are taken"""
    roi: str = "nsdgeneral"
    """volume of the folder roi whose voxels above 0 are taken"""
    captions: tuple[Path, ...] = ()
    """file with captions; may be repeated. COCO's captions_train2017.json and captions_val2017.json, or .json by clip
    (nsd00001 is the first image)"""


def open_source(options: Settings) -> DataSource:
    """Open the folder: design, captions, headers of all sessions. Raises `DatasetError`."""
    check_options(options, name="NSD", terms="NSD")
    design = read_design(options.folder / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat")
    subjects = [_Subject(number, options, design) for number in _subject_numbers(options.folder)]
    asked = [each for each in subjects if not options.subjects or each.name in options.subjects]
    numbers = sorted({image for each in asked for image in each.images()})
    if not numbers:
        for each in asked:
            each.sessions()  # raises what keeps it from being read
    brick = _open_brick(options.folder, max(numbers, default=0))
    table = options.folder / "nsddata" / "experiments" / "nsd" / "nsd_stim_info_merged.csv"
    captions = nsd_captions(options.captions, numbers, table)
    missing = [clip_name(number) for number in numbers if clip_name(number) not in captions]
    if missing:
        what = f"there is none for {len(missing)} of {len(numbers)} images: {some(missing, most=5)}"
        right = "give --caption captions_train2017.json and --caption captions_val2017.json of COCO"
        raise DatasetError.of(DataProblem("captions", what, right))
    split = _split(numbers, design, options)
    clips = partial(_clips, brick, numbers, captions, split, options)
    sources = [SourceSubject(each.name, each.voxels, each.recordings) for each in subjects]
    warnings = tuple(note for each in asked for note in each.warnings())
    rule = "test: the images that all subjects were to see; validation: drawn from the others by a hash of the name"
    return DataSource(_facts(options), clips, sources, warnings, options.folder, rule)


def _facts(options: Settings) -> SetFacts:
    return SetFacts(
        name="NSD",
        kind="rows",
        licence=_LICENCE,
        citation=(_CITATION,),
        source="Natural Scenes Dataset",
        reader=ReaderUsed(name="nsd", version=VERSION, options=options.model_dump(mode="json")),
        space=_SPACE,
        units="zscore",
        processing=(
            f"{options.betas}: whole numbers in the files, divided by 300, are percent of signal change",
            "each voxel is standardised per session by mean and standard deviation of its trials with training images",
        ),
        still=True,
    )


def _subject_numbers(folder: Path) -> list[int]:
    root = folder / "nsddata_betas" / "ppdata"
    names = [_SUBJECT.fullmatch(path.name) for path in root.glob("subj*")] if root.is_dir() else []
    numbers = sorted(int(match[1]) for match in names if match is not None)
    if not numbers:
        raise DatasetError.of(DataProblem(str(root), "has no folder of a subject, such as subj01", _GET))
    return numbers


@dataclass(frozen=True)
class _ImageBrick:
    path: Path

    def read(self, number: int, *, frames: int, side: int, fit: Literal["crop", "squeeze"]) -> Frames:
        """Return image `number`, from 1, as a clip that stands still, uint8 [frames, side, side, 3]."""
        import h5py

        with h5py.File(self.path) as file:
            picture = Image.fromarray(file[_BRICK][number - 1])
        square = square_picture(picture, side=side, fit=fit)
        return np.repeat(square[None], frames, axis=0)


def _open_brick(folder: Path, highest: int) -> _ImageBrick:
    path = folder / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"
    require_content(path)
    import h5py

    try:
        with h5py.File(path) as file:
            shape, kind = file[_BRICK].shape, file[_BRICK].dtype
    except Exception as error:  # h5py may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {str(error).splitlines()[0]}", f"it must hold {_BRICK}") from error
    if len(shape) != 4 or shape[3] != 3 or kind != np.uint8:
        raise InputError(path, f"{_BRICK} is {kind} {list(shape)}", "uint8 [images, height, width, 3] is needed")
    if shape[0] < highest:
        raise InputError(path, f"has {shape[0]} images, but image {highest} was shown", "download it again")
    return _ImageBrick(path)


def _split(numbers: Sequence[int], design: NsdDesign, options: Settings) -> dict[int, Split]:
    training = [clip_name(number) for number in numbers if number not in design.shared]
    validation = drawn_by_hash(training, options.validation_fraction)
    return {
        number: "test" if number in design.shared else "validation" if clip_name(number) in validation else "train"
        for number in numbers
    }


def _clips(
    brick: _ImageBrick,
    numbers: Sequence[int],
    captions: Mapping[str, Any],
    split: Mapping[int, Split],
    options: Settings,
) -> Iterator[SourceClip]:
    read = partial(brick.read, frames=options.frames, side=options.resolution, fit=options.fit)
    for block, number in enumerate(numbers):
        name = clip_name(number)
        yield SourceClip(name, partial(read, number), captions[name], str(brick.path), split=split[number], block=block)


@dataclass(frozen=True)
class _Subject:
    number: int
    options: Settings
    design: NsdDesign

    @property
    def name(self) -> str:
        return f"sub-{self.number:02d}"

    def folder(self, part: str) -> Path:
        return self.options.folder / part / "ppdata" / f"subj{self.number:02d}" / _SPACE

    @cached_property
    def files(self) -> dict[int, Path]:
        """Session to its file; HDF5 before NIfTI."""
        found: dict[int, Path] = {}
        folder = self.folder("nsddata_betas") / self.options.betas
        for path in sorted(folder.glob("betas_session*"), key=lambda path: natural(path.name)):
            match = _SESSION.fullmatch(path.name)
            if match is not None and (int(match[1]) not in found or path.suffix == ".hdf5"):
                found[int(match[1])] = path
        if not found:
            raise InputError(
                folder, "has no file such as betas_session01.hdf5", "choose what was downloaded with --betas"
            )
        return dict(sorted(found.items()))

    @cached_property
    def region(self) -> tuple[NDArray[np.int32], tuple[int, int, int]]:
        """Indices of the voxels that are taken [V, 3], and the grid."""
        path = self.folder("nsddata") / "roi" / f"{self.options.roi}.nii.gz"
        require_content(path)
        import nibabel as nib

        try:
            volume: Any = np.asarray(nib.load(path).dataobj)
        except Exception as error:  # nibabel may raise any exception on damaged input
            raise InputError(path, f"cannot be read: {error}", "download it again") from error
        ijk = np.argwhere(volume > 0).astype(np.int32)
        if volume.ndim != 3 or not len(ijk):
            raise InputError(path, f"has no voxel above 0 (shape {list(volume.shape)})", "choose another with --roi")
        return ijk, volume.shape

    def sessions(self) -> dict[int, SessionBetas]:
        return {number: open_session(path, self.region[1]) for number, path in self.files.items()}

    def images(self) -> set[int]:
        """Return the images that were shown in the sessions that are there; empty if they cannot be read."""
        try:
            opened = self.sessions()
        except DatasetError:
            return set()  # reported when the subject is read
        return {
            image
            for number, each in opened.items()
            for image in self.design.of_session(self.number, number, each.trials)
        }

    def warnings(self) -> list[DataProblem]:
        published = _SESSIONS[self.number - 1] if self.number <= len(_SESSIONS) else None
        try:
            files = self.files
        except InputError:
            return []
        if published is None or len(files) == published:
            return []
        what = f"has {len(files)} sessions, but {published} are published"
        return [DataProblem(self.name, what, "images of the others are left out", fatal=False)]

    def voxels(self) -> VoxelTable:
        ijk, _ = self.region
        return VoxelTable(roi=np.full(len(ijk), self.options.roi), ijk=ijk)

    def recordings(self) -> list[RunRecording]:
        opened = self.sessions()
        refuse_copies(opened.values())
        return [self._recording(number, each) for number, each in opened.items()]

    def _recording(self, session: int, betas: SessionBetas) -> RunRecording:
        images = self.design.of_session(self.number, session, betas.trials)
        if len(images) < betas.trials:
            what = f"has {betas.trials} trials, but the design knows {len(images)} of session {session}"
            raise InputError(betas.path, what, "betas and nsd_expdesign.mat must be of one release")
        name = f"session{session:02d}"
        training = np.array([image not in self.design.shared for image in images])
        return RunRecording(
            run_id=name,
            file=str(betas.path),
            rows=betas.trials,
            shown=[ShownClip(clip_name(image), session=name) for image in images],
            blocks=partial(_standardised, betas, self.region[0], training),
            session=name,
        )


def _standardised(betas: SessionBetas, ijk: NDArray[np.int32], training: NDArray[np.bool_]) -> Iterator[DataBlock]:
    """Yield a session by mean and standard deviation (ddof 1) of its training trials."""
    values = betas.read(ijk)
    mean, spread = values[training].mean(axis=0), values[training].std(axis=0, ddof=1)
    yield DataBlock((values - mean) / np.where(spread > 0, spread, 1))
