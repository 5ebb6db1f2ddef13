"""Traps that every published data set may have, one by one, for every reader: each is named with what to do."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.fakes.every_reader import FAKES
from trainables.datasets.errors import DatasetError

FMRI: Mapping[str, str] = {
    "cc2017": "Subject01/**/seg1_1_Atlas.dtseries.nii",
    "bids": "derivatives/**/*task-film0_run-1_*_bold.dtseries.nii",
    "bmd": "derivatives/versionB/fsLR32k/**/*betas_task-train_normalized.pkl",
    "algonauts2021": "**/sub01/V1.pkl",
    "algonauts2025": "fmri/**/*_bold.h5",
    "neuroclips": "subj01_train_fmri.pt",
    "mosaic": "sub-01_BMD.hdf5",
    "hcp": "100610/**/*MOVIE2*_Atlas.dtseries.nii",
}
"""Reader to one of its files of fMRI."""
VIDEOS: Mapping[str, str] = {
    "cc2017": "Stimuli/**/seg1.mp4",
    "bids": "stimuli/clip00.mp4",
    "bmd": "stimuli/**/0001*.mp4",
    "algonauts2021": "**/0001*.mp4",
    "algonauts2025": "**/*.mkv",
    "neuroclips": "GT_train_3fps.pt",
    "mosaic": "stimuli/*.mp4",
    "hcp": "movies/**/*MOVIE1*.mp4",
}
"""Reader to one of its videos, or what stands for them."""


def annexed(path: Path) -> None:
    """Leave what `git clone` leaves of a data set in DataLad."""
    path.unlink()
    path.symlink_to(f"../.git/annex/objects/{path.name}")


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_off(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def found_in(reader: str, pattern: str, harm: Callable[[Path], None], folder: Path) -> str:
    """Return all that is said about a data set one of whose files was harmed: the error, or what the card has."""
    source, out = folder / "source", folder / "data"
    source.mkdir()

    def one(root: Path) -> None:
        files = sorted(root.glob(pattern))
        assert files, f"{pattern} is in no fake of {reader}"
        harm(files[0])

    try:
        result = FAKES[reader](source, out, one)
    except DatasetError as error:
        assert not out.exists(), "no folder that looks complete"
        return str(error)
    return "\n".join([*map(str, result.report.problems), *result.description.defects])


@pytest.mark.parametrize("reader", FMRI)
@pytest.mark.parametrize(
    ("harm", "message"),
    [(annexed, "datalad get"), (lfs_pointer, "git lfs pull"), (emptied, "is empty (0 bytes)")],
    ids=["git-annex", "Git LFS", "empty"],
)
def test_fmri_whose_content_is_not_there(
    reader: str, harm: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    assert message in found_in(reader, FMRI[reader], harm, tmp_path)


@pytest.mark.parametrize("reader", VIDEOS)
def test_a_video_whose_content_is_not_there(reader: str, tmp_path: Path) -> None:
    assert "git lfs pull" in found_in(reader, VIDEOS[reader], lfs_pointer, tmp_path)


@pytest.mark.parametrize("reader", FMRI)
def test_fmri_that_was_cut_off(reader: str, tmp_path: Path) -> None:
    text = found_in(reader, FMRI[reader], cut_off, tmp_path)
    assert any(word in text for word in ("is truncated", "cannot be read", "is damaged", "cut off", "ends")), text


@pytest.mark.parametrize(
    "reader", ["cc2017", "bids", "bmd", "algonauts2021", "algonauts2025", "neuroclips", "mosaic", "hcp"]
)
def test_files_in_folders_with_spaces(reader: str, tmp_path: Path) -> None:
    source = tmp_path / "a lab's data (new)"
    source.mkdir()
    result = FAKES[reader](source, tmp_path / "data set")
    assert result.description.clips.count > 0
    shutil.rmtree(tmp_path / "data set")
