"""Reading videos of every kind, cutting truth from reconstruction, and what cannot be read."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainables.datasets.clips import clips_in
from trainables.datasets.errors import ClipError
from trainables.datasets.video_io import is_black, read_video, resample, split_pair

Clip = NDArray[np.uint8]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clips"


def clip(seed: int = 0, *, frames: int = 6, height: int = 32, width: int = 32) -> Clip:
    """Flat blocks of few colours, which a GIF keeps exactly."""
    blocks = np.random.default_rng(seed).integers(0, 6, (frames, height // 8, width // 8, 3)) * 51
    return blocks.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


def write_gif(path: Path, frames: Clip, *, duration: int = 250) -> Path:
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0)
    return path


def write_mp4(path: Path, frames: Clip, *, rate: int = 4) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_png(path: Path, frames: NDArray[np.uint8]) -> Path:
    path.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"{index}.png")
    return path


def write_npy(path: Path, array: NDArray[np.generic]) -> Path:
    np.save(path, array, allow_pickle=False)
    return path


def grid(truth: Clip, prediction: Clip, padding: int) -> Clip:
    """What torchvision's make_grid draws of two frames."""
    frames, height, width, _ = truth.shape
    canvas = np.zeros((frames, height + 2 * padding, 2 * width + 3 * padding, 3), np.uint8)
    canvas[:, padding:-padding, padding : padding + width] = truth
    canvas[:, padding:-padding, 2 * padding + width : -padding] = prediction
    return canvas


@pytest.mark.parametrize(
    ("name", "write", "tolerance", "seconds"),
    [
        ("a.gif", write_gif, 0, 1.5),
        ("a.mp4", write_mp4, 12, 1.5),
        ("a", write_png, 0, None),
        ("a.npy", write_npy, 0, None),
    ],
)
def test_every_format_gives_its_frames_and_length(
    tmp_path: Path, name: str, write: Callable[[Path, Clip], Path], tolerance: int, seconds: float | None
) -> None:
    video = read_video(write(tmp_path / name, clip()))
    assert video.frames.shape == clip().shape
    assert np.abs(video.frames.astype(int) - clip()).max() <= tolerance
    assert video.seconds == pytest.approx(seconds)


def test_floats_from_0_to_1_are_pixels(tmp_path: Path) -> None:
    assert (read_video(write_npy(tmp_path / "a.npy", clip() / 255)).frames == clip()).all()


def test_more_than_ten_png_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = clip(frames=12)
    assert (read_video(write_png(tmp_path / "a", frames)).frames == frames).all()


def test_equal_frames_that_the_gif_writer_merged_are_there_again(tmp_path: Path) -> None:
    frames = clip()
    frames[2] = frames[3] = frames[1]
    with Image.open(write_gif(tmp_path / "a.gif", frames)) as animation:
        assert getattr(animation, "n_frames", 0) == 4
    video = read_video(tmp_path / "a.gif")
    assert (video.frames == frames).all()
    assert video.seconds == pytest.approx(1.5)


def rgba(alpha: int) -> Clip:
    return np.concatenate([clip(), np.full((*clip().shape[:3], 1), alpha, np.uint8)], axis=-1)


def test_an_opaque_alpha_channel_is_no_obstacle(tmp_path: Path) -> None:
    assert (read_video(write_png(tmp_path / "a", rgba(255))).frames == clip()).all()


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="frame 0 has transparent pixels; put it on a background first"):
        read_video(write_png(tmp_path / "a", rgba(200)))


def cut(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.7)])
    return path


def test_truncated_and_corrupt_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="truncated"):
        read_video(cut(write_gif(tmp_path / "a.gif", clip(frames=20))))
    with pytest.raises(ClipError, match=r"cannot be decoded|truncated"):
        read_video(
            cut(
                write_mp4(
                    tmp_path / "a.mp4", np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
                )
            )
        )
    for name in ("b.gif", "b.mp4", "b.npy"):
        (tmp_path / name).write_bytes(b"no video;")
        with pytest.raises(ClipError, match="cannot be decoded"):
            read_video(tmp_path / name)


def test_frames_that_last_unlike_times_are_refused(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in clip()]
    times = [10, 7010, 10, 7010, 10, 10]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=times)
    with pytest.raises(ClipError, match="last 10 to 7010 ms; an even frame rate is needed"):
        read_video(tmp_path / "a.gif")


def test_an_archive_under_the_name_of_an_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, clip=clip())
    with pytest.raises(ClipError, match="is an archive of arrays"):
        read_video(tmp_path / "a.npy")


def test_frames_of_different_sizes_are_refused(tmp_path: Path) -> None:
    folder = write_png(tmp_path / "a", clip())
    Image.fromarray(clip(height=16)[0]).save(folder / "3.png")
    with pytest.raises(ClipError, match=r"frames differ in size: \[\(16, 32\), \(32, 32\)\]"):
        read_video(folder)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((6, 3, 32, 32), np.uint8), r"holds uint8 \[6, 3, 32, 32\]; \[frames, height, width, 3\]"),
        (np.full((6, 32, 32, 3), 7.0), "outside 0 to 1, or NaN"),
        (np.full((6, 32, 32, 3), np.nan), "outside 0 to 1, or NaN"),
        (np.zeros((6, 32, 32, 3), np.int64), "holds int64"),
        (np.array([{"a": 1}]), "cannot be decoded"),
    ],
    ids=["channels first", "255", "NaN", "int64", "pickle"],
)
def test_arrays_that_are_no_video_are_refused(tmp_path: Path, array: NDArray[np.generic], message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ClipError, match=message):
        read_video(tmp_path / "a.npy")


