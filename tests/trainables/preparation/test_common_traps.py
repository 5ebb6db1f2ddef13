"""Traps that every published data set may have, one by one, for every reader: each is named with what to do."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import h5py
import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import cifti2_axes

from tests.fakes import nsd as fake_nsd
from tests.fakes.every_reader import FAKES, Harm, unharmed
from tests.fakes.films import write_frames
from tests.trainables.prepared.labs import prepare_rows, prepare_series, rows_lab, series_lab
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import open_prepared
from trainables.preparation import nsd
from trainables.preparation.prepare import Prepared, prepare


def own_rows(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    rows_lab(folder, subjects=1)
    harm(folder)
    return prepare_rows(folder, out)


def own_series(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    series_lab(folder, subjects=1)
    harm(folder)
    return prepare_series(folder, out, lag=4.0)


def scenes(folder: Path, out: Path, harm: Harm = unharmed) -> Prepared:
    fake_nsd.write_nsd(folder)
    options = nsd.Settings(folder=folder, captions=(folder / "captions_train2017.json",), resolution=32, frames=4)
    harm(folder)
    return prepare(nsd.open_source(options), options, out)


READERS: Mapping[str, Callable[..., Prepared]] = {**FAKES, "rows": own_rows, "series": own_series, "nsd": scenes}
FMRI: Mapping[str, str] = {
    "cc2017": "Subject01/**/seg1_1_Atlas.dtseries.nii",
    "bids": "derivatives/**/*task-film0_run-1_*_bold.dtseries.nii",
    "bmd": "derivatives/versionB/fsLR32k/**/*betas_task-train_normalized.pkl",
    "algonauts2021": "**/sub01/V1.pkl",
    "algonauts2025": "fmri/**/*_bold.h5",
    "neuroclips": "subj01_train_fmri.pt",
    "mosaic": "sub-01_BMD.hdf5",
    "hcp": "100610/**/*MOVIE2*_Atlas.dtseries.nii",
    "rows": "sub-01/rows.npy",
    "series": "sub-01/run-1.npy",
    "nsd": "nsddata_betas/**/*session01.hdf5",
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
    "rows": "clips/clip000.gif",
    "series": "clips/clip000.gif",
    "nsd": "nsddata_stimuli/**/*.hdf5",
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

    def one(root: Path) -> None:
        files = sorted(root.glob(pattern))
        assert files, f"{pattern} is in no fake of {reader}"
        harm(files[0])

    return said_of(reader, one, folder)


def said_of(reader: str, harm: Harm, folder: Path) -> str:
    """Return all that is said about a harmed data set: the error, or what the card has."""
    source, out = folder / "source", folder / "data"
    source.mkdir()
    try:
        result = READERS[reader](source, out, harm)
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


@pytest.mark.parametrize("reader", READERS)
def test_files_in_folders_with_spaces(reader: str, tmp_path: Path) -> None:
    source = tmp_path / "a lab's data (new)"
    source.mkdir()
    result = READERS[reader](source, tmp_path / "data set")
    assert result.description.clips.count > 0
    shutil.rmtree(tmp_path / "data set")


Renames = tuple[tuple[str, str], ...]
COPIED_SUBJECTS: Mapping[str, Renames] = {
    "cc2017": (("Subject01", "Subject02"), ("subject1", "subject2")),
    "bids": (("sub-01", "sub-02"),),
    "bmd": (("sub-01", "sub-02"), ("sub01", "sub02")),
    "algonauts2021": (("sub01", "sub02"),),
    "nsd": (("subj01", "subj02"),),
    "rows": (("sub-01", "sub-02"),),
    "series": (("sub-01", "sub-02"),),
}
"""Reader to the parts of paths that name its first subject, and what names the second. Others: test_READER.py."""


def copy_subject(root: Path, renames: Renames) -> None:
    for path in [path for path in root.rglob("*") if path.is_file()]:
        name = str(path.relative_to(root))
        for old, new in renames:
            name = name.replace(old, new)
        if root / name != path:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / name)


@pytest.mark.parametrize("reader", COPIED_SUBJECTS)
def test_two_subjects_with_the_same_data_are_refused(reader: str, tmp_path: Path) -> None:
    text = said_of(reader, lambda root: copy_subject(root, COPIED_SUBJECTS[reader]), tmp_path)
    assert "hold the same values; every subject needs data of its own" in text


def copy_over(root: Path, source: str, target: str) -> None:
    (first, *_), (second, *_) = (sorted(root.glob(pattern)) for pattern in (source, target))
    shutil.copy(first, second)


def copy_repeats(root: Path) -> None:
    """Give each second repeat of a clip the betas of the first, as if one session had been read twice."""
    with h5py.File(next(root.glob("*.hdf5")), "a") as file:
        for name in [name for name in file["betas"] if name.endswith("_rep-2")]:
            if (first := name.replace("_rep-2", "_rep-1")) in file["betas"]:
                file["betas"][name][...] = file["betas"][first][...]


def copy_rows(root: Path) -> None:
    rows = np.load(root / "sub-01" / "rows.npy")
    rows[6:9] = rows[3:6]
    np.save(root / "sub-01" / "rows.npy", rows)


COPIED_RUNS: Mapping[str, Harm] = {
    "bids": lambda root: copy_over(
        root, "derivatives/**/*film0_run-1*.dtseries.nii", "derivatives/**/*film1_run-1*.nii"
    ),
    "series": lambda root: copy_over(root, "sub-01/run-1.npy", "sub-01/run-2.npy"),
    "nsd": lambda root: copy_over(root, "nsddata_betas/**/*session01.hdf5", "nsddata_betas/**/*session02.hdf5"),
    "mosaic": copy_repeats,
    "rows": copy_rows,
}
"""Reader to what copies a run, a session or repeats. Others: test_READER.py."""


@pytest.mark.parametrize("reader", COPIED_RUNS)
def test_a_run_that_is_a_copy_of_another_is_refused(reader: str, tmp_path: Path) -> None:
    assert "hold the same values; " in said_of(reader, COPIED_RUNS[reader], tmp_path)


CIFTI: Mapping[str, str] = {
    "cc2017": "Subject01/**/*.dtseries.nii",
    "bids": "derivatives/**/*.dtseries.nii",
    "hcp": "100610/**/*.dtseries.nii",
}
"""Reader to its runs on both hemispheres."""


def swap_hemispheres(path: Path) -> None:
    """Write the right hemisphere first, with its values."""
    image: Any = nib.load(path)
    series, models = (image.header.get_axis(number) for number in (0, 1))
    values, parts = image.get_fdata(dtype=np.float32), [*models.iter_structures()]
    order = [1, 0, *range(2, len(parts))]
    axis = parts[order[0]][2]
    for index in order[1:]:
        axis = axis + parts[index][2]
    swapped = np.concatenate([values[:, parts[index][1]] for index in order], axis=1)
    changed: Any = nib.Cifti2Image(swapped, (series, axis), nifti_header=image.nifti_header)
    nib.save(changed, path)


def by_vertex(out: Path) -> dict[tuple[str, int], list[float]]:
    subject = open_prepared(out).subjects[0]
    voxels = subject.voxels
    assert voxels.structure is not None
    assert voxels.vertex is not None
    places = zip(voxels.structure.tolist(), voxels.vertex.tolist(), strict=True)
    return {place: subject.values[:, column].tolist() for column, place in enumerate(places)}


@pytest.mark.parametrize("swapped", ["one run", "all runs"])
@pytest.mark.parametrize("reader", CIFTI)
def test_swapped_hemispheres_are_told_and_every_vertex_keeps_its_values(
    reader: str, swapped: str, tmp_path: Path
) -> None:
    def swap(root: Path) -> None:
        runs = sorted(root.glob(CIFTI[reader]))
        for path in runs if swapped == "all runs" else runs[1:2]:
            swap_hemispheres(path)

    text = said_of(reader, swap, tmp_path)
    if swapped == "all runs":  # of one run it need not be said: its columns are put in the order of the others
        assert "the right hemisphere comes first in the file; columns are returned left first" in text
    (tmp_path / "plain").mkdir()
    READERS[reader](tmp_path / "plain", tmp_path / "expected")
    found, expected = by_vertex(tmp_path / "data"), by_vertex(tmp_path / "expected")
    assert found.keys() == expected.keys()
    assert all(found[place] == pytest.approx(values, abs=1e-4) for place, values in expected.items())


def on_another_mesh(path: Path) -> None:
    """Write the atlas of the surface with 59k vertices per hemisphere."""
    image: Any = nib.load(path)
    labels, models = (image.header.get_axis(number) for number in (0, 1))
    parts = [part for part in models.iter_structures() if "CORTEX" in part[0]]
    left, right = (cifti2_axes.BrainModelAxis.from_surface(axis.vertex, 59292, name) for name, _, axis in parts)
    values = np.concatenate([image.get_fdata(dtype=np.float32)[:, columns] for _, columns, _ in parts], axis=1)
    changed: Any = nib.Cifti2Image(values, (labels, left + right), nifti_header=image.nifti_header)
    nib.save(changed, path)


@pytest.mark.parametrize("reader", ["cc2017", "bids", "hcp", "bmd", "mosaic"])
def test_an_atlas_of_another_mesh_is_refused(reader: str, tmp_path: Path) -> None:
    assert "59292" in found_in(reader, "atlas.dlabel.nii", on_another_mesh, tmp_path)
    assert not (tmp_path / "data").exists()


def end_early(path: Path) -> None:
    """Keep the first half of a film."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert stream.average_rate is not None
        fps = round(stream.average_rate)
        frames = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in film.decode(stream)]
    write_frames(path, frames[: len(frames) // 2], fps=fps, size=frames[0].shape[:2])


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("cc2017", "seg1.mp4: lasts 12.0 s; 24 s are needed"),
        ("bids", "1 video(s) do not last as long as their events: clip00 (1 s, shown for 2 s)"),
        ("bmd", "1 video(s) do not last 3 s: 0001 (1.5 s)"),
        ("algonauts2021", "1 video(s) do not last 3 s: 0001 (1.5 s)"),
        ("algonauts2025", "friends_s01e01a.mkv: lasts 20 samples, but its run 40"),
        ("mosaic", "1 video(s) do not last 3 s, as most do: flickr-7-0001_3-out_0001 (1.5 s)"),
        ("hcp", "7T_MOVIE1_CC1.mp4: lasts 23.0 s; 41 s are needed"),
    ],
)
def test_a_film_that_ends_early_is_told(reader: str, message: str, tmp_path: Path) -> None:
    assert message in found_in(reader, VIDEOS[reader], end_early, tmp_path)


SIDECARS: Mapping[str, str] = {
    "bids": "derivatives/**/*task-film0_run-1_*_bold.json",
    "rows": "sub-01/voxels.csv",
    "series": "sub-01/voxels.csv",
}
"""Reader to a file that it could do without, so that a link to nothing must not pass for none."""


@pytest.mark.parametrize("reader", SIDECARS)
def test_a_table_whose_content_is_not_there_is_not_taken_for_absent(reader: str, tmp_path: Path) -> None:
    assert "datalad get" in found_in(reader, SIDECARS[reader], annexed, tmp_path)
