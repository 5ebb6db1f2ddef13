"""`python -m platform.prepare hcp FOLDER`: the movie runs of HCP Young Adult at 7 T, as published.

FOLDER holds the folders of subjects, such as 100610/MNINonLinear/Results, and `movies` with the films in
Pre_20140821_version (version 1) or Post_20140821_version (version 2). All numbers of the design, and who saw which
version, are in `hcp_facts`; uncertain facts are read from the files.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainables.config.base import NonNegative
from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import DataSource, RunRecording, ShownClip, SourceClip, SourceSubject
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.atlas import Atlas, in_areas, read_atlas
from trainables.preparation.beta_subject import rows_of
from trainables.preparation.caption_files import Captions
from trainables.preparation.cifti import CiftiSeries, mesh_note, open_cifti
from trainables.preparation.cifti_runs import first_readable, header_warnings, require_columns, surface_voxels
from trainables.preparation.files import InputError
from trainables.preparation.films import Film, FilmPicture, read_from_film
from trainables.preparation.filtering import Run, cleaned_blocks, make_projection
from trainables.preparation.hcp_clips import (
    MONTAGE,
    ClipRule,
    FilmPart,
    film_parts,
    movie_captions,
    parts_of_run,
    place_clips,
)
from trainables.preparation.hcp_facts import DESIGN, MSM_ALL_UNRELIABLE, HcpDesign, MovieRun
from trainables.preparation.hcp_films import choose_version, film_findings, open_films
from trainables.preparation.hcp_release import CORRECTED, release_date
from trainables.preparation.options import FolderOptions, check_options
from trainables.preparation.series import BrainAxis

VERSION = 1
_LICENCE = "WU-Minn HCP Open Access Data Use Terms: no re-identification, passed on under the same terms only"
_CITATION = (
    "Van Essen et al. The WU-Minn Human Connectome Project: an overview. NeuroImage 80:62, 2013",
    "the acknowledgement of the WU-Minn HCP Consortium (1U54MH091657), in the words of the data use terms",
)
_GET_FMRI = "unpack the movie runs there: 100610/MNINonLinear/Results/tfMRI_MOVIE1_7T_AP and so on"
_MESH = 32492
_FINE = "Atlas_1.6mm"
_LAG_S, _RELEASED_LAG_S = 5.0, 4.0
Variant = Literal["Atlas_MSMAll_hp2000_clean", "Atlas_hp2000_clean", "Atlas_MSMAll", "Atlas"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""How runs were processed, the best first."""
_CREDITS = "the first clip of MOVIE1 has end credits, from about 232 s on"
_LEAKS = (
    "profile released_code: clips are drawn at random, so that each test clip has neighbours of the same film in "
    "training: validation and test scores are too high",
    "profile released_code: the four showings of the montage count as different clips, so that test clips have copies "
    "in training",
)


class Settings(FolderOptions):
    """Settings of this reader."""

    captions: tuple[Path, ...] = ()
    """file with captions; may be repeated. .json, .csv or .txt for all clips (movie1_1_1 to montage_41), or the .h5 of
    Mind-Animator with a text for each second: then clips lie only in the seconds that it describes"""
    atlas: Path | None = None
    """parcellation of the 32k surface (.dlabel.nii), whose areas become the ROIs"""
    rois: tuple[str, ...] = ()
    """take vertices of this area only; may be repeated (default: the whole cortex)"""
    stimuli: Path | None = None
    """folder with the films (default: FOLDER/movies)"""
    stimulus_version: Literal["listed", "1", "2"] = "listed"
    """version of the films that the subjects saw; listed: as the HCP lists it for each"""
    processing: Literal["best", "Atlas_MSMAll_hp2000_clean", "Atlas_hp2000_clean", "Atlas_MSMAll", "Atlas"] = "best"
    """take the files with this ending; best: the first of the others that most runs have"""
    clip_seconds: Annotated[int, Field(ge=1, le=20)] = 2
    """length of a clip"""
    lag: NonNegative | None = None
    """seconds from a clip's onset to its response (default: 5; 4 with released_code)"""
    montage: Literal["test", "exclude"] = "test"
    """the montage that ends all four films. test: its clips, with four repeats, are the test; exclude: it is left out,
    and whole clips of films are drawn for the test"""
    profile: Literal["sound", "released_code"] = "sound"
    """released_code: as in the released code of Mind-Animator, films of version 2, files Atlas, clips of 1 s drawn at
    random; the card states the leaks"""

    @property
    def is_released(self) -> bool:
        """Whether the released code is followed."""
        return self.profile == "released_code"

    @property
    def lag_s(self) -> float:
        """Seconds from onset to response."""
        default = _RELEASED_LAG_S if self.is_released else _LAG_S
        return default if self.lag is None else self.lag

    @property
    def rule(self) -> ClipRule:
        """How films are cut and split."""
        return ClipRule(
            seconds=1 if self.is_released else self.clip_seconds,
            described=self.is_released or any(path.suffix == ".h5" for path in self.captions),
            montage="apart" if self.is_released else self.montage,
            validation=self.validation_fraction,
            test=self.test_fraction,
            block_clips=self.block_clips,
            seed=self.seed,
        )


