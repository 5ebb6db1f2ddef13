"""Videos of a system that was run elsewhere: found in a folder, checked, and paired with held-out clips."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainables.config.trial import TrialConfig
from trainables.datasets import load_clips, load_presentations
from trainables.datasets.clip_names import same_spelling
from trainables.datasets.clips import clips_in, files
from trainables.datasets.errors import DataProblem, DataReport, some
from trainables.file_version import FileVersion, digest_of_file, version_of
from trainables.judging.pairing import (
    PairingError,
    System,
    find_videos,
    has_aspect_of,
    lasts_other_than,
)

_FIELD = "given.path"
_LISTED = 5
_HELD_OUT = ("validation", "test")


def given_files(config: TrialConfig) -> list[Path]:
    """Return the files of all videos in `given.path`. Raises `ValueError` if there is no such folder."""
    folder = _folder(config)
    if not folder.is_dir():
        raise ValueError(f"{_FIELD}: {folder}: there is no such folder")
    return [file for clip in clips_in(folder, arrays=True) for file in files(clip)]


def given_fingerprint(config: TrialConfig) -> dict[str, Any]:
    """Return the SHA-256 of each file, by its name in the folder: identity follows content, wherever the folder lies.

    Raises:
        ValueError: There is no such folder.
    """
    paths, folder = given_files(config), _folder(config)
    return {"videos": {same_spelling(str(path.relative_to(folder))): digest_of_file(path) for path in paths}}


def check_given(config: TrialConfig, *, subjects: Sequence[int] | None = None) -> DataReport:
    """Return what is wrong with the videos in `given.path`, before anything starts. Every video is read once.

    Videos of another size are resized, and longer ones are resampled, with a warning. Errors are: a clip that the study
    judges has no video; a video has fewer frames than the clips, another aspect ratio, or another duration than most;
    videos are numbered, but a test clip has no fMRI, so that the numbers have two meanings.

    Args:
        config: Names the folder, the data set and how many clips are judged.
        subjects: Those of the study; None: that of `config`. Which clips have fMRI may differ between subjects.
    """
    try:
        system, stimuli = find_given(config), load_clips(config.dataset)
        shown = load_presentations(config.dataset, stimuli)
        numbers = (config.voxels.subject,) if subjects is None else subjects
        splits = dict.fromkeys(tuple(shown.split_of(number, lag_tr=config.voxels.lag_tr)) for number in numbers)
        missing = [problem for split in splits for problem in _missing(config, system, stimuli.source, split)]
        for split in splits:
            _require_one_meaning(system, stimuli.source, shown.split, split)
    except ValueError as error:
        right = "a video is needed for each clip that is evaluated"
        return DataReport((DataProblem(_FIELD, str(error).removeprefix(f"{_FIELD}: "), right),))
    shape = stimuli.clips.shape
    return DataReport((*dict.fromkeys(missing), *_unlike(system, shape), *_converted(config, system, shape)))


def find_given(config: TrialConfig) -> System:
    """Return the videos in `given.path`. Raises `PairingError` if there is none, or one cannot be read."""
    folder = _folder(config)
    system = _found(folder, tuple((str(path), version_of(path)) for path in given_files(config)))
    if system.failures:
        broken = [f"{Path(failure.file).name}: {failure.reason}" for failure in system.failures]
        raise PairingError(f"{folder}: {some(broken, most=_LISTED, separator='; ')}")
    return system


def pair_given(system: System, names: Sequence[str], split: Sequence[str]) -> dict[int, str]:
    """Return the number of each held-out clip that has a video, validation clips first, to the name of the video.

    Videos have the names of clips (with or without the suffix of the clip's file) or, if all of them are whole numbers
    and none is a clip's name, count the test clips from 1.

    Raises:
        PairingError: No video belongs to a held-out clip, or a number is larger than that of test clips.
    """
    members = {name: [clip for clip, member in enumerate(split) if member == name] for name in _HELD_OUT}
    held_out = [clip for name in _HELD_OUT for clip in members[name]]
    named = {clip: name for clip in held_out for name in _spellings(names[clip]) if name in system.clips}
    if named:
        return named
    if not all(name.isdecimal() for name in system.clips):
        first = names[held_out[0]]
        raise PairingError(
            f"{system.folder}: no video has the name of a held-out clip; first here: {min(system.clips)}, first clip: "
            f"{first}; videos may also be numbered, from 1, in the order of the test clips"
        )
    numbers = {int(name): name for name in system.clips}
    if outside := sorted(number for number in numbers if not 1 <= number <= len(members["test"])):
        raise PairingError(f"{system.folder}: there are {len(members['test'])} test clips, but a video {outside[0]}")
    return {members["test"][number - 1]: numbers[number] for number in sorted(numbers)}


def _spellings(clip: str) -> tuple[str, str]:
    """Return how a video of `clip` may be named: without and with the suffix of the clip's file, which is preferred."""
    name = same_spelling(clip)
    return name.rpartition(".")[0], name


def _missing(config: TrialConfig, system: System, names: Sequence[str], split: Sequence[str]) -> Iterator[DataProblem]:
    """Yield which clips that are judged have no video. Raises `PairingError` as `pair_given`."""
    video_of = pair_given(system, names, split)
    counts = {"validation": config.generator.validation_clips, "test": config.generator.test_clips}
    for name, count in counts.items():
        wanted = [clip for clip, member in enumerate(split) if member == name][:count]
        missing = [names[clip] for clip in wanted if clip not in video_of]
        if missing:
            listed = some(missing, most=_LISTED)
            what = f"{config.given.path}: {len(missing)} of {len(wanted)} {name} clips have no video: {listed}"
            yield DataProblem(_FIELD, what, f"add them, or evaluate fewer clips (generator.{name}_clips)")


def _require_one_meaning(system: System, names: Sequence[str], split: Sequence[str], judged: Sequence[str]) -> None:
    """Refuse numbered videos if test clips are left out for want of fMRI: do the numbers count these?

    Raises:
        PairingError: They are numbered, and `split` has test clips that `judged` has not.
    """
    dropped = [clip for clip, (name, kept) in enumerate(zip(split, judged, strict=True)) if name == "test" != kept]
    paired = pair_given(system, names, judged)
    numbered = any(video not in _spellings(names[clip]) for clip, video in paired.items())
    if dropped and numbered:
        listed = some([names[clip] for clip in dropped], most=_LISTED)
        raise PairingError(
            f"{system.folder}: videos are numbered, but {len(dropped)} test clip(s) have no fMRI ({listed}), so a "
            "number can mean two clips; name the videos as the clips"
        )


def _unlike(system: System, shape: tuple[int, ...]) -> Iterator[DataProblem]:
    """Yield which videos cannot be made to fit the clips, [N, F, H, W, 3]."""
    _, frames, height, width, _ = shape
    short = [name for name, video in system.clips.items() if video.frames < frames]
    if short:
        right = "use clips with as many frames, so that all systems are evaluated alike"
        yield _listing(system, short, f"have fewer frames than the clips ({frames})", right)
    stretched = [name for name, video in system.clips.items() if not has_aspect_of(video.size, (height, width))]
    if stretched:
        right = "crop or pad them, since a stretched video shows other shapes"
        yield _listing(system, stretched, f"have another aspect ratio than the clips ({height}x{width})", right)
    usual = Counter(video.seconds for video in system.clips.values() if video.seconds is not None).most_common(1)
    for seconds, _ in usual:
        odd = [name for name, video in system.clips.items() if lasts_other_than(video.seconds, seconds)]
        if odd:
            right = "give all the frame rate and duration of the clips"
            yield _listing(system, odd, f"last longer or shorter than most ({seconds:.2f} s)", right)


def _listing(system: System, videos: Sequence[str], what: str, right: str) -> DataProblem:
    listed = some(sorted(videos), most=_LISTED)
    return DataProblem(_FIELD, f"{system.folder}: {len(videos)} video(s) {what}: {listed}", right)


def _converted(config: TrialConfig, system: System, shape: tuple[int, ...]) -> Iterator[DataProblem]:
    """Yield a warning if videos are resized or resampled."""
    _, frames, height, width, _ = shape
    side = config.evaluate.resolution
    size = (side, side) if side is not None else (height, width)
    others = [name for name, video in system.clips.items() if (video.size, video.frames) != (size, frames)]
    if others:
        what = f"{len(others)} video(s) have another size or frame count than {size[0]}x{size[1]}, {frames} frames"
        right = "they are resized; evaluate.resolution sets the size of all"
        yield DataProblem(_FIELD, what, right, fatal=False)


def _folder(config: TrialConfig) -> Path:
    if config.given.path is None:
        raise ValueError(f"{_FIELD}: is missing; system: given needs the folder of the videos")
    return Path(config.given.path)


@lru_cache(maxsize=8)
def _found(folder: Path, states: tuple[tuple[str, FileVersion], ...]) -> System:
    """Read the videos once per version of the folder: every condition asks for them."""
    return find_videos("given", folder)
