"""`python -m platform.prepare algonauts2021 FOLDER`: the Algonauts 2021 challenge, mini or full track.

FOLDER holds the videos (AlgonautsVideos268_All_30fpsmax) and participants_data_v2021, with or without folders of the
tracks. The challenge withheld the fMRI of its 102 test clips.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import DataSource
from trainables.datasets.prepared.tables import Split
from trainables.preparation.beta_regions import KnownCounts, Region, choose_regions
from trainables.preparation.beta_subject import BetaSet, BetaSubject, VoxelChoice
from trainables.preparation.betas import BetaFile, Betas, open_betas
from trainables.preparation.caption_files import (
    Captions,
    all_captions,
    described_captions,
    is_described,
    merge_captions,
)
from trainables.preparation.files import InputError
from trainables.preparation.numbered_videos import (
    find_numbered_videos,
    numbered_clips,
    numbers_for_test,
    numbers_for_training,
    open_videos,
)
from trainables.preparation.options import FolderOptions, check_options

VERSION = 1
_LICENCE = "terms of the challenge; taken as not to be passed on"
_CITATION = "Cichy et al. The Algonauts Project 2021 challenge. arXiv 2104.13714, 2021"
_VIDEOS, _PARTICIPANTS = "AlgonautsVideos268_All_30fpsmax", "participants_data_v2021"
_GET_VIDEOS = f"unpack {_VIDEOS} of the challenge there, or give the folder of the videos with --stimuli"
_GET_FMRI = f"unpack {_PARTICIPANTS} of the challenge there"
_REPEATS = 3
_WHOLE, _MASK = "WB", "voxel_mask"
_REGIONS = ("EBA", "FFA", "LOC", "PPA", "STS", "V1", "V2", "V3", "V4")
_COUNTS = {
    "sub-01": (351, 68, 1843, 425, 341, 232, 231, 261, 107),
    "sub-02": (183, 157, 1348, 153, 421, 285, 231, 270, 95),
    "sub-03": (376, 80, 1237, 368, 278, 164, 271, 270, 111),
    "sub-04": (368, 210, 1153, 225, 398, 176, 209, 212, 117),
    "sub-05": (309, 69, 1397, 210, 219, 326, 196, 176, 73),
    "sub-06": (308, 119, 1356, 216, 173, 286, 281, 229, 108),
    "sub-07": (101, 89, 1117, 33, 80, 195, 189, 174, 55),
    "sub-08": (55, 163, 1244, 150, 306, 300, 238, 223, 85),
    "sub-09": (191, 76, 1515, 262, 346, 271, 265, 245, 94),
    "sub-10": (162, 69, 1034, 165, 120, 238, 249, 188, 60),
}
"""Voxels of `_REGIONS`."""


class Settings(FolderOptions):
    """Settings of this reader."""

    track: Literal["mini", "full"] = "mini"
    """mini: voxels of nine regions; full: voxels of the whole brain, those of the mini track named if it is there"""
    rois: tuple[str, ...] = ()
    """take this region only; may be repeated (default: all of the track)"""
    captions: tuple[Path, ...] = ()
    """file with captions; may be repeated. .json, .csv or .txt by the four digits of the clip, or annotations.json of
    BOLD Moments, which used the same videos"""
    stimuli: Path | None = None
    """folder with the videos, 0001_....mp4 to 1102_....mp4 (default: FOLDER/AlgonautsVideos268_All_30fpsmax)"""


def open_source(options: Settings) -> DataSource:
    """Open the folder: videos' headers, captions, and which files there are. Raises `DatasetError`."""
    check_options(options, name="Algonauts 2021", terms="the challenge")
    folder = options.stimuli if options.stimuli is not None else options.folder / _VIDEOS
    films, warnings = open_videos(find_numbered_videos(folder, right=_GET_VIDEOS), folder)
    captions = merge_captions(options.captions, lambda path: _captions(path, [*films]))
    split = _split([*films], options)
    subjects = [each.source() for each in _subjects(options, numbers_for_training(films))]
    withheld = dict.fromkeys(numbers_for_test(films), "its fMRI was withheld by the challenge")
    clips = partial(numbered_clips, films, captions, split, options, withheld)
    notes = (*warnings, *_same_videos(options), *_no_test(options))
    return DataSource(_facts(options, len(withheld)), clips, subjects, notes, options.folder, _split_rule(options))


