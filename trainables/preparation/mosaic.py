"""`python -m platform.prepare mosaic FOLDER`: betas of single presentations of MOSAIC (HDF5), on the 32k surface.

FOLDER holds files such as sub-01_BMD.hdf5, or merged files, and `stimuli` with the videos, which come from each data
set's own authors. MOSAIC has eight data sets; those with videos, BMD and HAD, make clips.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import DataSource, SourceClip
from trainables.datasets.prepared.tables import Split
from trainables.datasets.video_frames import VIDEO_FORMATS
from trainables.preparation.beta_subject import BetaSet, BetaSubject
from trainables.preparation.beta_surface import choose_vertices, open_surface_atlas
from trainables.preparation.betas import BetaFile
from trainables.preparation.caption_files import (
    Captions,
    captions_in,
    described_captions,
    is_described,
    json_object,
    merge_captions,
)
from trainables.preparation.clip_files import read_square_clip
from trainables.preparation.files import InputError
from trainables.preparation.mosaic_files import ENDINGS, MosaicGroup, open_groups
from trainables.preparation.numbered_videos import drawn_by_hash
from trainables.preparation.options import FolderOptions, check_options
from trainables.preparation.stimulus_lengths import of_other_length

VERSION = 1
_CITATION = "MOSAIC (mosaicfmri): eight fMRI data sets in one preprocessing; cite the data set's own authors, too"
_GET = "download files such as sub-01_BMD.hdf5 of MOSAIC there"
_LICENCES = {"BMD": "CC0-1.0 (fMRI); videos: terms of boldmomentsdataset.csail.mit.edu", "HAD": "CC0-1.0 (fMRI)"}
_PHASES = ("train", "test")
_MIT_NAME = "MiT_filename"
_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
_FACTS = ("preprocessing_pipeline", "beta_pipeline")


class Settings(FolderOptions):
    """Settings of this reader."""

    dataset: str = ""
    """take files of this data set only, such as BMD (needed if FOLDER has several)"""
    rois: tuple[str, ...] = ()
    """take this area only; may be repeated (default: the whole cortex)"""
    atlas: Path | None = None
    """parcellation of the 32k surface (.dlabel.nii), whose areas become the ROIs"""
    stimuli: Path | None = None
    """folder with the videos, named as MOSAIC names them, or 0001.mp4 with annotations.json (default:
    FOLDER/stimuli)"""
    captions: tuple[Path, ...] = ()
    """file with captions; may be repeated. .json, .csv or .txt by the stimulus's name, or annotations.json of BOLD
    Moments, which also says which video has which name"""


def open_source(options: Settings) -> DataSource:
    """Open the folder: attributes of all presentations, captions, and which videos there are. Raises `DatasetError`."""
    check_options(options, name="MOSAIC", terms="the stimuli")
    if options.rois and options.atlas is None:
        raise DatasetError.of(DataProblem("--roi", "needs an atlas", "give --atlas FILE.dlabel.nii"))
    groups, warnings = _groups(options)
    names = sorted({each.stimulus for group in groups for each in group.presentations}, key=natural)
    numbers = _numbers(options.captions)
    videos = _videos(options, groups, names, numbers)
    captions = _captions(options.captions, names, numbers)
    split, mixed = _split(groups, options)
    subjects = [each.source() for each in _subjects(groups, names, options)]
    clips = partial(_clips, videos, captions, split, options)
    return DataSource(
        _facts(options, groups),
        clips,
        subjects,
        (*warnings, *of_other_length(videos, _stimuli(options)), *mixed),
        options.folder,
        "test: the clips of phase test; validation: drawn from the others by a hash of the clip's name",
    )


def _groups(options: Settings) -> tuple[list[MosaicGroup], list[DataProblem]]:
    """Return all subjects of one data set, and files that are left out. Raises `DatasetError`."""
    paths = sorted((path for path in options.folder.glob("*") if path.suffix in ENDINGS), key=lambda p: natural(p.name))
    if not paths:
        raise DatasetError.of(DataProblem(str(options.folder), "has no HDF5 file", _GET))
    groups: list[MosaicGroup] = []
    problems = []
    for path in paths:
        try:
            groups += open_groups(path)
        except InputError as error:
            problems.append(error.problem)
    if not groups:
        DataReport(tuple(problems)).raise_for_errors()
    known = sorted({group.dataset for group in groups})
    chosen = [group for group in groups if options.dataset in ("", group.dataset)]
    if not chosen or (not options.dataset and len(known) > 1):
        what = f"has data sets {', '.join(known)}" + (f", not {options.dataset}" if options.dataset else "")
        raise DatasetError.of(DataProblem(str(options.folder), what, "choose one with --dataset"))
    twice = [group.subject for group in chosen if sum(each.subject == group.subject for each in chosen) > 1]
    if twice:
        what = f"has {twice[0]} more than once: {some(str(g.path.name) for g in chosen if g.subject == twice[0])}"
        raise DatasetError.of(DataProblem(str(options.folder), what, "keep one file or group of each subject"))
    return sorted(chosen, key=lambda group: natural(group.subject)), problems


def _facts(options: Settings, groups: Sequence[MosaicGroup]) -> SetFacts:
    name = groups[0].dataset
    pipelines = {f"{key}: {group.attributes[key]}" for group in groups for key in _FACTS if key in group.attributes}
    return SetFacts(
        name=f"MOSAIC {name}",
        kind="rows",
        licence=_LICENCES.get(name, ""),
        citation=(_CITATION,),
        source=f"MOSAIC, files of {name}",
        reader=ReaderUsed(name="mosaic", version=VERSION, options=options.model_dump(mode="json")),
        space="fsLR-32k",
        processing=(
            *sorted(pipelines),
            "nothing is standardised here; vertices with NaN in any presentation of a subject are left out",
            "rows are ordered by phase, clip and repetition: the files do not contain session or run",
        ),
        previews=False,
    )


def _numbers(paths: Sequence[Path]) -> dict[str, str]:
    """Return the four digits of each video by its name in Moments in Time, from `annotations.json` files."""
    entries = [entry for path in paths if is_described(path) for entry in json_object(path).items()]
    return {
        Path(str(entry[_MIT_NAME])).stem: number
        for number, entry in entries
        if isinstance(entry, dict) and _MIT_NAME in entry
    }


def _videos(
    options: Settings, groups: Sequence[MosaicGroup], names: Sequence[str], numbers: Mapping[str, str]
) -> dict[str, Path]:
    """Return the video of each clip. Raises `DatasetError` if stimuli are images, or lists those without a file."""
    images = {each.stimulus for group in groups for each in group.presentations if each.ending in _IMAGES}
    if images:
        what = f"{len(images)} of {len(names)} stimuli are images, for example {min(images)!r}"
        right = "clips need videos: take BMD or HAD with --dataset"
        raise DatasetError.of(DataProblem(str(groups[0].path), what, right))
    folder = _stimuli(options)
    files = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (*VIDEO_FORMATS, ".gif")}
    found = {name: files.get(name, files.get(numbers.get(name, ""))) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        what = f"has no video of {len(missing)} clip(s) that were shown: {some(missing, most=5)}"
        right = "get the videos from the data set's authors, or give their folder with --stimuli"
        raise DatasetError.of(DataProblem(str(folder), what, right))
    return {name: path for name, path in found.items() if path is not None}


def _stimuli(options: Settings) -> Path:
    return options.stimuli if options.stimuli is not None else options.folder / "stimuli"


def _captions(paths: Sequence[Path], names: Sequence[str], numbers: Mapping[str, str]) -> Captions:
    captions = merge_captions(paths, lambda path: _captions_of(path, names, numbers))
    missing = [name for name in names if name not in captions]
    if missing:
        what = f"there is none for {len(missing)} clip(s): {some(missing, most=5)}"
        raise DatasetError.of(DataProblem("captions", what, "every clip needs one"))
    return captions


def _captions_of(path: Path, names: Sequence[str], numbers: Mapping[str, str]) -> Captions:
    if not is_described(path):
        return captions_in(path, names)
    known = [name for name in names if name in numbers]
    texts = described_captions(path, [numbers[name] for name in known])
    return {name: texts[numbers[name]] for name in known}


def _split(groups: Sequence[MosaicGroup], options: Settings) -> tuple[dict[str, Split], list[DataProblem]]:
    """Return the split by phase; a clip that is training for one subject and test for another is test."""
    phases: dict[str, set[str]] = {}
    for group in groups:
        for each in group.presentations:
            phases.setdefault(each.stimulus, set()).add(each.phase)
    training = [name for name, found in phases.items() if found == {"train"}]
    validation = drawn_by_hash(training, options.validation_fraction)
    both = [name for name, found in phases.items() if len(found) > 1]
    what = f"{len(both)} clip(s) are in both phases: {some(both, most=5)}"
    notes = [DataProblem("phases", what, "they are for test alone", fatal=False)] if both else []
    split: dict[str, Split] = {
        name: "test" if "test" in found else "validation" if name in validation else "train"
        for name, found in phases.items()
    }
    return split, notes


def _subjects(groups: Sequence[MosaicGroup], names: Sequence[str], options: Settings) -> Iterator[BetaSubject]:
    atlas = None if options.atlas is None else open_surface_atlas(options.atlas)
    choose = partial(choose_vertices, atlas, options.rois)
    for group in groups:
        phases = [phase for phase in _PHASES if any(each.phase == phase for each in group.presentations)]
        sets = tuple(
            BetaSet(phase, (BetaFile(group.path, phase, group.group),), tuple(names), None) for phase in phases
        )
        yield BetaSubject(group.subject, group.path.parent, partial(_given, sets), choose)


def _given(sets: tuple[BetaSet, ...]) -> tuple[BetaSet, ...]:
    return sets


def _clips(
    videos: Mapping[str, Path], captions: Captions, split: Mapping[str, Split], options: Settings
) -> Iterator[SourceClip]:
    read = partial(read_square_clip, frames=options.frames, side=options.resolution, fit=options.fit)
    for block, (name, path) in enumerate(videos.items()):
        yield SourceClip(name, partial(read, path), captions[name], str(path), split=split[name], block=block)