def open_source(options: Settings, *, design: HcpDesign = DESIGN) -> DataSource:
    """Open the folder: films, captions, and the headers of one run per subject. Raises `DatasetError`."""
    check_options(options, name="HCP 7T", terms="the HCP, and of the films' owners,")
    _check_given(options)
    numbers = _subject_numbers(options)
    version, noted = choose_version(numbers, "2" if options.is_released else options.stimulus_version)
    films = open_films(options.stimuli if options.stimuli is not None else options.folder / "movies", version, design)
    captions = movie_captions(options.captions, design, options.rule)
    processing = _processing(options, numbers, design)
    atlas = None if options.atlas is None else read_atlas(options.atlas)
    subjects = [_Subject(number, options, design, processing, atlas) for number in numbers]
    warnings = [*noted, *film_findings(films, design), *(note for subject in subjects for note in subject.warnings())]
    sources = [SourceSubject(subject.name, subject.voxels, subject.recordings) for subject in subjects]
    clips = partial(_clips, films, captions, options, design)
    defects = tuple(f"{problem.what}: {problem.right}" for problem in noted)
    facts = _facts(options, f"films of version {version}, runs {processing}", defects, design)
    return DataSource(facts, clips, sources, tuple(warnings), options.folder, _split_rule(options))


def _check_given(options: Settings) -> None:
    """Refuse areas without an atlas, and splits that could train on the montage. Raises `DatasetError`."""
    if options.rois and options.atlas is None:
        raise DatasetError.of(DataProblem("--roi", "needs an atlas", "give --atlas FILE.dlabel.nii"))
    if options.split_by not in ("auto", "given"):
        right = "leave it out: whole clips of films are in one split, and the montage is never in training"
        raise DatasetError.of(DataProblem("--split-by", "is not possible for HCP 7T", right))


def _subject_numbers(options: Settings) -> list[str]:
    """Return the subjects that are asked for, or all. Raises `DatasetError` if there is none."""
    found = [path.name for path in options.folder.iterdir() if re.fullmatch(r"\d{6}", path.name) and path.is_dir()]
    if not found:
        raise DatasetError.of(DataProblem(str(options.folder), "has no folder of a subject, such as 100610", _GET_FMRI))
    asked = [number for number in found if f"sub-{number}" in options.subjects]
    return sorted(asked if asked else found, key=natural)  # names that are unknown are refused later


def _run_path(folder: Path, number: str, run: MovieRun, processing: str) -> Path:
    results = folder / number / "MNINonLinear" / "Results" / run.task
    return results / f"{run.task}_{processing}.dtseries.nii"


def _processing(options: Settings, numbers: Sequence[str], design: HcpDesign) -> Variant:
    """Return the ending of the files: the one that most runs have, the best of several. Raises `DatasetError`."""
    wanted = "Atlas" if options.is_released else options.processing
    variants = VARIANTS if wanted == "best" else (wanted,)
    counts = {variant: len(_files(options.folder, numbers, design, variant)) for variant in variants}
    chosen = max(variants, key=lambda variant: counts[variant])
    if counts[chosen] == 0:
        fine = _files(options.folder, numbers, design, f"{_FINE}*")
        right = mesh_note(fine[0], 2 * 29646) if fine else _GET_FMRI
        what = f"has no run such as {design.runs[0].task}_{chosen}.dtseries.nii"
        raise DatasetError.of(DataProblem(str(options.folder), what, right))
    return chosen


def _files(folder: Path, numbers: Sequence[str], design: HcpDesign, processing: str) -> list[Path]:
    """Return the runs with this ending, also links whose content is elsewhere; `*` stands for anything."""
    patterns = [_run_path(folder, number, run, processing) for number in numbers for run in design.runs]
    return [path for pattern in patterns for path in sorted(pattern.parent.glob(pattern.name))]


def _facts(options: Settings, what_was_read: str, defects: tuple[str, ...], design: HcpDesign) -> SetFacts:
    described = options.rule.described
    return SetFacts(
        name="HCP 7T movies",
        kind="series",
        licence=_LICENCE,
        citation=_CITATION,
        source=f"HCP Young Adult, 7 T movie runs ({what_was_read})",
        reader=ReaderUsed(name="hcp", version=VERSION, options=options.model_dump(mode="json")),
        space="fsLR-32k",
        units="zscore",
        lag_s=options.lag_s,
        tr=design.tr,
        defects=(*defects, *(_LEAKS if options.is_released else ()), *(() if described else (_CREDITS,))),
        processing=(
            "mean and a polynomial of degree 1 + duration / 150 s are removed from each run in one projection",
            "each vertex is standardised per run (ddof 1), rests included; nothing is scaled to 0..1",
            "slices were not corrected for their times of acquisition",
        ),
        previews=False,
    )


def _split_rule(options: Settings) -> str:
    if options.is_released:
        return "clips drawn one by one, as in the released code"
    if options.montage == "test":
        return "test: the montage, shown four times; validation: whole clips of films"
    return "test and validation: whole clips of films; the montage is left out"


