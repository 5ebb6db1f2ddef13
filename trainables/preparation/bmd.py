"""`python -m platform.prepare bmd FOLDER`: BOLD Moments (OpenNeuro ds005165), prepared betas of version B.

FOLDER is the downloaded data set, with `derivatives/versionB` and `derivatives/stimuli_metadata`. The videos are got
separately and put into FOLDER/stimuli.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from trainables.datasets.clip_names import natural
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.datasets.prepared.description import ReaderUsed, SetFacts
from trainables.datasets.prepared.source import DataSource
from trainables.datasets.prepared.tables import Split
from trainables.preparation.beta_regions import KnownCounts, Region, choose_regions
from trainables.preparation.beta_subject import BetaSet, BetaSubject, VoxelChoice
from trainables.preparation.beta_surface import choose_vertices, open_surface_atlas
from trainables.preparation.betas import BetaFile, open_betas
from trainables.preparation.caption_files import described_captions
from trainables.preparation.files import InputError
from trainables.preparation.numbered_videos import (
    drawn_by_hash,
    find_numbered_videos,
    numbered_clips,
    numbers_for_test,
    numbers_for_training,
    open_videos,
)
from trainables.preparation.options import FolderOptions, check_options
from trainables.preparation.shipped_ceiling import ShippedCeiling, ceiling_differences

VERSION = 1
_LICENCE = "CC0-1.0 (fMRI and annotations); videos: terms of boldmomentsdataset.csail.mit.edu, not to be passed on"
_CITATION = "Lahner et al. Nature Communications 15:6241, 2024"
_SPLIT_RULE = "test: the official clips; validation: drawn from the others by a hash of the clip's number"
_GET_VIDEOS = "get the videos from boldmomentsdataset.csail.mit.edu, or give their folder with --stimuli"
_SURFACE = Path("derivatives", "versionB", "fsLR32k", "GLM")
_VOLUME = Path("derivatives", "versionB", "MNI152", "prepared_allvoxel_pkl")
_ANNOTATIONS = Path("derivatives", "stimuli_metadata", "annotations.json")
_REPEATS = {"train": 3, "test": 10}
_WHOLE = ("BMDgeneral", "WB")
"""Voxels beyond regions: taken if asked for."""
_COUNTS = {
    "V1v": 370, "V1d": 357, "V2v": 338, "V2d": 318, "V3v": 245, "V3d": 229, "hV4": 159, "LOC": 1613, "FFA": 373,
    "OFA": 116, "STS": 761, "EBA": 324, "PPA": 288, "RSC": 665, "TOS": 49, "V3ab": 382, "MT": 95, "BMDgeneral": 14672,
}  # fmt: skip
_UNKNOWN = 1000
"""Assumed number of voxels of an unknown region."""
_KNOWN = KnownCounts({**{name: (count, count) for name, count in _COUNTS.items()}, "WB": (107987, 108603)})
_REGION_FILE = re.compile(r"sub-\d+_roi-([lr]?)([A-Z0-9][\w-]*?)_betas_normalized")
_HEMISPHERES = {"l": "left", "r": "right", "": ""}


class Settings(FolderOptions):
    """Settings of this reader."""

    betas: Literal["fsLR32k", "MNI152"] = "fsLR32k"
    """fsLR32k: vertices of the whole cortex; MNI152: voxels of the regions that the authors give"""
    rois: tuple[str, ...] = ()
    """take this region only; may be repeated (default: all; for MNI152 all but BMDgeneral and WB, the whole brain)"""
    atlas: Path | None = None
    """parcellation of the 32k surface (.dlabel.nii), whose areas become the regions of fsLR32k"""
    stimuli: Path | None = None
    """folder with the videos, 0001.mp4 to 1102.mp4 (default: FOLDER/stimuli)"""
    annotations: Path | None = None
    """file with the sentences (default: FOLDER/derivatives/stimuli_metadata/annotations.json)"""


def open_source(options: Settings) -> DataSource:
    """Open the folder: videos' headers, sentences, and which files there are. Raises `DatasetError`."""
    check_options(options, name="BOLD Moments", terms="the videos")
    if options.betas == "fsLR32k" and options.rois and options.atlas is None:
        raise DatasetError.of(DataProblem("--roi", "needs an atlas for fsLR32k", "give --atlas FILE.dlabel.nii"))
    folder = options.stimuli if options.stimuli is not None else options.folder / "stimuli"
    films, warnings = open_videos(find_numbered_videos(folder, right=_GET_VIDEOS), folder)
    annotations = options.annotations if options.annotations is not None else options.folder / _ANNOTATIONS
    captions = described_captions(annotations, [*films])
    split = _split([*films], options)
    of_subjects = [*(_surface if options.betas == "fsLR32k" else _volume)(options, split)]
    if not of_subjects:
        folder = options.folder / (_SURFACE if options.betas == "fsLR32k" else _VOLUME)
        right = "download the prepared betas of at least one subject, or choose another kind with --betas"
        raise DatasetError.of(DataProblem(str(folder), "has no folder of a subject, such as sub-01", right))
    clips = partial(numbered_clips, films, captions, split, options)
    subjects = [each.source() for each in of_subjects]
    return DataSource(_facts(options), clips, subjects, tuple(warnings), options.folder, _SPLIT_RULE)


