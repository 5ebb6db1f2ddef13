"""`python -m platform.prepare algonauts2025 FOLDER`: the Algonauts 2025 challenge (CNeuroMod): Friends and movie10.

FOLDER is the data set algonauts_2025.competitors, with `fmri` and `stimuli`. Its fMRI is the mean of 1000 parcels, not
voxels. Films are cut into windows of whole samples, and split by whole seasons and films.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from trainables.config.base import Natural
from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DatasetError, some
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import (
    DataSource,
    RunRecording,
    ShownClip,
    SourceClip,
    SourceSubject,
)
from trainables.datasets.prepared.tables import Split, VoxelTable
from trainables.datasets.video_frames import VIDEO_FORMATS
from trainables.preparation.caption_files import Captions, captions_in, merge_captions
from trainables.preparation.files import InputError, require_content
from trainables.preparation.films import Film, FilmPicture, open_film, read_from_film
from trainables.preparation.options import FolderOptions, check_options
from trainables.preparation.parcel_runs import TR_S, Recorded, network_names, open_runs

VERSION = 1
PARCELS = 1000
_EDGE = 5
"""Samples at both ends of a run that are left out, as in the challenge's baseline."""
_TOLERANCE = 3
"""Samples by which a run may be longer or shorter than its film."""
_LICENCE = "CC0-1.0 (fMRI); the films are copyrighted: for research alone, not to be passed on"
_CITATION = (
    "Gifford et al. The Algonauts Project 2025 challenge. arXiv 2501.00504, 2025",
    "Boyle et al. The Courtois NeuroMod project, 2023",
)
_GET = "clone algonauts_2025.competitors and run `datalad get fmri stimuli` in it"
_PREFIXES = re.compile(r"^(friends|movie10)_")
_TEXTS = "text_per_tr"
_SPOKEN = "captions are the words that are spoken, not descriptions of what is seen; windows without words are left out"


class Settings(FolderOptions):
    """Settings of this reader."""

    captions: tuple[Path, ...] = ()
    """file with captions of what is seen, by the clip's name (s01e01a_1, bourne01_12); may be repeated (default: words
    of the transcripts)"""
    parcels: Path | None = None
    """table of the parcels (Schaefer 2018, 1000 parcels, 7 networks: number and name), whose networks become the
    ROIs"""
    samples: Annotated[int, Field(ge=1, le=10)] = 2
    """length of a clip, in samples of 1.49 s"""
    lag_samples: Natural = 3
    """samples from the beginning of a clip to its response"""
    validation_groups: tuple[str, ...] = ("s5",)
    """season (s5) or film (wolf) for validation; may be repeated (default: s5)"""
    test_groups: tuple[str, ...] = ("s6",)
    """season or film for the test; may be repeated (default: s6)"""


def group_of(part: str) -> str:
    """Return the season or film of a part.

    Examples:
        >>> group_of("s01e02a"), group_of("bourne01")
        ('s1', 'bourne')
    """
    season = re.match(r"s(\d+)e\d", part)
    return f"s{int(season[1])}" if season is not None else part.rstrip("0123456789")


def open_source(options: Settings) -> DataSource:
    """Open the folder: keys and shapes of runs, films' headers, captions. Raises `DatasetError`."""
    check_options(options, name="Algonauts 2025", terms="the films' owners")
    subjects = [_Subject(path, options) for path in _folders(options.folder)]
    lengths = _lengths(subjects)
    films, warnings = _films(options.folder, lengths)
    windows = {part: _windows(lengths[part], films[part], options) for part in films}
    captions = _captions(options, windows)
    used = {part: [clip for clip in clips if clip.name in captions] for part, clips in windows.items()}
    split = _split([part for part, clips in used.items() if clips], options)
    sources = [SourceSubject(s.name, s.voxels, partial(s.recordings, used)) for s in subjects]
    silent = sum(map(len, windows.values())) - sum(map(len, used.values()))
    if silent:
        what = f"{silent} of {sum(map(len, windows.values()))} windows have no words"
        warnings.append(DataProblem("transcripts", what, "they are left out; give --caption FILE", fatal=False))
    clips = partial(_clips, films, used, captions, split, options)
    notes = (*warnings, *(note for subject in subjects for note in subject.warnings()))
    return DataSource(_facts(options), clips, sources, notes, options.folder, "whole seasons and films")


