"""Which reconstruction is judged against which truth."""

import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image

from tests.trainables.video_files import Clip, blocks
from trainables.judging.pairing import find_videos, pair_videos


def write(folder: Path, name: str, frames: Clip) -> None:
    (folder / name).mkdir(parents=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name / f"{index}.png")


def test_what_is_not_side_by_side_is_told_as_such(tmp_path: Path) -> None:
    pair = np.zeros((4, 36, 102, 3), np.uint8)
    pair[:, 2:-2, 2:50] = pair[:, 2:-2, 52:-2] = np.maximum(blocks(4), 30)
    write(tmp_path, "pair", pair)
    write(tmp_path, "single", np.maximum(blocks(4), 30))
    pairing = pair_videos([find_videos("ours", tmp_path)], None, size=None, frames=None)
    assert [(failure.clip, failure.reason) for failure in pairing.failures] == [
        (
            "single",
            "does not show truth and reconstruction side by side with black padding, and no other video has its truth",
        )
    ]


def test_accents_may_be_encoded_in_two_ways(tmp_path: Path) -> None:
    write(tmp_path / "truth", unicodedata.normalize("NFC", "caf\u00e9"), blocks(4))
    write(tmp_path / "ours", unicodedata.normalize("NFD", "caf\u00e9"), blocks(4))
    systems = [find_videos(name, tmp_path / name) for name in ("ours", "truth")]
    pairing = pair_videos(systems[:1], systems[1], size=None, frames=None)
    assert not pairing.failures
    assert set(pairing.systems[0].clips) == set(pairing.truths) == {"caf\u00e9"}
