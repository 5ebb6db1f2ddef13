"""`python -m platform.prepare bids FOLDER`: events of a BIDS tree, and bold of its fMRIPrep or ciftify derivatives."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainables.config.base import NonNegative, Positive
from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import (
    DataBlock,
    DataSource,
    RunRecording,
    ShownClip,
    SourceClip,
    SourceSubject,
)
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.atlas import Atlas, areas_in, read_atlas
from trainables.preparation.bids_events import ShownStimulus, read_events, run_timing
from trainables.preparation.bids_files import SURFACE, BidsName, BidsTree, RunKey, require_one_space, right_of, scan
from trainables.preparation.caption_files import Captions, captions_in, merge_captions
from trainables.preparation.cifti import open_cifti
from trainables.preparation.cifti_runs import require_columns
from trainables.preparation.clip_files import read_square_clip
from trainables.preparation.confounds import Confounds, read_confounds, require_rows, strategy_parts
from trainables.preparation.files import InputError
from trainables.preparation.films import Film, FilmPicture, open_film, read_from_film
from trainables.preparation.filtering import Projection, Run, cleaned_blocks, make_projection
from trainables.preparation.lag import align_at_lag, volume_times
from trainables.preparation.options import FolderOptions
from trainables.preparation.series import BrainAxis, Series
from trainables.preparation.stimulus_lengths import shown_for_other_times
from trainables.preparation.volumes import open_gifti, open_nifti, read_gifti_axis, read_mask, read_nifti_shape

VERSION = 1


class Settings(FolderOptions):
    """Settings of this reader."""

    captions: tuple[Path, ...] = ()
    """file with captions; may be repeated: .json, .csv or .txt, by the stimulus as events name it, without suffix"""
    atlas: Path | None = None
    """parcellation of the 32k surface (.dlabel.nii), whose areas become the ROIs"""
    space: str = ""
    """take bold in this space, such as MNI152NLin2009cAsym, or fsaverage5 from GIFTI of both hemispheres (default:
    fsLR, if there is CIFTI)"""
    tasks: tuple[str, ...] = ()
    """prepare runs of this task only; may be repeated (default: all with events)"""
    stimulus_column: str = ""
    """column of the events that names the clip (default: stim_file, else stim_id, else trial_type)"""
    confounds: str = "motion24"
    """what to regress out: none, motion6, motion24, wm_csf, gsr, acompcor5, joined by +"""
    highest_displacement: Positive = 0.5
    """framewise displacement in mm above which a volume does not count"""
    lag: NonNegative = 5.0
    """seconds from a clip's onset to its response"""
    films: tuple[str, ...] = ()
    """TASK=FILE: in runs of this task this film was shown from the first volume on; may be repeated"""
    clip_seconds: Positive = 2.0
    """length of the clips that films are cut into"""


def open_source(options: Settings) -> DataSource:
    """Open the tree: names, events, confounds and headers. Raises `DatasetError`."""
    strategy_parts(options.confounds)
    tree = scan(options.folder)
    films = _films(options)
    bold = {key: name for key, name in tree.bold(options.space).items() if _is_asked(key, options)}
    shown, problems = _events(tree, options, films, bold)
    if not shown:
        DataReport(tuple(problems)).raise_for_errors()
    space = require_one_space([name for key, name in bold.items() if key in shown])
    left_out = [
        DataProblem(str(name.path), "has no events", "the run is left out", fatal=False)
        for key, name in bold.items()
        if key not in shown
    ]
    clips = _clips(options, films, shown)
    atlas = None if options.atlas is None else read_atlas(options.atlas)
    subjects = []
    for sub in sorted({key.sub for key in shown}, key=natural):
        runs = {key: shown[key] for key in sorted(shown, key=lambda key: key.order) if key.sub == sub}
        subject = _Subject(sub, tree, runs, {key: bold[key] for key in runs if key in bold}, options, atlas)
        subjects.append(SourceSubject(f"sub-{sub}", subject.voxels, subject.recordings))
    facts = _set_facts(options, tree, space, [name for key, name in bold.items() if key in shown])
    notes = (*_length_problems(options, films, shown), *_header_notes(bold[key] for key in shown if key in bold))
    return DataSource(facts, lambda: iter(clips), subjects, (*problems, *left_out, *notes), root=options.folder)