def _facts(options: Settings) -> SetFacts:
    return SetFacts(
        name="Algonauts 2025",
        kind="series",
        licence=_LICENCE,
        citation=_CITATION,
        source="algonauts_2025.competitors",
        reader=ReaderUsed(name="algonauts2025", version=VERSION, options=options.model_dump(mode="json")),
        space="Schaefer 2018 parcels of MNI152NLin2009cAsym",
        units="zscore",
        lag_s=options.lag_samples * TR_S,
        tr=TR_S,
        defects=() if options.captions else (_SPOKEN,),
        processing=(
            "by the organisers: fMRIPrep 20.2.6, confounds (nilearn's strategy simple), smoothing of 5 mm, mean of "
            "each parcel",
            "mean and a polynomial of degree 1 + duration / 150 s are removed from each run in one projection",
            "each parcel is standardised per run (ddof 1)",
            f"the first and last {_EDGE} samples of each run answer to no clip",
        ),
        previews=False,
    )


def _folders(folder: Path) -> list[Path]:
    """Return the folder of each subject's fMRI. Raises `DatasetError`."""
    found = sorted((path for path in folder.glob("fmri/sub-*/func") if path.is_dir()), key=lambda p: natural(str(p)))
    if not found:
        raise DatasetError.of(DataProblem(str(folder), "has no fmri/sub-01/func", _GET))
    return found


def _lengths(subjects: Sequence["_Subject"]) -> dict[str, int]:
    """Return the samples of the longest run of each part. Raises `DatasetError` if no subject can be opened."""
    lengths: dict[str, int] = {}
    problem: DatasetError | None = None
    for subject in subjects:
        try:
            for run in subject.runs:
                lengths[run.part] = max(lengths.get(run.part, 0), run.samples)
        except DatasetError as error:  # reported again when the subject is read
            problem = error
    if not lengths and problem is not None:
        raise problem
    return dict(sorted(lengths.items(), key=lambda item: natural(item[0])))


def _films(folder: Path, lengths: Mapping[str, int]) -> tuple[dict[str, Film], list[DataProblem]]:
    """Return the film of each part, and warnings about missing and strange ones. Raises `DatasetError` if all are."""
    paths = {
        _PREFIXES.sub("", path.stem): path
        for path in sorted((folder / "stimuli" / "movies").rglob("*"))
        if path.suffix.lower() in VIDEO_FORMATS
    }
    films, problems, missing = {}, [], []
    for part, samples in lengths.items():
        if part not in paths:
            missing.append(part)
            continue
        try:
            films[part] = open_film(paths[part])
        except InputError as error:
            problems.append(
                DataProblem(
                    error.problem.where, f"{error.problem.what}: the part is left out", error.problem.right, False
                )
            )
            continue
        if abs(films[part].seconds / TR_S - samples) > _TOLERANCE:
            what = f"lasts {films[part].seconds / TR_S:.0f} samples, but its run {samples}"
            problems.append(DataProblem(str(paths[part]), what, "clips end where the shorter one ends", False))
    if missing:
        what = f"has no film of {len(missing)} part(s): {some(missing, most=5)}"
        problems.append(DataProblem(str(folder / "stimuli" / "movies"), what, f"they are left out; {_GET}", False))
    if not films:
        raise DatasetError.of(*problems)
    return films, problems


@dataclass(frozen=True)
class Window:
    """A clip: some samples of a part."""

    name: str
    first: int
    last: int
    """The first sample after it."""


def _windows(samples: int, film: Film, options: Settings) -> list[Window]:
    """Return the clips of a part, such as s01e01a_1."""
    end = min(samples - _EDGE, int(film.seconds / TR_S + 1e-3))
    starts = range(_EDGE, end - options.samples + 1, options.samples)
    part = _PREFIXES.sub("", film.path.stem)
    return [Window(f"{part}_{number}", start, start + options.samples) for number, start in enumerate(starts, 1)]


def _captions(options: Settings, windows: Mapping[str, Sequence[Window]]) -> Captions:
    names = [window.name for of_part in windows.values() for window in of_part]
    if not options.captions:
        return _spoken(options.folder, windows)
    captions = merge_captions(options.captions, lambda path: captions_in(path, names))
    missing = [name for name in names if name not in captions]
    if missing:
        what = f"there is none for {len(missing)} clip(s): {some(missing, most=5)}"
        raise DatasetError.of(DataProblem("captions", what, "every clip needs one"))
    return captions


