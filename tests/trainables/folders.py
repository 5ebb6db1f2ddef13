"""A folder of clips, captions and fMRI, and damages of it."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables import datasets
from trainables.config.trial import TrialConfig, resolve

Clip = NDArray[np.uint8]


def moving(seed: int, frames: int = 6, side: int = 40) -> Clip:
    """Noise that moves to the right, uint8 RGB."""
    still = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    still = np.kron(still, np.ones((side // 5, side // 5, 1), np.uint8))
    return np.stack([np.roll(still, 2 * frame, axis=1) for frame in range(frames)])


def write_gif(path: Path, clip: Clip) -> None:
    pictures = [Image.fromarray(frame) for frame in clip]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, loop=0)


def write_png(path: Path, clip: Clip) -> None:
    path.mkdir()
    for index, frame in enumerate(clip):
        Image.fromarray(frame).save(path / f"{index}.png")


def write_mp4(path: Path, clip: Clip) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_folder(root: Path) -> Path:
    """Write twelve GIFs, their captions in order, and fMRI of two subjects; return the folder."""
    (root / "clips").mkdir(parents=True)
    for index in range(12):
        write_gif(root / "clips" / f"clip{index}.gif", moving(index))
    (root / "captions.json").write_text(json.dumps([f"a thing number {index}" for index in range(12)]))
    np.save(root / "fmri.npy", np.random.default_rng(0).normal(size=(2, 12, 70)).astype(np.float32))
    return root


def config(root: Path, **overrides: Any) -> TrialConfig:
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return resolve({"dataset.kind": "folder", "dataset.path": str(root), "dataset.resolution": 32, **named})


def report(root: Path, **overrides: Any) -> str:
    return str(datasets.check(config(root, **overrides)))


def damage(root: Path, kind: str) -> None:
    damage_clips(root / "clips", kind)
    damage_captions(root, kind)
    damage_fmri(root / "fmri.npy", kind)


def damage_clips(clips: Path, kind: str) -> None:
    match kind:
        case "truncated gif":
            content = (clips / "clip4.gif").read_bytes()
            (clips / "clip4.gif").write_bytes(content[: len(content) // 2])
        case "corrupt gif":
            (clips / "clip4.gif").write_bytes(b"no picture at all;")
        case "corrupt mp4":
            (clips / "clip4.gif").rename(clips / "clip4.mp4")
        case "truncated mp4":
            (clips / "clip4.gif").unlink()
            write_mp4(clips / "clip4.mp4", moving(4, frames=20))
            content = (clips / "clip4.mp4").read_bytes()
            (clips / "clip4.mp4").write_bytes(content[: len(content) // 2])
        case "broken png":
            (clips / "clip4.gif").unlink()
            write_png(clips / "clip4", moving(4))
            (clips / "clip4" / "3.png").write_bytes((clips / "clip4" / "3.png").read_bytes()[:60])
        case "one frame":
            Image.fromarray(moving(4)[0]).save(clips / "clip4.gif")


def damage_captions(root: Path, kind: str) -> None:
    captions = [f"thing {index}" for index in range(12)]
    match kind:
        case "fewer captions":
            (root / "captions.json").write_text(json.dumps(captions[:-1]))
        case "caption without clip":
            named = {f"clip{index}": text for index, text in enumerate(captions)}
            (root / "captions.json").write_text(json.dumps(named | {"clip99": "what?"}))
        case "clip without caption":
            (root / "captions.json").write_text(json.dumps({f"clip{index}": "thing" for index in range(11)}))
        case "empty caption":
            (root / "captions.json").write_text(json.dumps([*captions[:-1], "  "]))
        case "no captions":
            (root / "captions.json").unlink()
        case "bad json":
            (root / "captions.json").write_text('["a", ')
        case "caption twice":
            (root / "captions.json").write_text('{"clip1": "a", "clip1": "b"}')


def damage_fmri(file: Path, kind: str) -> None:
    fmri = np.load(file)
    match kind:
        case "fewer rows":
            np.save(file, fmri[:, :-2])
        case "no fmri":
            file.unlink()
        case "pickled fmri":
            np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        case "flat fmri":
            np.save(file, fmri[0, :, 0])
        case "nan":
            fmri[1, 3, 7] = np.nan
            np.save(file, fmri)
        case "infinite":
            fmri[0, 2, 5] = -np.inf
            np.save(file, fmri)
        case "all constant":
            fmri[0] = 1.0
            np.save(file, fmri)
        case "same subject twice":
            fmri[1] = fmri[0]
            np.save(file, fmri)


BAD = {
    "truncated gif": ["clip4.gif", "ends before its trailer"],
    "corrupt gif": ["clip4.gif", "cannot be decoded"],
    "corrupt mp4": ["clip4.mp4", "cannot be decoded after 0 frame"],
    "truncated mp4": ["clip4.mp4", "cannot be decoded"],
    "broken png": ["clips/clip4", "cannot be decoded after 3 frame"],
    "one frame": ["clip4.gif", "1 frame.*at least two"],
    "fewer captions": ["captions.json", "11 captions for 12 clips"],
    "caption without clip": ["captions.json", "not there: 'clip99'"],
    "clip without caption": ["captions.json", "no caption for 'clip11.gif'"],
    "empty caption": ["captions.json", "'clip11.gif'.*at least one word"],
    "no captions": ["captions.json", "no such file.*csv"],
    "bad json": ["captions.json", "cannot be read.*line 1"],
    "caption twice": ["captions.json", "two captions for 'clip1'"],
    "fewer rows": ["fmri.npy", "10 rows for 12 clips"],
    "no fmri": ["fmri.npy", "no such file.*simulate"],
    "pickled fmri": ["fmri.npy", "cannot be read.*npy"],
    "flat fmri": ["fmri.npy", r"shape \[12\].*\[clips, voxels\]"],
    "nan": ["fmri.npy, subject 1", "row 3, column 7"],
    "infinite": ["fmri.npy, subject 0", "row 2, column 5"],
    "all constant": ["fmri.npy, subject 0", "every voxel is constant"],
    "same subject twice": ["fmri.npy", "subjects 0 and 1 hold the same values"],
}