def _length_problems(
    options: Settings, films: Mapping[str, Film], shown: Mapping[RunKey, Sequence[ShownStimulus]]
) -> Iterator[DataProblem]:
    seconds = {
        event.clip: event.duration_s for key, events in shown.items() if key.task not in films for event in events
    }
    yield from shown_for_other_times(_stimuli(options.folder, seconds), seconds, options.folder / "stimuli")


def _header_notes(bold: Iterable[BidsName]) -> Iterator[DataProblem]:
    """Yield what the headers of CIFTI files have that is unexpected; files that cannot be read are reported later."""
    for name in bold:
        if name.extension == ".dtseries.nii":
            try:
                notes = open_cifti(name.path).notes
            except InputError:
                continue
            for note in notes:
                yield DataProblem(str(name.path), note, "nothing needs to be done", fatal=False)


def _is_asked(key: RunKey, options: Settings) -> bool:
    return not options.tasks or key.task in options.tasks


def _set_facts(options: Settings, tree: BidsTree, space: str, bold: Sequence[BidsName]) -> SetFacts:
    trs = _repetition_times(tree, bold)
    if len(trs) > 1:
        what = f"runs have different repetition times: {', '.join(f'{tr:g}' for tr in sorted(trs))} s"
        raise DatasetError.of(DataProblem(str(options.folder), what, "prepare tasks apart, with --task"))
    return SetFacts(
        name="",
        kind="series",
        licence=options.licence,
        source=str(options.folder),
        reader=ReaderUsed(name="bids", version=VERSION, options=options.model_dump(mode="json")),
        space=space,
        units="zscore",
        lag_s=options.lag,
        tr=trs.pop(),
        processing=(
            f"confounds ({options.confounds}), slow drift and mean are removed from each run in one projection",
            f"volumes with a framewise displacement above {options.highest_displacement:g} mm, and those before the "
            "steady state, do not count: they are filled from their neighbours, and not used as responses",
            "each voxel is standardised per run (ddof 1)",
        ),
    )


def _repetition_times(tree: BidsTree, bold: Sequence[BidsName]) -> set[float]:
    """Return the repetition time of each run that has one; others are left out later. Raises `DatasetError`."""
    times, problems = set(), []
    for name in bold:
        try:
            times.add(run_timing(tree, name).tr)
        except InputError as error:
            problems.append(error.problem)
    if not times:
        DataReport(tuple(problems)).raise_for_errors()
    return times


def _events(
    tree: BidsTree, options: Settings, films: Mapping[str, Film], bold: Mapping[RunKey, BidsName]
) -> tuple[dict[RunKey, list[ShownStimulus]], list[DataProblem]]:
    """Return the stimuli of each run, and warnings about rows that were ignored."""
    shown: dict[RunKey, list[ShownStimulus]] = {}
    notes: list[DataProblem] = []
    for key, path in tree.events().items():
        if not _is_asked(key, options) or key.task in films:
            continue
        try:
            shown[key], dropped = read_events(path, options.stimulus_column)
        except InputError as error:
            notes.append(error.problem)
            continue
        if dropped:
            what = f"{dropped} of {dropped + len(shown[key])} events name no stimulus"
            notes.append(DataProblem(str(path), what, "they are ignored", fatal=False))
    for key in bold:
        if key.task in films:
            shown[key] = [
                ShownStimulus(name, start, end - start) for name, start, end in _cuts(films[key.task], options)
            ]
    return {key: events for key, events in shown.items() if events}, notes


def _films(options: Settings) -> dict[str, Film]:
    films = {}
    for text in options.films:
        task, equals, file = text.partition("=")
        if not equals or not file:
            raise DatasetError.of(DataProblem("--film", f"is {text!r}", "it must be TASK=FILE"))
        path = Path(file) if Path(file).is_absolute() else options.folder / file
        films[task] = open_film(path)
    return films


def _cuts(film: Film, options: Settings) -> list[tuple[str, float, float]]:
    count = int(film.seconds / options.clip_seconds + 1e-3)
    edges = [options.clip_seconds * index for index in range(count + 1)]
    return [(f"{film.path.stem}_{i + 1}", edges[i], edges[i + 1]) for i in range(count)]


