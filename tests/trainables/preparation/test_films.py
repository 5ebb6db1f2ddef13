from pathlib import Path

import numpy as np
import pytest

from tests.fakes.films import clip_frames, write_film
from trainables.datasets.errors import ClipError
from trainables.preparation.files import InputError
from trainables.preparation.films import FilmPicture, open_film, read_from_film

PICTURE = FilmPicture(frames=4, side=48, fit="crop")
SPEEDS = [0.0, 1.0, 4.0, 2.0, 3.0]


@pytest.mark.parametrize("fps", [24, 25, 30])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_each_clip_shows_its_own_frames(tmp_path: Path, fps: int, suffix: str) -> None:
    film = open_film(write_film(tmp_path / f"film{suffix}", SPEEDS, fps=fps))
    assert film.seconds == pytest.approx(10, abs=0.1)
    assert film.fps == pytest.approx(fps)
    for clip in (3, 0, 4, 1):  # in any order
        frames = read_from_film(film, 2.0 * clip, 2.0 * clip + 2, PICTURE)
        chosen = np.linspace(0, 2 * fps - 1, 4).round().astype(int)
        expected = clip_frames(clip, SPEEDS[clip], 2 * fps, (48, 64))[chosen][:, :, 8:56]
        assert frames.shape == (4, 48, 48, 3)
        assert np.abs(frames.astype(float) - expected).mean() < 12  # lossy coding; a neighbour differs by more
        others = clip_frames((clip + 1) % 5, SPEEDS[(clip + 1) % 5], 2 * fps, (48, 64))[chosen][:, :, 8:56]
        assert np.abs(frames.astype(float) - others).mean() > 15


def test_bad_films_are_refused(tmp_path: Path) -> None:
    film = open_film(write_film(tmp_path / "film.mp4", SPEEDS))
    with pytest.raises(ClipError, match=r"0 of 60 frames from 10 to 12 s: it ends before or is damaged"):
        read_from_film(film, 10.0, 12.0, PICTURE)
    (tmp_path / "text.mp4").write_text("no film" * 300)
    with pytest.raises(InputError, match=r"text\.mp4: cannot be read"):
        open_film(tmp_path / "text.mp4")
    (tmp_path / "film.ogv").write_bytes(b"x" * 2000)
    with pytest.raises(InputError, match=r"ends in '\.ogv'; a film must be \.mp4"):
        open_film(tmp_path / "film.ogv")
