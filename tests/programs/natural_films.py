"""FOLDER ATLAS VIDEO...: natural films that one of the phantom's brains watches, as CC2017 has them, prepared.

The films are a camera that moves over the photographs of scikit-image and scikit-learn, and parts of the videos given.
No photograph and no part of a video is in two of the training, validation and test clips. What is prepared lies in
FOLDER/as_cc2017.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from tests.fakes.phantom_study import DESIGN, FRAMES, SIDE, Study, watched, write_trees
from trainables.preparation import cc2017
from trainables.preparation.prepare import prepare

Picture = NDArray[np.uint8]
PHOTOGRAPHS: Mapping[str, Mapping[str, str]] = {
    "train": {
        "astronaut": "a woman in a space suit before a flag",
        "chelsea": "the face of a cat",
        "coffee": "a cup of coffee on a table",
        "rocket": "a rocket on its launch pad",
        "retina": "the back of an eye",
        "china": "a temple with a roof before the sky",
        "brick": "a brick wall",
        "grass": "grass on the ground",
        "coins": "old coins in rows",
        "cell": "a cell under a microscope",
        "ihc": "stained tissue under a microscope",
    },
    "validation": {
        "motorcycle_left": "a motorcycle in a garage",
        "gravel": "gravel on the ground",
        "moon": "craters of the moon",
    },
    "test": {
        "flower": "a flower between leaves",
        "camera": "a man with a camera on a lawn",
        "hubble_deep_field": "galaxies in the dark sky",
        "clock_motion": "a clock on a wall",
    },
}
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SPEEDS = {"slowly": 0.012, "fast": 0.036}
"""Of the camera, in sides of the frame per frame, as fast as things in the phantom move."""
VIDEO_SHARE = 0.2
"""Of the clips of a split that has a video."""
SPLIT_OF_VIDEO = ("train", "train", "validation", "test")


def photograph(name: str) -> Picture:
    """Return a photograph that a package brings, RGB."""
    if name in ("china", "flower"):
        return np.asarray(load_sample_image(f"{name}.jpg"), np.uint8)
    (file,) = (path for path in Path(skimage.data.__file__).parent.glob(f"{name}.*") if path.suffix in (".png", ".jpg"))
    found = cv2.imread(str(file))
    assert found is not None, file
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def moved(picture: Picture, rng: np.random.Generator) -> tuple[Picture, str]:
    """Return a clip of a camera that moves over `picture`, and what it does."""
    move, speed = rng.choice(list(MOVES)), rng.choice(list(SPEEDS))
    (across, down), step = MOVES[move], SPEEDS[speed]
    side = int(min(picture.shape[:2]) * rng.uniform(0.35, 0.6))
    way = step * side * (FRAMES - 1)
    high, wide = picture.shape[0] - side - abs(down) * way, picture.shape[1] - side - abs(across) * way
    top, left = rng.uniform(0, high) + way * (down < 0), rng.uniform(0, wide) + way * (across < 0)
    shifts = step * side * np.arange(FRAMES)
    frames = [_window(picture, left + across * shift, top + down * shift, side) for shift in shifts]
    return np.stack(frames), f"the camera moves {move} {speed}"


def _window(picture: Picture, left: float, top: float, side: int) -> Picture:
    middle = (left + side / 2 - 0.5, top + side / 2 - 0.5)
    cut = cv2.getRectSubPix(picture, (side, side), middle)
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def frames_of(video: Path) -> Picture:
    """Return the frames of a video for each quarter of a second, their middle square, scaled."""
    with av.open(str(video)) as container:
        kept, due = [], 0.0
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= due:
                kept.append(_middle(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
                due += 0.25
    return np.stack(kept)


def _middle(frame: Picture) -> Picture:
    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return np.asarray(
        cv2.resize(frame[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )


def clips_of(split: str, videos: Sequence[Path], count: int, rng: np.random.Generator) -> Iterator[tuple[Picture, str]]:
    """Yield `count` clips with captions, in random order."""
    films = [(frames_of(video), f"a film of {video.stem.split('_')[0]}") for video in videos]
    stills = [(photograph(name), text) for name, text in PHOTOGRAPHS[split].items()]
    for _ in range(count):
        if films and rng.random() < VIDEO_SHARE:
            frames, text = films[rng.integers(len(films))]
            start = rng.integers(len(frames) - FRAMES + 1)
            yield frames[start : start + FRAMES], text
        else:
            picture, text = stills[rng.integers(len(stills))]
            clip, motion = moved(picture, rng)
            yield clip, f"{text}, {motion}"


def natural_study(atlas: Path, videos: Sequence[Path]) -> Study:
    """Return a study of CC2017's form with natural films; the videos go to the splits of `SPLIT_OF_VIDEO`."""
    rng = np.random.default_rng(0)
    made: list[tuple[Picture, str]] = []
    for segment in DESIGN.segments:
        split = DESIGN.split_of(segment)
        films = [video for video, of in zip(videos, SPLIT_OF_VIDEO, strict=False) if of == split]
        made += clips_of(split, films, DESIGN.clips, rng)
    frames, captions = np.stack([clip for clip, _ in made]), [caption for _, caption in made]
    return watched(frames, captions, atlas=atlas, design=DESIGN, voxels=900, noise=0.5)


if __name__ == "__main__":
    folder, atlas, *videos = (Path(argument).absolute() for argument in sys.argv[1:])
    study = natural_study(atlas, videos)
    write_trees(study, folder)
    size = {"frames": FRAMES, "resolution": SIDE}
    settings = cc2017.Settings(folder=folder / "cc2017", captions=(folder / "captions.json",), atlas=atlas, **size)
    prepare(cc2017.open_source(settings, design=study.design), settings, folder / "as_cc2017")
    print(json.dumps({"clips": len(study.captions), "captions": len(set(study.captions.values()))}))