def _spoken(folder: Path, windows: Mapping[str, Sequence[Window]]) -> Captions:
    """Return the words that are spoken during each clip, where there are any."""
    paths = {_PREFIXES.sub("", path.stem): path for path in (folder / "stimuli" / "transcripts").rglob("*.tsv")}
    captions: Captions = {}
    for part, of_part in windows.items():
        if part not in paths:
            continue
        texts = _texts(paths[part])
        for window in of_part:
            words = " ".join(filter(None, texts[window.first : window.last]))
            if words:
                captions[window.name] = (words,)
    if not captions:
        raise DatasetError.of(DataProblem("captions", "are missing: no transcript has words", "give --caption FILE"))
    return captions


def _texts(path: Path) -> list[str]:
    """Return the words of each sample. Raises `InputError`."""
    require_content(path)
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t")
        if _TEXTS not in (table.fieldnames or ()):
            raise InputError(path, f"has no column {_TEXTS}", "a transcript with a row for each sample is needed")
        return [" ".join((row[_TEXTS] or "").split()) for row in table]


def _split(parts: Sequence[str], options: Settings) -> dict[str, Split]:
    """Return the split of each part. Raises `DatasetError` if a season or film that is asked for is not there."""
    groups = sorted({group_of(part) for part in parts}, key=natural)
    asked: dict[str, Split] = dict.fromkeys(options.validation_groups, "validation")
    asked |= dict.fromkeys(options.test_groups, "test")
    missing = [group for group in asked if group not in groups]
    if missing or len(asked) >= len(groups):
        what = f"there is no {', '.join(missing)}" if missing else "none is left for training"
        right = f"there are {', '.join(groups)}: choose with --validation-group and --test-group"
        raise DatasetError.of(DataProblem("seasons and films", what, right))
    return {part: asked.get(group_of(part), "train") for part in parts}


def _clips(
    films: Mapping[str, Film],
    windows: Mapping[str, Sequence[Window]],
    captions: Captions,
    split: Mapping[str, Split],
    options: Settings,
) -> Iterator[SourceClip]:
    picture = FilmPicture(options.frames, options.resolution, options.fit)
    for block, (part, of_part) in enumerate(windows.items()):
        for window in of_part:
            start, end = window.first * TR_S, window.last * TR_S
            yield SourceClip(
                clip_id=window.name,
                read=partial(read_from_film, films[part], start, end, picture),
                captions=captions[window.name],
                file=str(films[part].path),
                source=part,
                start_s=start,
                end_s=end,
                fps=options.frames / (end - start),
                split=split[part],
                block=block,
            )


@dataclass(frozen=True)
class _Subject:
    folder: Path
    options: Settings

    @property
    def name(self) -> str:
        return self.folder.parent.name

    @cached_property
    def runs(self) -> list[Recorded]:
        """All runs of all its files, in natural order. Raises `InputError`."""
        runs = [run for path in sorted(self.folder.glob("*.h5")) for run in open_runs(path)]
        if not runs:
            raise InputError(self.folder, "has no HDF5 file with runs", _GET)
        parcels = {run.parcels for run in runs}
        if len(parcels) > 1:
            what = f"has runs of {' and '.join(map(str, sorted(parcels)))} parcels"
            raise InputError(self.folder, what, "all must be of one atlas; download it again")
        return sorted(runs, key=lambda run: natural(run.key))

    def warnings(self) -> Iterator[DataProblem]:
        """Yield a warning about the number of parcels."""
        try:
            parcels = self.runs[0].parcels
        except DatasetError:
            return  # reported when the subject is read
        if parcels != PARCELS:
            what = f"has {parcels} parcels, but {PARCELS} are published"
            yield DataProblem(str(self.folder), what, "they are taken as they are", fatal=False)

    def voxels(self) -> VoxelTable:
        return VoxelTable(network_names(self.options.parcels, self.runs[0].parcels))

    def recordings(self, windows: Mapping[str, Sequence[Window]]) -> list[RunRecording]:
        return [self._recording(run, windows.get(run.part, ())) for run in self.runs]

    def _recording(self, run: Recorded, windows: Sequence[Window]) -> RunRecording:
        shown = [
            ShownClip(window.name, window.first * TR_S, self.options.samples * TR_S)
            for window in windows
            if window.last <= run.samples - _EDGE and window.first + self.options.lag_samples < run.samples
        ]
        excluded = None if shown else "no clip of it has a film and a caption"
        entities = run.name.entities
        return RunRecording(
            run_id=run.key,
            file=str(run.path),
            rows=run.samples if shown else 0,
            shown=shown,
            blocks=run.blocks,
            session=entities.get("ses", ""),
            task=run.part,
            tr=TR_S,
            excluded=excluded,
        )
