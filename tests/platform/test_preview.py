import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platform.preview import main
from trainables.datasets.kinds import DATASET_KINDS

TINY = ["--set", "dataset.train_clips=12", "--set", "dataset.validation_clips=4", "--set", "dataset.test_clips=4"]


def write_folder(root: Path, *, clips: int = 4) -> None:
    rng = np.random.default_rng(0)
    for index in range(clips):
        frames = [Image.fromarray(frame) for frame in rng.integers(0, 256, (5, 40, 40), dtype=np.uint8)]
        frames[0].save(root / f"{index}.gif", save_all=True, append_images=frames[1:])
    (root / "captions.json").write_text(json.dumps([f"not maths: $_{index}^\\frac{{$" for index in range(clips)]))
    np.save(root / "fmri.npy", rng.normal(size=(clips, 30)))


def test_phantom_sheets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantom", "--out", str(tmp_path / "here"), "--clips", "4", *TINY]) == 0
    picture, motion = (Path(line) for line in capsys.readouterr().out.splitlines())
    assert (picture.name, motion.name) == ("phantom.png", "phantom.gif")
    with Image.open(picture) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    assert pixels.shape[0] > 800
    coloured = (pixels.max(-1) - pixels.min(-1) > 40).mean()
    assert coloured > 0.1, "clips and fMRI cover a good part of the sheet"
    with Image.open(motion) as moving:
        assert getattr(moving, "n_frames", 1) == 8
        assert moving.info["duration"] == 250
        first = np.asarray(moving.convert("RGB")).astype(int)
        moving.seek(7)
        assert np.abs(np.asarray(moving.convert("RGB")).astype(int) - first).mean() > 1


def test_every_kind_of_data_set_can_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["appearing", "--out", str(tmp_path), "--clips", "2", *TINY]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == ["appearing.png", "appearing.gif"]
    assert main(["bids"]) == 2
    assert "there is no bids" in (told := capsys.readouterr().err)
    assert all(kind in told for kind in DATASET_KINDS)


def test_same_config_gives_the_same_picture(tmp_path: Path) -> None:
    for name in "ab":
        main(["phantom", "--out", str(tmp_path / name), "--clips", "2", *TINY])
    assert (tmp_path / "a" / "phantom.png").read_bytes() == (tmp_path / "b" / "phantom.png").read_bytes()


def test_default_place_is_the_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    assert main(["folder", str(tmp_path), "--home", str(tmp_path / "home")]) == 0
    assert (tmp_path / "home" / "preview" / "folder.png").is_file()
    assert str(tmp_path / "home" / "preview" / "folder.gif") in capsys.readouterr().out


def test_folder_with_errors_tells_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    (tmp_path / "1.gif").write_bytes(b"nothing")
    np.save(tmp_path / "fmri.npy", np.ones((3, 5)))
    assert main(["folder", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert "1.gif" in told.err
    assert "3 rows for 4 clips" in told.err
    assert told.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("dataset.nois=1", "dataset.noise"),
        ("dataset.noise=-1", "dataset.noise: Input should|dataset.noise: must"),
        ("dataset.noise", "KEY=VALUE"),
        ("voxels.subject=9", "3 subject"),
    ],
)
def test_bad_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, told: str) -> None:
    assert main(["phantom", "--out", str(tmp_path / "out"), "--set", setting, *TINY]) == 2
    message = capsys.readouterr().err
    assert any(part in message for part in told.split("|"))
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["phantom", "--out", str(tmp_path / "file" / "out"), *TINY]) == 2
    assert "cannot be written" in capsys.readouterr().err