def test_only_videos_are_found(tmp_path: Path) -> None:
    write_gif(tmp_path / "b.gif", clip())
    write_png(tmp_path / "a", clip())
    write_npy(tmp_path / "c.npy", clip())
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden.gif").touch()
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in clips_in(tmp_path, arrays=True)] == ["a", "b.gif", "c.npy"]


@pytest.mark.parametrize("padding", [1, 2, 3, 8])
@pytest.mark.parametrize("width", [32, 48])
def test_side_by_side_is_cut_exactly(padding: int, width: int) -> None:
    truth, prediction = clip(0, width=width), clip(1, width=width)
    truth, prediction = np.maximum(truth, 30), np.maximum(prediction, 30)
    halves = split_pair(grid(truth, prediction, padding))
    assert halves is not None
    assert (halves[0] == truth).all()
    assert (halves[1] == prediction).all()


def test_dark_edges_of_square_halves_do_not_pass_for_padding() -> None:
    truth, prediction = clip(0), clip(1)
    for half in (truth, prediction):
        half[:, :6] = half[:, -6:] = half[:, :, :6] = half[:, :, -6:] = 0
    halves = split_pair(grid(truth, prediction, 2))
    assert halves is not None
    assert halves[0].shape == truth.shape
    assert (halves[1] == prediction).all()


def test_a_black_reconstruction_beside_its_truth_is_cut() -> None:
    halves = split_pair(grid(np.maximum(clip(), 30), np.zeros_like(clip()), 2))
    assert halves is not None
    assert is_black(halves[1])


@pytest.mark.parametrize("width", [32, 48])
def test_a_border_with_specks_of_a_dithered_palette_is_cut_exactly(width: int) -> None:
    truth, prediction = np.maximum(clip(0, width=width), 60), np.maximum(clip(1, width=width), 60)
    frames = grid(truth, prediction, 2)
    border = np.argwhere((grid(np.ones_like(truth), np.ones_like(prediction), 2) == 0).all(axis=-1))
    specks = border[np.random.default_rng(0).choice(len(border), len(border) // 50, replace=False)]
    frames[tuple(specks.T)] = (26, 13, 9)
    halves = split_pair(frames)
    assert halves is not None
    assert (halves[0] == truth).all()
    assert (halves[1] == prediction).all()


def test_a_grid_that_was_dithered_to_a_small_palette_is_cut(tmp_path: Path) -> None:
    """Gradients, so that dithering spreads errors into the border."""
    ramp = np.linspace(60, 255, 32 * 48).reshape(32, 48, 1) * np.array([1.0, 0.7, 0.4])
    truth = np.stack([np.roll(ramp, 4 * index, axis=1) for index in range(6)]).astype(np.uint8)
    frames = grid(truth, truth[:, :, ::-1], 2)
    pictures = [Image.fromarray(frame).quantize(8, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    read = read_video(tmp_path / "a.gif").frames
    halves = split_pair(read)
    assert halves is not None
    assert (halves[0] == read[:, 2:34, 2:50]).all()


def test_a_dark_video_is_no_grid() -> None:
    """Its border is darker than its middle, but not black."""
    frames = np.full((4, 36, 70, 3), 5, np.uint8)
    frames[:, ::2, ::3] = 12
    frames[:, 10:20, 10:20] = 90
    assert split_pair(frames) is None


@pytest.mark.parametrize(
    "frames",
    [clip(), clip(height=32, width=64), np.zeros((2, 36, 70, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)],
    ids=["square", "wide", "black", "tiny"],
)
def test_what_is_not_side_by_side_stays_whole(frames: Clip) -> None:
    assert split_pair(frames) is None


def test_resampling_takes_frames_by_time_and_leaves_what_fits() -> None:
    frames = clip(frames=8)
    assert (resample(frames, frames=8, size=(32, 32)) == frames).all()
    assert (resample(frames, frames=4, size=(32, 32)) == frames[::2]).all()
    assert (resample(frames, frames=6, size=(32, 32)) == frames[[0, 1, 3, 4, 5, 7]]).all()


def test_resizing_averages_over_areas() -> None:
    frames = clip()
    blocks = frames.reshape(6, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    assert np.abs(resample(frames, frames=6, size=(16, 16)) - blocks).max() <= 1
    assert resample(frames, frames=6, size=(64, 48)).shape == (6, 64, 48, 3)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent")
@pytest.mark.parametrize(("folder", "size"), [("mindvideo", 256), ("mindanimator", 512)])
def test_published_grids_are_cut_where_their_padding_is(folder: str, size: int) -> None:
    for path in clips_in(SHARED / folder):
        frames = read_video(path).frames
        halves = split_pair(frames)
        assert halves is not None
        assert (halves[0] == frames[:, 2 : 2 + size, 2 : 2 + size]).all()
        assert (halves[1] == frames[:, 2 : 2 + size, 4 + size : 4 + 2 * size]).all()
        assert split_pair(halves[0]) is None