def _clips(
    options: Settings, films: Mapping[str, Film], shown: Mapping[RunKey, Sequence[ShownStimulus]]
) -> list[SourceClip]:
    """Return all clips that were shown, in natural order. Raises `DatasetError` if one has no file or no caption."""
    names = sorted({event.clip for events in shown.values() for event in events}, key=natural)
    picture = FilmPicture(options.frames, options.resolution, options.fit)
    cuts = {name: (film, start, end) for film in films.values() for name, start, end in _cuts(film, options)}
    files = _stimuli(options.folder, [name for name in names if name not in cuts])
    captions = _captions(options, names)
    split = {event.clip: event.split for events in shown.values() for event in events}
    if None in split.values():
        split = dict.fromkeys(split)
    clips = []
    for name in names:
        if name in cuts:
            clips.append(_film_clip(name, *cuts[name], picture=picture, captions=captions[name]))
        else:
            read = partial(read_square_clip, files[name], frames=picture.frames, side=picture.side, fit=picture.fit)
            clips.append(SourceClip(name, read, captions[name], str(files[name]), source=name, split=split[name]))
    return clips


def _film_clip(
    name: str, film: Film, start: float, end: float, *, picture: FilmPicture, captions: tuple[str, ...]
) -> SourceClip:
    """Return the clip of a film from `start` to `end` in seconds."""
    read = partial(read_from_film, film, start, end, picture)
    rate = picture.frames / (end - start)
    return SourceClip(name, read, captions, str(film.path), film.path.stem, start, end, rate)


