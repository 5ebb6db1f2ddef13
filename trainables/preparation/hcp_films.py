"""The films of the HCP movie runs: which version the subjects saw, and whether a film fits the published times."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from trainables.datasets.clips import Frames
from trainables.datasets.errors import ClipError, DataProblem, DataReport, DatasetError, some
from trainables.preparation.files import InputError
from trainables.preparation.films import Film, FilmPicture, open_film, read_from_film
from trainables.preparation.hcp_facts import VERSION_FOLDERS, HcpDesign, MovieRun, Version, listed_version
from trainables.preparation.lag import motion_energy

Films = Mapping[str, Film]
"""By the name of the run."""
_LOOK = FilmPicture(frames=2, side=32, fit="squeeze")
_STILL = 4.0
"""Motion energy, in squared grey levels, below which a second of a film stands still."""
_SAME = 10.0
"""Mean difference in grey levels below which two pictures are the same but for coding."""
_FPS_TOLERANCE = 0.1
_SEEN = {"1": "before 22 August 2014", "2": "from 22 August 2014 on"}


def choose_version(subjects: Sequence[str], asked: Literal["listed", "1", "2"]) -> tuple[Version, list[DataProblem]]:
    """Return the version of the films that the subjects saw, and warnings if another one is asked for.

    Args:
        subjects: their numbers, such as 100610.
        asked: `listed` takes it from the published lists.

    Raises:
        DatasetError: The lists lack a subject, or the subjects saw different versions.
    """
    listed = {subject: listed_version(subject) for subject in subjects}
    if asked != "listed":
        others = [
            f"{subject} (version {version})" for subject, version in listed.items() if version not in (asked, None)
        ]
        if not others:
            return asked, []
        what = f"version {asked} of the films is used, but {len(others)} subject(s) saw another: {some(others, most=5)}"
        right = "where the versions differ, clips are not what was seen"
        return asked, [DataProblem("--stimulus-version", what, right, fatal=False)]
    unknown = [subject for subject, version in listed.items() if version is None]
    if unknown:
        what = f"{some(unknown, most=5)}: in neither list of who saw which version of the films"
        raise DatasetError.of(DataProblem("subjects", what, "give --stimulus-version 1 or 2, or choose with --subject"))
    of_version = {version: [s for s in subjects if listed[s] == version] for version in VERSION_FOLDERS}
    versions = [version for version, members in of_version.items() if members]
    if len(versions) > 1:
        what = " and ".join(f"{some(of_version[v], most=5)} saw version {v} of the films" for v in versions)
        raise DatasetError.of(DataProblem("subjects", what, "prepare them apart, with --subject"))
    return versions[0], []


def open_films(folder: Path, version: Version, design: HcpDesign) -> dict[str, Film]:
    """Read the header of each film. Raises `DatasetError`, which lists all films that cannot be used."""
    films, problems = {}, []
    for run in design.runs:
        path = _find(folder, run, version)
        try:
            films[run.name] = open_film(path)
        except InputError as error:
            problems.append(_with_advice(error, folder, run, version))
            continue
        needed = run.clips[-1][1]
        if films[run.name].seconds < needed - 1 / design.fps:
            what = f"lasts {films[run.name].seconds:.1f} s"
            problems.append(DataProblem(str(path), what, f"{needed:g} s are needed; download it again"))
    DataReport(tuple(problems)).raise_for_errors()
    return films


def _find(folder: Path, run: MovieRun, version: Version) -> Path:
    """Return the path of a film, which may not exist: in the folder of its version, or directly in `folder`."""
    paths = [parent / run.film_file(version) for parent in (folder / VERSION_FOLDERS[version], folder)]
    return next((path for path in paths if path.exists() or path.is_symlink()), paths[0])


def _with_advice(error: InputError, folder: Path, run: MovieRun, version: Version) -> DataProblem:
    """Return the problem of a film; if only the other version is there, it says so."""
    other: Version = "2" if version == "1" else "1"
    if error.problem.where != str(_find(folder, run, version)) or not _find(folder, run, other).is_file():
        return error.problem
    what = f"{error.problem.what}, only version {other} is"
    right = f"the subjects saw version {version} ({_SEEN[version]}): unpack {VERSION_FOLDERS[version]}"
    return DataProblem(error.problem.where, what, right)


def film_findings(films: Films, design: HcpDesign) -> list[DataProblem]:
    """Return warnings about films that do not fit the published times; a few seconds of each are decoded.

    Raises:
        DatasetError: A film cannot be decoded.
    """
    try:
        return [
            *(problem for run in design.runs for problem in _header_warnings(films[run.name], run, design)),
            *(problem for run in design.runs for problem in _rest_warnings(films[run.name], run)),
            *_montage_warnings(films, design),
        ]
    except ClipError as error:
        raise DatasetError.of(DataProblem("films", str(error), "download the film again")) from error


def _header_warnings(film: Film, run: MovieRun, design: HcpDesign) -> Iterator[DataProblem]:
    if abs(film.fps - design.fps) > _FPS_TOLERANCE:
        what = f"has {film.fps:g} frames per second, but {design.fps:g} are published"
        yield DataProblem(str(film.path), what, "check that it is the original file", fatal=False)
    if abs(film.seconds - run.volumes * design.tr) > design.tr:
        what = f"lasts {film.seconds:.1f} s, but its run {run.volumes * design.tr:g} s"
        yield DataProblem(str(film.path), what, "check that it is the film of this run", fatal=False)


def _rest_warnings(film: Film, run: MovieRun) -> Iterator[DataProblem]:
    """Check that the screen stands still in the second that begins one second after each clip."""
    rests = [math.ceil(end) + 1 for _, end in run.clips if math.ceil(end) + 2 <= film.seconds]
    moving = [second for second in rests if motion_energy(_second(film, second)) > _STILL]
    if moving:
        what = f"moves at {', '.join(f'{second} s' for second in moving)}, where there should be a rest"
        right = "the published times, which are those of version 2, do not fit it: look at it before you use the clips"
        yield DataProblem(str(film.path), what, right, fatal=False)


def _montage_warnings(films: Films, design: HcpDesign) -> Iterator[DataProblem]:
    """Check that the last clip of each film shows the same in its middle."""
    first, *others = [(films[run.name], *run.clips[-1]) for run in design.runs]
    offset = math.floor((first[2] - first[1]) / 2)
    expected = _second(first[0], math.ceil(first[1]) + offset).astype(np.float32)
    for film, start, _ in others:
        difference = float(np.abs(_second(film, math.ceil(start) + offset) - expected).mean())
        if difference > _SAME:
            what = (
                f"shows another montage at its end than {first[0].path.name} (difference {difference:.0f} grey levels)"
            )
            right = "its showings are no repeats: use --montage exclude, or get the films of one version"
            yield DataProblem(str(film.path), what, right, fatal=False)


def _second(film: Film, start: int) -> Frames:
    try:
        return read_from_film(film, start, start + 1, _LOOK)
    except ClipError as error:
        raise ClipError(f"{film.path}: {error}") from error
