from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.volumes import write_gifti, write_nifti
from trainables.preparation.files import InputError
from trainables.preparation.series import CORTEX, Floats, Series, blocks
from trainables.preparation.volumes import VOLUME, open_gifti, open_nifti

RNG = np.random.default_rng(0)


def bold() -> NDArray[np.float32]:
    return RNG.normal(1e3, 50, (5, 6, 4, 9)).astype("f4")


def ball() -> NDArray[np.uint8]:
    return (RNG.random((5, 6, 4)) > 0.6).astype("u1")


def all_columns(series: Series) -> Floats:
    return np.concatenate([series.read_block(block) for block in blocks(len(series.axis), size=7)], axis=1)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("slope", [None, 0.25])
def test_nifti_in_a_mask_equals_nibabel(tmp_path: Path, suffix: str, slope: float | None) -> None:
    path = write_nifti(tmp_path / f"bold{suffix}", bold(), tr=1.75, slope=slope)
    mask = write_nifti(tmp_path / f"mask{suffix}", inside := ball())
    series = open_nifti(path, mask=mask, scratch=tmp_path)
    expected = nib.load(path).get_fdata()[inside > 0].T
    np.testing.assert_allclose(all_columns(series), expected, rtol=1e-6)
    assert (series.volumes, series.tr_hint) == (9, 1.75)
    np.testing.assert_array_equal(series.axis.ijk, np.argwhere(inside))
    assert set(series.axis.names) == {VOLUME}
    assert (series.axis.vertex == -1).all()


def test_gifti_of_both_hemispheres_equals_nibabel(tmp_path: Path) -> None:
    values = RNG.normal(size=(6, 42)).astype("f4")
    left = write_gifti(tmp_path / "hemi-L.func.gii", values[:, :20], tr=1.49)
    right = write_gifti(tmp_path / "hemi-R.func.gii", values[:, 20:], tr=1.49)
    series = open_gifti(left, right, scratch=tmp_path)
    np.testing.assert_array_equal(all_columns(series), values)
    assert [(part.name, part.mesh) for part in series.axis.structures] == [*zip(CORTEX, (20, 22), strict=True)]
    assert series.axis.vertex[[0, 19, 20]].tolist() == [0, 19, 0]
    assert series.tr_hint == 1.49


def test_bad_volumes_are_refused_with_name_value_and_advice(tmp_path: Path) -> None:
    good = write_nifti(tmp_path / "bold.nii.gz", bold())
    mask = write_nifti(tmp_path / "mask.nii", ball())
    short = tmp_path / "short.nii.gz"
    short.write_bytes(good.read_bytes()[:-200])
    cut = tmp_path / "cut.nii"
    cut.write_bytes(write_nifti(tmp_path / "plain.nii", bold()).read_bytes()[:-40])
    moved = tmp_path / "moved.nii"
    nib.Nifti1Image(ball(), np.diag([2.0, 2.0, 3.0, 1.0])).to_filename(moved)
    other = write_nifti(tmp_path / "other.nii", np.ones((5, 6, 5), "u1"))
    empty = write_nifti(tmp_path / "empty.nii", np.zeros((5, 6, 4), "u1"))
    text = tmp_path / "text.nii"
    text.write_text("no brain" * 100)
    cases = [
        (short, mask, "cannot be read to its end.*download or copy it again"),
        (cut, mask, "ends in volume 8 of 9"),
        (good, moved, "affine differs from that of bold.nii.gz by 1 mm"),
        (good, other, r"has \[5, 6, 5\] voxels, but bold.nii.gz has \[5, 6, 4\]"),
        (good, empty, "has no voxel inside"),
        (text, mask, "cannot be read as NIfTI"),
        (mask, mask, r"has the shape \[5, 6, 4\]; a file with 4 dimensions"),
    ]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for path, inside, message in cases:
        with pytest.raises(InputError, match=message):
            open_nifti(path, mask=inside, scratch=scratch)
    assert list(scratch.iterdir()) == []


def test_bad_gifti_is_refused(tmp_path: Path) -> None:
    left = write_gifti(tmp_path / "L.func.gii", np.ones((4, 8), "f4"))
    right = write_gifti(tmp_path / "R.func.gii", np.ones((3, 8), "f4"))
    with pytest.raises(InputError, match=r"has 3 volumes, but L.func.gii has 4; both hemispheres must be of one run"):
        open_gifti(left, right, scratch=tmp_path)
    empty = write_gifti(tmp_path / "E.func.gii", np.ones((0, 8), "f4"))
    with pytest.raises(InputError, match="holds 0 arrays"):
        open_gifti(empty, right, scratch=tmp_path)
    (tmp_path / "text.func.gii").write_text("<GIFTI")
    with pytest.raises(InputError, match="cannot be read as GIFTI"):
        open_gifti(tmp_path / "text.func.gii", right, scratch=tmp_path)
