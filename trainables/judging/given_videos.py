"""Videos of a system that was run elsewhere: found in a folder, checked, and paired with held-out clips."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainables.config.data import AnyDataset, PhantomWorld
from trainables.config.trial import TrialConfig
from trainables.datasets import load_brains, load_clips
from trainables.datasets.clip_names import same_spelling
from trainables.datasets.clips import clips_in, files
from trainables.datasets.errors import DataProblem, DataReport, some
from trainables.file_version import FileVersion, digest_of_file, version_of
from trainables.judging.pairing import PairingError, System, find_videos

FIELD = "given.path"
_LISTED = 5
_HELD_OUT = ("validation", "test")


def given_files(config: TrialConfig) -> list[Path]:
    """Return the files of all videos in `given.path`. Raises `ValueError` if there is no such folder."""
    folder = _folder(config)
    if not folder.is_dir():
        raise ValueError(f"{FIELD}: {folder}: there is no such folder")
    return [file for clip in clips_in(folder, arrays=True) for file in files(clip)]


def given_fingerprint(config: TrialConfig) -> dict[str, Any]:
    """Return the SHA-256 of each file, by its name in the folder: identity follows content, wherever the folder lies.

    Raises:
        ValueError: There is no such folder.
    """
    paths, folder = given_files(config), _folder(config)
    return {"videos": {same_spelling(str(path.relative_to(folder))): digest_of_file(path) for path in paths}}


def check_given(config: TrialConfig) -> DataReport:
    """Return what is wrong with the videos in `given.path`, before anything starts. Every video is read once.

    Videos of another size are resized, and longer ones are resampled, with a warning. Videos with fewer frames than the
    clips are errors, and so are missing videos.
    """
    try:
        system = find_given(config)
        names, split = _names_and_split(config.dataset)
        video_of = pair_given(system, names, split)
    except ValueError as error:
        return DataReport(
            (
                DataProblem(
                    FIELD, str(error).removeprefix(f"{FIELD}: "), "a video is needed for each clip that is evaluated"
                ),
            )
        )
    return DataReport((*_missing(config, video_of, names, split), *_misfits(config, system)))


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
    spellings = {clip: (same_spelling(names[clip]), same_spelling(names[clip]).rpartition(".")[0]) for clip in held_out}
    named = {clip: name for clip in held_out for name in spellings[clip][::-1] if name in system.clips}
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


def _missing(
    config: TrialConfig, video_of: Mapping[int, str], names: Sequence[str], split: Sequence[str]
) -> Iterator[DataProblem]:
    counts = {"validation": config.generator.validation_clips, "test": config.generator.test_clips}
    for name, count in counts.items():
        wanted = [clip for clip, member in enumerate(split) if member == name][:count]
        missing = [names[clip] for clip in wanted if clip not in video_of]
        if missing:
            listed = some(missing, most=_LISTED)
            what = f"{config.given.path}: {len(missing)} of {len(wanted)} {name} clips have no video: {listed}"
            yield DataProblem(FIELD, what, f"add them, or evaluate fewer clips (generator.{name}_clips)")


def _misfits(config: TrialConfig, system: System) -> Iterator[DataProblem]:
    _, frames, height, width, _ = load_clips(config.dataset).clips.shape
    short = sorted(name for name, video in system.clips.items() if video.frames < frames)
    if short:
        listed = some(short, most=_LISTED)
        what = f"{system.folder}: {len(short)} video(s) have fewer frames than the clips ({frames}): {listed}"
        yield DataProblem(FIELD, what, "use clips with as many frames, so that all systems are evaluated alike")
    side = config.evaluate.resolution
    size = (side, side) if side is not None else (height, width)
    others = [name for name, video in system.clips.items() if (video.size, video.frames) != (size, frames)]
    if others:
        what = f"{len(others)} video(s) have another size or frame count than {size[0]}x{size[1]}, {frames} frames"
        right = "they are resized; evaluate.resolution sets the size of all"
        yield DataProblem(FIELD, what, right, fatal=False)


def _names_and_split(dataset: AnyDataset) -> tuple[Sequence[str], Sequence[str]]:
    stimuli = load_clips(dataset)
    if isinstance(dataset, PhantomWorld):  # its split is known without its fMRI, which takes time to simulate
        counts = {"train": dataset.train_clips, "validation": dataset.validation_clips, "test": dataset.test_clips}
        return stimuli.source, [name for name, count in counts.items() for _ in range(count)]
    return stimuli.source, load_brains(dataset, stimuli).split


def _folder(config: TrialConfig) -> Path:
    if config.given.path is None:
        raise ValueError(f"{FIELD}: is missing; system: given needs the folder of the videos")
    return Path(config.given.path)


@lru_cache(maxsize=8)
def _found(folder: Path, states: tuple[tuple[str, FileVersion], ...]) -> System:
    """Read the videos once per version of the folder: every condition asks for them."""
    return find_videos("given", folder)