def _captions(path: Path, names: Sequence[str]) -> Captions:
    return described_captions(path, names) if is_described(path) else all_captions(path, names)


def _facts(options: Settings, withheld: int) -> SetFacts:
    return SetFacts(
        name="Algonauts 2021",
        kind="rows",
        licence=_LICENCE,
        citation=(_CITATION,),
        source="Algonauts 2021 challenge, participants_data_v2021",
        reader=ReaderUsed(name="algonauts2021", version=VERSION, options=options.model_dump(mode="json")),
        units="a.u.",
        defects=(
            f"the challenge withheld the fMRI of its test clips: the {withheld} clips after 1000 have no rows. BOLD "
            "Moments has published it since, with a newer preprocessing: `python -m platform.prepare bmd`",
        ),
        processing=(
            "betas of single presentations, estimated by the organisers; nothing is standardised here",
            "rows are ordered by clip and repeat: the files do not contain session or run",
            *(["i, j, k of voxels take the mask of the whole brain in C order"] if options.track == "full" else []),
        ),
        previews=False,
    )


def _split(numbers: Sequence[str], options: Settings) -> dict[str, Split]:
    """Return the split by order: of the clips with fMRI, the last tenth is for validation, the tenth before for test.

    Without a share for test, the official test clips are that, although they have no fMRI.
    """
    training = numbers_for_training(numbers)
    validation = round(options.validation_fraction * len(training))
    test = round(options.test_fraction * len(training))
    first_test, first_validation = len(training) - validation - test, len(training) - validation
    split: dict[str, Split] = dict.fromkeys(numbers_for_test(numbers), "excluded" if test else "test")
    split |= dict.fromkeys(training[:first_test], "train")
    split |= dict.fromkeys(training[first_test:first_validation], "test")
    return split | dict.fromkeys(training[first_validation:], "validation")


def _split_rule(options: Settings) -> str:
    if options.test_fraction:
        return "validation: the last clips with fMRI, as in the devkit; test: those before them, which have fMRI"
    return "validation: the last clips with fMRI, as in the devkit; test: the official clips, which have no fMRI"


def _no_test(options: Settings) -> Iterator[DataProblem]:
    if not options.test_fraction:
        what = "is 0: the test clips are those of the challenge, which have no fMRI"
        right = "no study can run on this data set: leave the option out to hold out clips with fMRI for the test"
        yield DataProblem("--test-fraction", what, right, fatal=False)


def _same_videos(options: Settings) -> Iterator[DataProblem]:
    for path in options.captions:
        if is_described(path):
            what = "describes the videos of BOLD Moments, which are assumed to have the same numbers"
            yield DataProblem(str(path), what, "compare a few texts with their videos", fatal=False)


def _subjects(options: Settings, clips: tuple[str, ...]) -> Iterator[BetaSubject]:
    """Yield the subjects of the track. Raises `DatasetError` if there is none."""
    root = _participants(options.folder)
    names = {f"{options.track}_track": root / f"{options.track}_track", _PARTICIPANTS: root}
    folders = next((subjects for folder in names.values() if (subjects := _folders(folder))), [])
    if not folders:
        right = f"{_GET_FMRI}: {options.track}_track/sub01 to sub10, or sub01 to sub10"
        raise DatasetError.of(DataProblem(str(root), f"has no subject of the {options.track} track", right))
    for folder in folders:
        name = f"sub-{folder.name.removeprefix('sub').lstrip('-')}"
        find_sets = partial(_sets, folder, options, clips)
        yield BetaSubject(name, folder, find_sets, partial(_choose, name))