def _facts(options: Settings) -> SetFacts:
    return SetFacts(
        name="BOLD Moments",
        kind="rows",
        licence=_LICENCE,
        citation=(_CITATION,),
        source="OpenNeuro ds005165, derivatives/versionB",
        reader=ReaderUsed(name="bmd", version=VERSION, options=options.model_dump(mode="json")),
        space="fsLR-32k" if options.betas == "fsLR32k" else "MNI152NLin2009cAsym",
        units="zscore",
        processing=(
            "betas of single presentations, estimated by the authors with GLMsingle (FITHRF, GLMdenoise, ridge "
            "regression)",
            "standardised by the authors in each session, by mean and standard deviation (ddof 1) of its training "
            "presentations; nothing is standardised again here",
            "rows are ordered by clip and repeat: the files do not contain session or run",
        ),
        previews=False,
    )


def _split(numbers: Sequence[str], options: Settings) -> dict[str, Split]:
    """Return the official test clips, and validation clips that a hash of their number draws from the others."""
    training = numbers_for_training(numbers)
    validation = drawn_by_hash(training, options.validation_fraction)
    of_training: dict[str, Split] = {number: "validation" if number in validation else "train" for number in training}
    return {**of_training, **dict.fromkeys(numbers_for_test(numbers), "test")}


def _folders(parent: Path) -> list[Path]:
    return sorted((path for path in parent.glob("sub-*") if path.is_dir()), key=lambda path: natural(path.name))


def _sets(files: Mapping[str, tuple[BetaFile, ...]], numbers: Mapping[str, Split]) -> tuple[BetaSet, ...]:
    clips = {"train": numbers_for_training(numbers), "test": numbers_for_test(numbers)}
    return tuple(BetaSet(name, files[name], clips[name], repeats) for name, repeats in _REPEATS.items())


def _surface(options: Settings, split: Mapping[str, Split]) -> Iterator[BetaSubject]:
    """Yield the subjects whose betas lie on the surface."""
    atlas = None if options.atlas is None else open_surface_atlas(options.atlas)
    choose = partial(choose_vertices, atlas, options.rois)
    for folder in _folders(options.folder / _SURFACE):
        betas = folder / "prepared_betas"
        files = {
            name: BetaFile(betas / f"{folder.name}_organized_betas_task-{name}_normalized.pkl") for name in _REPEATS
        }
        find_sets = partial(_sets, {name: (file,) for name, file in files.items()}, split)
        yield BetaSubject(folder.name, betas, find_sets, choose, partial(_ceilings, betas, files))


def _ceilings(folder: Path, files: Mapping[str, BetaFile], choice: VoxelChoice) -> Iterator[DataProblem]:
    """Compare the noise ceilings that lie beside the betas with ours."""
    for name, repeats in _REPEATS.items():
        for count in (1, repeats):
            for path in folder.glob(f"*_noiseceiling_task-{name}_n-{count}.pkl"):
                yield from ceiling_differences(ShippedCeiling(path, files[name], count > 1), choice.columns[0])


def _volume(options: Settings, split: Mapping[str, Split]) -> Iterator[BetaSubject]:
    """Yield the subjects whose betas are given by region."""
    for folder in _folders(options.folder / _VOLUME):
        find_sets = partial(_region_sets, folder, options.rois, split)
        yield BetaSubject(folder.name, folder, find_sets, partial(_choose_regions, folder))


def _region_sets(folder: Path, rois: Sequence[str], split: Mapping[str, Split]) -> tuple[BetaSet, ...]:
    files = [path for path in folder.glob("*.pkl") if _REGION_FILE.fullmatch(path.stem)]
    names = {_region_of(path).name for path in files}
    regions = rois if rois else sorted(names - {*_WHOLE})
    missing = sorted({*regions} - names)
    if missing or not regions:
        what = f"has no file of {', '.join(missing) if missing else 'a region'}"
        right = (
            f"there are {', '.join(sorted(names))}"
            if names
            else "files are called sub-01_roi-lV1v_betas_normalized.pkl"
        )
        raise InputError(folder, what, right)
    chosen = sorted((path for path in files if _region_of(path).name in regions), key=_order)
    return _sets({name: tuple(BetaFile(path, f"{name}_data_allvoxel") for path in chosen) for name in _REPEATS}, split)


def _region_of(path: Path) -> Region:
    match = _REGION_FILE.fullmatch(path.stem)
    assert match is not None
    return Region(match[2], _HEMISPHERES[match[1]])


def _order(path: Path) -> tuple[int, str, str]:
    """Return the sort key of a file: small regions first, so that they are the main region of shared voxels."""
    region = _region_of(path)
    return _KNOWN.counts.get(region.name, (_UNKNOWN, _UNKNOWN))[0], region.name, region.hemisphere


def _choose_regions(folder: Path, files: Sequence[BetaFile]) -> VoxelChoice:
    regions = [_region_of(file.path) for file in files]
    choice = choose_regions([replace(each, name="") if each.name == "WB" else each for each in regions], files)
    counts: dict[str, int] = {}
    hemispheres: dict[str, set[str]] = {}
    for region, file in zip(regions, files, strict=True):
        counts[region.name] = counts.get(region.name, 0) + open_betas(file).shape[2]
        hemispheres.setdefault(region.name, set()).add(region.hemisphere)
    halves = [
        f"{name} ({', '.join(sides)})" for name, sides in hemispheres.items() if len(sides) == 1 and "" not in sides
    ]
    notes = [*_KNOWN.differences(counts, folder)]
    if halves:
        what = f"has one hemisphere only of {', '.join(halves)}"
        notes.append(DataProblem(str(folder), what, "it is used alone; download the other file", fatal=False))
    return replace(choice, notes=tuple(notes))
