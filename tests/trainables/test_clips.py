"""Clips as cameras, editors and other disks leave them: times, rotation, truncation, pixels and file names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.trainables.video_files import (
    TURNS,
    Clip,
    blocks,
    hide_first,
    keep_share,
    noise,
    turn,
    write_sound,
    write_video,
)
from trainables.datasets.clips import clips_in, read_clip
from trainables.datasets.errors import ClipError
from trainables.datasets.video_io import read_video


def write_gif(path: Path, frames: Clip, milliseconds: Sequence[int]) -> Path:
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(milliseconds), loop=0)
    return path


def write_png(path: Path, frames: Sequence[Image.Image]) -> Path:
    path.mkdir()
    for index, frame in enumerate(frames):
        frame.save(path / f"{index}.png")
    return path


def greys(clip: Clip) -> list[int]:
    """The brightness of each frame; `ramp` makes them differ."""
    return [round(float(frame.mean()) / 10) for frame in clip]


def ramp(count: int) -> Clip:
    return np.stack([np.full((32, 48, 3), 10 * index, np.uint8) for index in range(count)])


@pytest.mark.parametrize(
    "milliseconds",
    [[120, 130] * 8, [120] * 7 + [130] * 9, [30, 30, 40] * 5 + [30], [20, 10, 20] * 5 + [20]],
    ids=["8 per second", "rounded late", "30 per second", "60 per second"],
)
def test_times_that_differ_by_rounding_are_one_rate(tmp_path: Path, milliseconds: list[int]) -> None:
    video = read_video(write_gif(tmp_path / "a.gif", ramp(16), milliseconds))
    assert greys(video.frames) == list(range(16))
    assert video.seconds == pytest.approx(sum(milliseconds) / 1000)


@pytest.mark.parametrize("usual", [40, 100, 125])
def test_a_pause_at_the_end_of_a_gif_repeats_no_frame(tmp_path: Path, usual: int) -> None:
    video = read_video(write_gif(tmp_path / "a.gif", ramp(16), [usual] * 15 + [3000]))
    assert greys(video.frames) == list(range(16))
    assert video.seconds == pytest.approx(16 * (usual // 10 * 10) / 1000)


def test_merged_frames_of_rounded_times_are_there_again(tmp_path: Path) -> None:
    """125 ms is no multiple of a hundredth: three merged frames last 370 or 380 ms."""
    video = read_video(write_gif(tmp_path / "a.gif", ramp(5), [120, 370, 130, 250, 380]))
    assert greys(video.frames) == [0, 1, 1, 1, 2, 3, 3, 4, 4, 4]


def test_merged_frames_have_a_common_length_even_if_none_is_single(tmp_path: Path) -> None:
    video = read_video(write_gif(tmp_path / "a.gif", ramp(4), [200, 300, 200, 300]))
    assert greys(video.frames) == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_follows_the_frames_own_times(tmp_path: Path, suffix: str) -> None:
    """One frame for 1.8 s, seven in the last .2 s."""
    times = [0, *(1800 + 28 * index for index in range(7))]
    path = write_video(tmp_path / f"a{suffix}", ramp(8), rate=35, milliseconds=times)
    assert greys(read_clip(path, frames=9, resolution=32)) == [0] * 8 + [7]
    video = read_video(path)
    assert greys(video.frames).count(0) / len(video.frames) == pytest.approx(1800 / 1996, abs=0.01)
    assert sorted(set(greys(video.frames))) == list(range(8))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_jitter_of_a_camera_is_one_rate(tmp_path: Path, suffix: str) -> None:
    times = [0, 31, 68, 99, 135, 166, 201, 232]
    video = read_video(write_video(tmp_path / f"a{suffix}", ramp(8), rate=30, milliseconds=times))
    assert greys(video.frames) == list(range(8))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".mov"])
def test_every_container_gives_all_frames_and_its_length(tmp_path: Path, suffix: str) -> None:
    video = read_video(write_video(tmp_path / f"a{suffix}", ramp(16)))
    assert greys(video.frames) == list(range(16))
    assert video.seconds == pytest.approx(2)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".mp4"])
def test_truncated_containers_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = keep_share(write_video(tmp_path / f"a{suffix}", noise(40)), share)
    for read in (read_video, lambda path: read_clip(path, frames=4, resolution=32)):
        with pytest.raises(ClipError, match=r"truncated or damaged|cannot be decoded"):
            read(path)


def test_how_much_is_missing_is_told(tmp_path: Path) -> None:
    path = keep_share(write_video(tmp_path / "a.webm", noise(40)), 0.3)
    with pytest.raises(ClipError, match=r"3\.\d\d s of 5\.00 s are missing after 1\d frame\(s\): truncated"):
        read_video(path)


def test_a_video_whose_edit_list_hides_frames_is_sound(tmp_path: Path) -> None:
    video = read_video(hide_first(write_video(tmp_path / "a.mp4", ramp(16)), 4))
    assert greys(video.frames) == list(range(4, 16))
    assert video.seconds == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("way", "upright"),
    [
        ("right", lambda clip: np.rot90(clip, -1, axes=(1, 2))),
        ("left", lambda clip: np.rot90(clip, 1, axes=(1, 2))),
        ("upside down", lambda clip: clip[:, ::-1, ::-1]),
        ("mirrored", lambda clip: clip[:, :, ::-1]),
    ],
)
def test_videos_are_turned_upright(tmp_path: Path, way: str, upright: Callable[[Clip], Clip]) -> None:
    plain = read_video(write_video(tmp_path / "a.mp4", blocks(4))).frames
    turned = read_video(turn(tmp_path / "a.mp4", TURNS[way])).frames
    np.testing.assert_array_equal(turned, upright(plain))


def test_a_video_at_an_angle_is_refused(tmp_path: Path) -> None:
    path = turn(write_video(tmp_path / "a.mp4", blocks(4)), (0.8, 0.6, -0.6, 0.8))
    with pytest.raises(ClipError, match="only right angles"):
        read_video(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="has no video stream: sound only"):
        read_video(write_sound(tmp_path / "a.mp4"))


def test_16_bit_grey_is_scaled(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    folder = write_png(tmp_path / "a", [Image.fromarray(levels), Image.fromarray(levels[::-1].copy())])
    frames = read_video(folder).frames
    assert np.abs(frames[0].astype(int) - levels[..., None] / 257).max() <= 1
    assert np.abs(read_clip(folder, frames=2, resolution=32)[1].astype(int) - levels[::-1, :, None] / 257).max() <= 1


def test_transparent_pixels_are_refused_by_every_reader(tmp_path: Path) -> None:
    magenta = Image.new("RGBA", (32, 32), (255, 0, 255, 0))
    folder = write_png(tmp_path / "a", [Image.new("RGBA", (32, 32), "red"), magenta])
    grey = write_png(tmp_path / "b", [Image.fromarray(np.full((32, 32), 700, np.uint16))] * 2)
    for file in grey.iterdir():
        Image.open(file).save(file, transparency=700)
    for read in (read_video, lambda path: read_clip(path, frames=2, resolution=32)):
        with pytest.raises(ClipError, match="frame 1 has transparent pixels; put it on a background first"):
            read(folder)
        with pytest.raises(ClipError, match="frame 0 has transparent pixels"):
            read(grey)


def test_frames_of_different_sizes_are_refused_by_every_reader(tmp_path: Path) -> None:
    folder = write_png(tmp_path / "a", [Image.new("RGB", (32, 32)), Image.new("RGB", (32, 16))])
    for read in (read_video, lambda path: read_clip(path, frames=2, resolution=32)):
        with pytest.raises(ClipError, match=r"its frames differ in size: \[\(16, 32\), \(32, 32\)\] \(frame 1\)"):
            read(folder)


def test_pictures_follow_their_orientation_tag(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right
    picture = Image.fromarray(blocks(1)[0])
    (tmp_path / "a").mkdir()
    for index in range(2):
        picture.save(tmp_path / "a" / f"{index}.png", exif=exif, pnginfo=PngImagePlugin.PngInfo())
    np.testing.assert_array_equal(read_video(tmp_path / "a").frames[0], np.rot90(blocks(1)[0], -1))


def test_hidden_files_are_no_frames_and_suffixes_may_be_large(tmp_path: Path) -> None:
    folder = write_png(tmp_path / "a", [Image.fromarray(frame) for frame in ramp(4)])
    (folder / "2.png").rename(folder / "2.PNG")
    (folder / "._0.png").write_bytes(b"of macOS")
    assert greys(read_video(folder).frames) == [0, 1, 2, 3]
    assert greys(read_clip(folder, frames=4, resolution=32)) == [0, 1, 2, 3]


def test_a_folder_of_hidden_files_is_no_clip(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "._0.png").write_bytes(b"of macOS")
    (tmp_path / "._b.gif").write_bytes(b"of macOS")
    write_gif(tmp_path / "c.GIF", ramp(2), [100, 100])
    assert [path.name for path in clips_in(tmp_path)] == ["c.GIF"]


def test_names_that_differ_in_zeros_are_in_one_order(tmp_path: Path) -> None:
    for name in ("clip00", "clip0", "clip1"):
        write_png(tmp_path / name, [Image.new("RGB", (8, 8))])
    assert [path.name for path in clips_in(tmp_path)] == ["clip0", "clip00", "clip1"]