def _stimuli(root: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the file of each clip. Raises `DatasetError`, which lists all clips without one."""
    files = {name: _stimulus(root, name) for name in names}
    missing = [name for name, path in files.items() if path is None]
    if missing:
        what = f"{len(missing)} clip(s) that events name are not there: {some(missing, most=5)}"
        raise DatasetError.of(DataProblem(str(root / "stimuli"), what, "copy the stimuli into this folder"))
    return {name: path for name, path in files.items() if path is not None}


def _stimulus(root: Path, name: str) -> Path | None:
    """Return the file of a clip, in `stimuli` or beside it, whatever its suffix."""
    for folder in (root / "stimuli", root):
        found = sorted(path for path in (folder / name).parent.glob("*") if path.with_suffix("") == folder / name)
        if found:
            return found[0]
    return None


def _captions(options: Settings, names: Sequence[str]) -> Captions:
    captions = merge_captions(options.captions, lambda path: captions_in(path, names))
    missing = [name for name in names if name not in captions]
    if missing:
        what = f"there is none for {len(missing)} clip(s): {some(missing, most=5)}"
        raise DatasetError.of(DataProblem("captions", what, "every clip needs one"))
    return captions


@dataclass(frozen=True)
class _Subject:
    sub: str
    tree: BidsTree
    shown: Mapping[RunKey, Sequence[ShownStimulus]]
    bold: Mapping[RunKey, BidsName]
    options: Settings
    atlas: Atlas | None

    def voxels(self) -> VoxelTable:
        name = self._first()
        axis = self._axis(name)
        return VoxelTable(areas_in(self.atlas, axis, name.path), axis.names, axis.vertex, axis.ijk)

    def recordings(self) -> list[RunRecording]:
        axis = self._axis(self._first())
        confounds = self.tree.confounds()
        return [self._recording(key, events, axis, confounds.get(key)) for key, events in self.shown.items()]

    def _first(self) -> BidsName:
        if not self.bold:
            what = f"sub-{self.sub} has events, but no preprocessed run"
            raise DatasetError.of(DataProblem(str(self.tree.root), what, "run fMRIPrep for it, or leave it out"))
        return self.bold[min(self.bold, key=lambda key: key.order)]

    def _axis(self, name: BidsName) -> BrainAxis:
        if name.extension == ".dtseries.nii":
            return open_cifti(name.path).axis
        if name.extension == SURFACE:
            return read_gifti_axis(name.path, right_of(name))[0]
        return read_mask(self.tree.mask_of(name))

    def _recording(
        self, key: RunKey, events: Sequence[ShownStimulus], axis: BrainAxis, confounds: Path | None
    ) -> RunRecording:
        name = self.bold.get(key)
        run_id = str(key).removeprefix(f"sub-{self.sub}_")
        try:
            if name is None:
                raise InputError(str(key), "has events, but no bold", "run fMRIPrep for this run")
            return self._used(name, run_id, events, axis, confounds)
        except InputError as error:
            problem = error.problem
            file = problem.where if name is None else str(name.path)
            reason = f"{Path(problem.where).name}: {problem.what}; {problem.right}"
            return RunRecording(run_id, file, 0, [], lambda: iter(()), key.ses, key.task, 1.0, 0.0, reason)

    def _used(
        self, name: BidsName, run_id: str, events: Sequence[ShownStimulus], axis: BrainAxis, confounds: Path | None
    ) -> RunRecording:
        timing, volumes = run_timing(self.tree, name), self._volumes(name, axis)
        removed = self._confounds(name, confounds, volumes)
        end = timing.first_volume_s + volumes * timing.tr
        late = [event for event in events if event.onset_s >= end]
        if late:
            what = f"{len(late)} event(s) begin after its end ({end:g} s), the first at {late[0].onset_s:g} s"
            raise InputError(name.path, what, "check that events and bold are of one run")
        projection = _projection(name.path, volumes, timing.tr, removed)
        onsets = np.array([event.onset_s for event in events])
        times = volume_times(volumes, timing.tr, start_s=timing.first_volume_s, reference=0.0)
        alignment = align_at_lag(times, onsets, np.zeros(len(events)), lag_s=self.options.lag, kept=projection.kept)
        shown = [
            ShownClip(event.clip, event.onset_s, event.duration_s)
            for event, has_response in zip(events, alignment.has_response, strict=True)
            if has_response
        ]
        return RunRecording(
            run_id=run_id,
            file=str(name.path),
            rows=volumes,
            shown=shown,
            blocks=partial(self._blocks, name, projection),
            session=name.entities.get("ses", ""),
            task=name.entities.get("task", ""),
            tr=timing.tr,
            start_time_s=timing.first_volume_s,
        )

    def _volumes(self, name: BidsName, axis: BrainAxis) -> int:
        """Return the volumes of a run, whose columns must be those of the subject's first run."""
        if name.extension == ".dtseries.nii":
            series = open_cifti(name.path)
            mine, volumes = series.axis, series.volumes
        elif name.extension == SURFACE:
            mine, volumes = read_gifti_axis(name.path, right_of(name))
        else:
            mine, volumes = read_mask(self.tree.mask_of(self._first())), read_nifti_shape(name.path)[3]
        require_columns(mine, axis, name.path)
        return volumes

    def _confounds(self, name: BidsName, path: Path | None, volumes: int) -> Confounds | None:
        if path is None:
            if self.options.confounds == "none":
                return None
            right = "add fMRIPrep's _desc-confounds_timeseries.tsv, or use --confounds none"
            raise InputError(name.path, "has no table of confounds", right)
        confounds = read_confounds(
            path, strategy=self.options.confounds, highest_displacement=self.options.highest_displacement
        )
        require_rows(confounds, path, volumes, name.path)
        return confounds

    def _blocks(self, name: BidsName, projection: Projection) -> Iterator[DataBlock]:
        with tempfile.TemporaryDirectory(prefix="mindsweep-") as scratch:
            series = self._series(name, Path(scratch))
            yield from cleaned_blocks(Run(series, slice(None), projection))

    def _series(self, name: BidsName, scratch: Path) -> Series:
        if name.extension == ".dtseries.nii":
            return open_cifti(name.path)
        if name.extension == SURFACE:
            return open_gifti(name.path, right_of(name), scratch=scratch)
        return open_nifti(name.path, mask=self.tree.mask_of(self._first()), scratch=scratch)


def _projection(path: Path, volumes: int, tr: float, confounds: Confounds | None) -> Projection:
    try:
        if confounds is None:
            return make_projection(volumes, tr)
        trend: Any = "none" if confounds.has_cosines else "polynomial"
        return make_projection(volumes, tr, trend=trend, confounds=confounds.values, kept=confounds.kept)
    except ValueError as error:
        raise InputError(path, str(error), "take a smaller strategy with --confounds") from error
