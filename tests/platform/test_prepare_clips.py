import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from platform import prepare
from tests.trainables import video_files
from tests.trainables.video_files import TURNS, Clip, blocks, keep_share, noise, turn, write_sound
from trainables import datasets
from trainables.config.trial import resolve
from trainables.datasets.phantom import stimuli
from trainables.datasets.video_io import read_video
from trainables.preparation.cut_videos import describe_motion


def main(arguments: Sequence[str]) -> int:
    return prepare.main(["clips", *arguments])


def write_video(path: Path, *, seconds: float, rate: int = 12, still: bool = False) -> None:
    """A bright square that runs to the right, once around in three seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(round(seconds * rate)):
            frame = np.full((64, 96, 3), (20, 30, 90), np.uint8)
            left = 0 if still else index * 96 // (3 * rate) % 76
            frame[22:42, left : left + 20] = (240, 220, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def test_a_video_becomes_a_folder_that_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "square.mp4", seconds=13)
    out = tmp_path / "mine"
    assert main([str(tmp_path / "square.mp4"), "--out", str(out), "--seconds", "2"]) == 0
    assert "6 clips" in capsys.readouterr().out
    captions = json.loads((out / "captions.json").read_text())
    assert list(captions) == [f"00_square_{index:04d}" for index in range(6)]
    assert all(text.startswith("square, dark blue, moving") for text in captions.values())
    config = resolve({"dataset.kind": "folder", "dataset.path": str(out), "dataset.simulate": True})
    assert not datasets.check(config).errors
    first = datasets.load(config.dataset).stimuli.clips[:1][0].astype(int)
    centres = [np.nonzero(frame[..., 0] > 150)[1].mean() for frame in first]
    np.testing.assert_allclose(np.diff(centres), 64 / 3 * 0.25, atol=1.5)  # a quarter of a second from frame to frame


def test_words_tell_the_direction_of_the_phantoms_objects() -> None:
    factors = stimuli.sample_factors(np.random.default_rng(0), 40)
    names = list(stimuli.DIRECTIONS)
    told = [describe_motion(clip) for clip in stimuli.render(factors)]
    right = [text.endswith(f"moving {names[way]}") for text, way in zip(told, factors.direction, strict=True)]
    assert np.mean(right) > 0.9
    assert describe_motion(np.zeros((8, 64, 64, 3), np.uint8)) == "dark grey, still"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.mp4", "cannot be read"),
        ("broken.mp4", "cannot be read"),
        ("text.txt", "must end in .mp4"),
        ("short.mp4", "no video has a clip"),
        ("still.avi", "no video has a clip"),
        ("lavfi:no_such_source", "cannot be read"),
        ("sound.mp4", "has no video stream: sound only"),
        ("truncated.mkv", "truncated or damaged"),
    ],
)
def test_bad_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, told: str) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nothing" * 100)
    write_video(tmp_path / "short.mp4", seconds=1)
    write_video(tmp_path / "still.avi", seconds=5, still=True)
    write_video(tmp_path / "good.mp4", seconds=5)
    write_sound(tmp_path / "sound.mp4")
    keep_share(video_files.write_video(tmp_path / "truncated.mkv", noise(40)), 0.6)
    video = name if name.startswith("lavfi:") else str(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    assert main([video, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    if told == "cannot be read":
        assert main([str(tmp_path / "good.mp4"), video, "--out", str(tmp_path / "out")]) == 2
        assert sorted(tmp_path.iterdir()) == before, "what was cut before the mistake is gone"


def only_clip(out: Path) -> Clip:
    (folder,) = (out / "clips").iterdir()
    return read_video(folder).frames


def test_a_turned_video_is_cut_upright(tmp_path: Path) -> None:
    video = turn(video_files.write_video(tmp_path / "a.mp4", blocks(8, width=32)), TURNS["right"])
    assert main([str(video), "--out", str(tmp_path / "out"), "--seconds", "1", "--resolution", "32"]) == 0
    np.testing.assert_array_equal(only_clip(tmp_path / "out"), read_video(video).frames)


def test_frames_are_what_is_shown_at_their_time(tmp_path: Path) -> None:
    """One frame for 1.8 s, seven in the last .2 s."""
    frames = np.stack([np.full((32, 32, 3), 10 * index, np.uint8) for index in range(8)])
    times = [0, *(1800 + 28 * index for index in range(7))]
    video = video_files.write_video(tmp_path / "a.mkv", frames, rate=35, milliseconds=times)
    assert (
        main([str(video), "--out", str(tmp_path / "out"), "--seconds", "1.99", "--resolution", "32", "--frames", "16"])
        == 0
    )
    clip = only_clip(tmp_path / "out")
    assert [round(float(frame.mean()) / 10) for frame in clip] == [0] * 15 + [3]


def test_a_video_is_named_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "sub=01").mkdir()
    write_video(tmp_path / "sub=01" / "walking dog.mp4", seconds=2)
    assert main([str(tmp_path / "sub=01" / "walking dog.mp4"), "--out", str(tmp_path / "out")]) == 0
    assert list(json.loads((tmp_path / "out" / "captions.json").read_text())) == ["00_walking dog_0000"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--seconds", "0"), ("--seconds", "inf"), ("--frames", "1"), ("--resolution", "9"), ("--most", "x")],
)
def test_options_out_of_range_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert main(["a.mp4", "--out", str(tmp_path / "out"), option, value]) == 2
    assert f"{option}: " in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "square.mp4", seconds=5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    assert main([str(tmp_path / "square.mp4"), "--out", str(tmp_path / "out")]) == 2
    assert "new or empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_patterns_that_ffmpeg_draws(tmp_path: Path) -> None:
    source = "lavfi:testsrc2=size=64x64:rate=4"
    assert main([source, "--out", str(tmp_path / "out"), "--most", "3", "--frames", "4", "--resolution", "32"]) == 0
    assert len(list((tmp_path / "out" / "clips").iterdir())) == 3
    assert len(list((tmp_path / "out" / "clips" / "00_testsrc2_0000").iterdir())) == 4
