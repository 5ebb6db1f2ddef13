"""`python -m platform.prepare cc2017 FOLDER`: the video data of Wen et al. 2018 (doi 10.4231/R7SF2TCW), as published.

FOLDER holds the unpacked archives, side by side or merged: every `video_fmri_dataset` in it is read. All numbers of the
design are in `Cc2017Design`; uncertain facts are read from the files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DataReport, DatasetError
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import (
    DataSource,
    RunRecording,
    ShownClip,
    SourceClip,
    SourceSubject,
)
from trainables.datasets.prepared.tables import Split, VoxelTable
from trainables.preparation.atlas import Atlas, read_atlas
from trainables.preparation.caption_files import Captions, all_captions, h5_texts, merge_captions
from trainables.preparation.cifti import CiftiSeries, open_cifti
from trainables.preparation.cifti_runs import first_readable, header_warnings, require_columns, surface_voxels
from trainables.preparation.files import InputError
from trainables.preparation.films import Film, FilmPicture, open_film, read_from_film
from trainables.preparation.filtering import Run, cleaned_blocks, make_projection
from trainables.preparation.options import FolderOptions
from trainables.preparation.series import BrainAxis

VERSION = 1
_FOLDER = "video_fmri_dataset"
_DEEPEST = 3
CITATION = "Wen, Shi, Zhang, Lu, Cao, Liu. Cerebral Cortex 28(12):4136, 2018. doi 10.1093/cercor/bhx268"
_LEAKS = (
    "profile released_code: frames are squeezed to a square, as in the released code of Mind-Animator",
    "profile released_code: validation clips are drawn at random from the training segments, so that each has "
    "neighbours of the same film in training: validation scores are too high",
)


@dataclass(frozen=True)
class Cc2017Design:
    """The numbers of the experiment."""

    train: tuple[str, ...] = tuple(f"seg{number}" for number in range(1, 19))
    test: tuple[str, ...] = tuple(f"test{number}" for number in range(1, 6))
    validation: tuple[str, ...] = ("seg17", "seg18")
    """Segments of `train` that are for validation."""
    repeats: Mapping[str, int] = field(default_factory=lambda: {"seg": 2, "test": 10})
    """Runs of each segment, by the name's beginning."""
    clips: int = 240
    """Per segment."""
    tr: float = 2.0
    """Seconds per volume and per clip."""
    leading: Mapping[int, int] = field(default_factory=lambda: {245: 1, 246: 2})
    """Volumes at the beginning that are left out, by the length of a run."""

    @property
    def segments(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (*self.train, *self.test)

    def runs_of(self, segment: str) -> int:
        """Return how often a segment was shown to each subject."""
        return next(count for start, count in self.repeats.items() if segment.startswith(start))

    def split_of(self, segment: str) -> Split:
        """Return the split of a segment."""
        return "test" if segment in self.test else "validation" if segment in self.validation else "train"


DESIGN = Cc2017Design()


class Settings(FolderOptions):
    """Settings of this reader."""

    captions: tuple[Path, ...] = ()
    """file with captions; may be repeated. .json, .csv or .txt for all clips (seg1_1 to test5_240), or the .h5 files of
    Mind-Animator, one for training and one for test clips"""
    atlas: Path | None = None
    """parcellation of the 32k surface (.dlabel.nii), whose areas become the ROIs"""
    profile: Literal["sound", "released_code"] = "sound"
    """released_code: frames are squeezed and validation clips drawn at random, as the authors do; the card states the
    leak"""


def open_source(options: Settings, *, design: Cc2017Design = DESIGN) -> DataSource:
    """Open the folder: films, captions, and the headers of one run per subject. Raises `DatasetError`."""
    roots = find_roots(options.folder)
    films = _films(roots, design)
    captions = published_captions(options.captions, design)
    atlas = None if options.atlas is None else read_atlas(options.atlas)
    numbers = sorted({number for root in roots for number in _subject_numbers(root)})
    if not numbers:
        right = f"the archives Subject01 to Subject03 must be unpacked there: {_FOLDER}/subject1/fmri/..."
        raise DatasetError.of(DataProblem(str(options.folder), "has no subject", right))
    subjects = [_Subject(number, tuple(roots), design, atlas) for number in numbers]
    sources = [SourceSubject(subject.name, subject.voxels, subject.recordings) for subject in subjects]
    warnings = [note for subject in subjects for note in subject.warnings()]
    clips = partial(_clips, films, captions, options, design)
    return DataSource(_facts(options, design), clips, sources, tuple(warnings), root=options.folder)


def find_roots(folder: Path) -> list[Path]:
    """Return every folder called `video_fmri_dataset` in `folder`, at most three levels down, in natural order.

    Raises:
        DatasetError: There is none.
    """
    if not folder.is_dir():
        raise DatasetError.of(DataProblem(str(folder), "there is no such folder", "name the folder of the data set"))
    patterns = ["/".join(["*"] * depth + [_FOLDER]) for depth in range(_DEEPEST + 1)]
    roots = [folder] if folder.name == _FOLDER else []
    roots += [path for pattern in patterns for path in folder.glob(pattern) if path.is_dir()]
    if not roots:
        right = "unpack Stimuli and Subject01 to Subject03 of doi 10.4231/R7SF2TCW there"
        raise DatasetError.of(DataProblem(str(folder), f"has no folder {_FOLDER} in it", right))
    return sorted(set(roots), key=lambda path: natural(str(path)))


def _facts(options: Settings, design: Cc2017Design) -> SetFacts:
    released = options.profile == "released_code"
    return SetFacts(
        name="CC2017",
        kind="series",
        licence="CC0-1.0",
        citation=(CITATION,),
        source="doi 10.4231/R7SF2TCW",
        reader=ReaderUsed(name="cc2017", version=VERSION, options=options.model_dump(mode="json")),
        space="fsLR-32k",
        units="zscore",
        lag_s=0.0,
        tr=design.tr,
        defects=_LEAKS if released else (),
        processing=(
            f"of each run {design.clips} volumes are kept: those before the film and after it are cut off, so that "
            "volume i is the response to clip i (lag 0)",
            "mean and a polynomial of degree 1 + duration / 150 s are removed from each run in one projection",
            "each vertex is standardised per run (ddof 1)",
        ),
        previews=True,
    )


def _films(roots: Sequence[Path], design: Cc2017Design) -> dict[str, Film]:
    """Return the film of each segment."""
    films, problems = {}, []
    for segment in design.segments:
        paths = [root / "stimuli" / f"{segment}.mp4" for root in roots]
        path = next((path for path in paths if path.exists() or path.is_symlink()), paths[0])
        try:
            films[segment] = open_film(path)
        except InputError as error:
            problems.append(error.problem)
            continue
        needed = design.clips * design.tr
        if films[segment].seconds < needed - design.tr:
            what = f"lasts {films[segment].seconds:.1f} s"
            problems.append(DataProblem(str(path), what, f"{needed:g} s are needed; download it again"))
    DataReport(tuple(problems)).raise_for_errors()
    return films


def clip_names(segments: Sequence[str], clips: int) -> list[str]:
    """Return the names of clips: `seg1_1` to `seg1_240`, and so on."""
    return [f"{segment}_{number}" for segment in segments for number in range(1, clips + 1)]


def published_captions(paths: Sequence[Path], design: Cc2017Design) -> Captions:
    """Return a caption for each clip, from files of the option --caption. Raises `DatasetError` if one has none."""
    names = clip_names(design.segments, design.clips)
    captions = merge_captions(
        paths,
        lambda path: _h5_captions(path, design) if path.suffix == ".h5" else all_captions(path, names),
    )
    missing = [name for name in names if name not in captions]
    if missing:
        what = f"there is none for {len(missing)} clips, the first {missing[0]}"
        raise DatasetError.of(DataProblem("captions", what, "give --caption FILE for training and test clips"))
    return captions


def _h5_captions(path: Path, design: Cc2017Design) -> Captions:
    arrays = h5_texts(path, right="Train_captions or Test_captions is needed")
    captions: Captions = {}
    for key, texts in arrays.items():
        segments = design.test if "test" in key.lower() else design.train
        names = clip_names(segments, design.clips)
        if len(texts) != len(names):
            raise InputError(path, f"{key} has {len(texts)} captions", f"{len(names)} clips need one each")
        captions |= {name: (text,) for name, text in zip(names, texts, strict=True)}
    return captions


def _clips(
    films: Mapping[str, Film], captions: Mapping[str, tuple[str, ...]], options: Settings, design: Cc2017Design
) -> Iterator[SourceClip]:
    released = options.profile == "released_code"
    picture = FilmPicture(options.frames, options.resolution, "squeeze" if released else options.fit)
    drawn = _drawn(options, design) if released else None
    for block, segment in enumerate(design.segments):
        for index, name in enumerate(clip_names([segment], design.clips)):
            start = index * design.tr
            split = design.split_of(segment)
            if drawn is not None and split != "test":
                split = "validation" if name in drawn else "train"
            yield SourceClip(
                clip_id=name,
                read=partial(read_from_film, films[segment], start, start + design.tr, picture),
                captions=captions[name],
                file=str(films[segment].path),
                source=segment,
                start_s=start,
                end_s=start + design.tr,
                fps=options.frames / design.tr,
                split=split,
                block=block
                if drawn is None or split == "test"
                else block * design.clips + index + len(design.segments),
            )


def _drawn(options: Settings, design: Cc2017Design) -> frozenset[str]:
    """Return the validation clips of the profile released_code."""
    names = clip_names(design.train, design.clips)
    order = np.random.default_rng([options.seed, 3]).permutation(len(names))
    return frozenset(names[index] for index in order[: round(options.validation_fraction * len(names))])


def _subject_numbers(root: Path) -> list[int]:
    return [int(path.name.removeprefix("subject")) for path in root.glob("subject[0-9]*") if path.is_dir()]


@dataclass(frozen=True)
class _Subject:
    number: int
    roots: tuple[Path, ...]
    design: Cc2017Design
    atlas: Atlas | None

    @property
    def name(self) -> str:
        return f"sub-{self.number:02d}"

    def path(self, segment: str, repeat: int) -> Path:
        """Return the path of a run, which may not exist."""
        inside = Path(f"subject{self.number}", "fmri", segment, "cifti", f"{segment}_{repeat}_Atlas.dtseries.nii")
        paths = [root / inside for root in self.roots]
        return next((path for path in paths if path.exists() or path.is_symlink()), paths[0])

    def first(self) -> CiftiSeries:
        """Return the first run that can be opened. Raises `InputError` for the first that cannot, if none can."""
        segments = self.design.segments
        return first_readable(
            self.path(segment, repeat) for segment in segments for repeat in range(1, self.design.runs_of(segment) + 1)
        )

    def warnings(self) -> list[DataProblem]:
        """Return warnings about unexpected values in the header of the first run."""
        try:
            return [*header_warnings(self.first(), tr=self.design.tr)]
        except InputError:
            return []  # reported when the subject is read

    def voxels(self) -> VoxelTable:
        return surface_voxels(self.first(), self.atlas)

    def recordings(self) -> list[RunRecording]:
        axis = self.first().axis
        return [
            self._recording(segment, repeat, axis)
            for segment in self.design.segments
            for repeat in range(1, self.design.runs_of(segment) + 1)
        ]

    def _recording(self, segment: str, repeat: int, axis: BrainAxis) -> RunRecording:
        path = self.path(segment, repeat)
        try:
            run: Run | None = self._run(path, axis)
            excluded = None
        except InputError as error:
            run, excluded = None, f"{error.problem.what}; {error.problem.right}"
        shown = [
            ShownClip(name, index * self.design.tr, self.design.tr)
            for index, name in enumerate(clip_names([segment], self.design.clips))
        ]
        return RunRecording(
            run_id=f"{segment}_{repeat}",
            file=str(path),
            rows=0 if run is None else self.design.clips,
            shown=[] if run is None else shown,
            blocks=partial(cleaned_blocks, run) if run is not None else lambda: iter(()),
            task=segment,
            tr=self.design.tr,
            excluded=excluded,
        )

    def _run(self, path: Path, axis: BrainAxis) -> Run:
        series = open_cifti(path)
        require_columns(series.axis, axis, path)
        leading = self.design.leading.get(series.volumes)
        if leading is None:
            lengths = " or ".join(map(str, self.design.leading))
            raise InputError(path, f"has {series.volumes} volumes", f"{lengths} are expected; download it again")
        kept = slice(leading, leading + self.design.clips)
        return Run(series, kept, make_projection(self.design.clips, self.design.tr))