def _participants(folder: Path) -> Path:
    if (folder / _PARTICIPANTS).is_dir():
        return folder / _PARTICIPANTS
    if _folders(folder) or (folder / "mini_track").is_dir() or (folder / "full_track").is_dir():
        return folder
    raise DatasetError.of(DataProblem(str(folder), f"has no folder {_PARTICIPANTS}", _GET_FMRI))


def _folders(parent: Path) -> list[Path]:
    folders = [path for path in parent.glob("sub*") if path.is_dir() and re.fullmatch(r"sub-?\d+", path.name)]
    return sorted(folders, key=lambda path: natural(path.name))


def _sets(folder: Path, options: Settings, clips: tuple[str, ...]) -> tuple[BetaSet, ...]:
    """Return the only set, `train`. Raises `InputError` if a region has no file."""
    files = _files(folder, options.track)
    regions = (
        options.rois if options.rois else tuple(name for name in files if options.track == "full" or name != _WHOLE)
    )
    missing = [name for name in regions if name not in files]
    if options.track == "full" and not options.rois and _WHOLE not in files:
        missing = [_WHOLE]
    if missing or not regions:
        what = (
            f"has no {', '.join(f'{name}.pkl' for name in missing) if missing else 'file of a region, such as V1.pkl'}"
        )
        right = f"there are {', '.join(files)}" if files else _GET_FMRI
        raise InputError(folder, what, right)
    chosen = sorted(regions, key=_order)
    return (BetaSet("train", tuple(BetaFile(files[name], "train") for name in chosen), clips, _REPEATS),)


def _files(folder: Path, track: str) -> dict[str, Path]:
    """Return the pickles of a subject by region; those of the mini track, too, if they lie next to the full one."""
    folders = [folder]
    if track == "full" and folder.parent.name == "full_track":
        folders.append(folder.parent.parent / "mini_track" / folder.name)
    return {path.stem: path for each in folders for path in sorted(each.glob("*.pkl"), reverse=True)}


def _order(name: str) -> tuple[bool, bool, str]:
    """Return the sort key of a region: LOC, the largest, comes late, so that shared voxels belong to the others."""
    return name == _WHOLE, name == "LOC", name


def _choose(subject: str, files: Sequence[BetaFile]) -> VoxelChoice:
    shapes = {file.path.stem: open_betas(file).shape[2] for file in files}
    choice = choose_regions([_region(file) for file in files], files)
    published = {name: (count, count) for name, count in zip(_REGIONS, _COUNTS.get(subject, ()), strict=False)}
    notes = KnownCounts(published).differences(shapes, files[0].path.parent)
    return replace(choice, notes=(*notes, *_without_coordinates(choice, files[-1].path)))


def _region(file: BetaFile) -> Region:
    name = file.path.stem
    return Region(name) if name != _WHOLE else Region("", ijk=_voxel_indices(open_betas(file)))


def _voxel_indices(whole: Betas) -> NDArray[np.int32]:
    """Return the voxel indices of the whole brain, [voxels, 3].

    Raises:
        InputError: The mask has another number of voxels than the betas.
    """
    mask = whole.others.get(_MASK)
    if not isinstance(mask, np.ndarray) or mask.ndim != 3:
        raise InputError(whole.path, f"has no {_MASK} of three dimensions", "download it again")
    inside = np.argwhere(mask > 0)
    if len(inside) != whole.shape[2]:
        what = f"{_MASK} has {len(inside)} voxels, but the betas {whole.shape[2]}"
        raise InputError(whole.path, what, "they are not of one version; download it again")
    return inside.astype(np.int32)


def _without_coordinates(choice: VoxelChoice, whole: Path) -> Iterator[DataProblem]:
    ijk = choice.table.ijk
    strange = 0 if ijk is None else int((ijk[:, 0] < 0).sum())
    if strange:
        what = f"{strange} voxel(s) of the mini track are not among its voxels, judged by their values"
        yield DataProblem(str(whole), what, "they are kept without coordinates", fatal=False)