def _clips(films: Mapping[str, Film], captions: Captions, options: Settings, design: HcpDesign) -> Iterator[SourceClip]:
    rule, parts = options.rule, film_parts(design, options.rule)
    picture = FilmPicture(options.frames, options.resolution, options.fit)
    placed = place_clips(parts, rule)
    for part in parts:
        film = films[part.run.name]
        for name, start in zip(part.clips, part.starts, strict=True):
            end = start + rule.seconds
            yield SourceClip(
                clip_id=name,
                read=partial(read_from_film, film, start, end, picture),
                captions=captions[name],
                file=str(film.path),
                source=part.name,
                start_s=float(start),
                end_s=float(end),
                fps=options.frames / rule.seconds,
                split=placed[name].split,
                block=placed[name].block,
                note="shown at the end of every run" if part.name == MONTAGE else "",
            )


@dataclass(frozen=True)
class _Subject:
    number: str
    options: Settings
    design: HcpDesign
    processing: Variant
    atlas: Atlas | None

    @property
    def name(self) -> str:
        return f"sub-{self.number}"

    @property
    def folder(self) -> Path:
        return self.options.folder / self.number

    def path(self, run: MovieRun) -> Path:
        """Return the path of a run, which may not exist."""
        return _run_path(self.options.folder, self.number, run, self.processing)

    def first(self) -> CiftiSeries:
        """Return the first run that can be opened. Raises `InputError` if there is none, or it is not of 32k."""
        series = first_readable(self.path(run) for run in self.design.runs)
        mesh = series.axis.structures[0].mesh
        if mesh != _MESH:
            raise InputError(series.path, f"has {mesh} vertices per hemisphere", mesh_note(series.path, mesh))
        return series

    def warnings(self) -> Iterator[DataProblem]:
        """Yield warnings about the header of the first run, and about known faults of the processing."""
        try:
            yield from header_warnings(self.first(), tr=self.design.tr)
        except InputError:
            return  # reported when the subject is read
        if self.number in MSM_ALL_UNRELIABLE and "MSMAll" in self.processing:
            what = "its registration MSM-All was made from wrongly processed runs"
            right = "use --processing Atlas_hp2000_clean for all subjects, or leave it out"
            yield DataProblem(str(self.folder), what, right, fatal=False)
        runs = ", ".join(run.name for run in self.design.runs if run.direction == "AP" and self.path(run).is_file())
        if runs and release_date(self.folder) is None:
            what = f"AP runs ({runs}) that were processed before {CORRECTED:%B %Y} were unwarped in the wrong direction"
            right = "its release notes give no date: use files downloaded since then (from S3: since November 2021)"
            yield DataProblem(str(self.folder), what, right, fatal=False)

    def voxels(self) -> VoxelTable:
        table, chosen = self._columns(self.first())
        return rows_of(table, chosen)

    def _columns(self, series: CiftiSeries) -> tuple[VoxelTable, NDArray[np.bool_]]:
        """Return the table of all columns, and which of them are used."""
        table = surface_voxels(series, self.atlas)
        return table, in_areas(table.roi, self.options.rois, series.path)

    def recordings(self) -> list[RunRecording]:
        first = self.first()
        _, chosen = self._columns(first)
        return [self._recording(run, first.axis, chosen) for run in self.design.runs]

    def _recording(self, run: MovieRun, axis: BrainAxis, chosen: NDArray[np.bool_]) -> RunRecording:
        path = self.path(run)
        try:
            cleaned: Run | None = self._run(path, run, axis)
            excluded = None
        except InputError as error:
            cleaned, excluded = None, f"{error.problem.what}; {error.problem.right}"
        return RunRecording(
            run_id=f"{run.name}_{run.direction}",
            file=str(path),
            rows=0 if cleaned is None else run.volumes,
            shown=[] if cleaned is None else _shown(parts_of_run(run, self.options.rule)),
            blocks=partial(cleaned_blocks, cleaned, chosen) if cleaned is not None else lambda: iter(()),
            task=run.name.lower(),
            tr=self.design.tr,
            excluded=excluded,
        )

    def _run(self, path: Path, run: MovieRun, axis: BrainAxis) -> Run:
        series = open_cifti(path)
        require_columns(series.axis, axis, path)
        if series.volumes != run.volumes:
            raise InputError(path, f"has {series.volumes} volumes", f"{run.volumes} are expected; download it again")
        released = release_date(self.folder)
        if run.direction == "AP" and released is not None and released < CORRECTED:
            what = (
                f"was processed before {CORRECTED:%B %Y} (release notes of {released}): unwarped in the wrong direction"
            )
            raise InputError(path, what, "download the corrected release")
        return Run(series, slice(None), make_projection(run.volumes, self.design.tr))


def _shown(parts: Sequence[FilmPart]) -> list[ShownClip]:
    return [
        ShownClip(name, float(start), float(part.seconds))
        for part in parts
        for name, start in zip(part.clips, part.starts, strict=True)
    ]
