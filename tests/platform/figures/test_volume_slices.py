"""Slices of volumes: what was planted in one voxel is seen there, on the common scale, on its own side."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from platform.figures.subject_maps import SubjectMaps, write_subject_maps
from platform.figures.volume_slices import VoxelGrid, chosen_slices, draw_slices, oriented_grid
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.brain_maps import BrainMap
from trainables.preparation.files import InputError

IJK = np.array([[1, 1, 1], [6, 1, 1], [1, 6, 1], [6, 6, 1], [1, 1, 5], [-1, -1, -1]], np.int32)
"""The corners of a slice, one voxel of another, and one that is nowhere."""
VOXELS = VoxelTable(roi=np.array(["V1"] * 6), ijk=IJK)


def brain_map(*values: float, name: str = "repeat_r") -> BrainMap:
    return BrainMap(name, np.array(values, np.float32))


def yellow(path: Path) -> NDArray[np.bool_]:
    """Return the pixels with the colour of the largest value."""
    pixels = np.array(Image.open(path).convert("RGB")).astype(int)
    found: NDArray[np.bool_] = (pixels[..., 0] > 240) & (pixels[..., 1] > 210) & (pixels[..., 2] < 60)
    return found[:, : int(0.85 * found.shape[1])]  # without the bar of colours


def centre(of: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the mean row and column."""
    rows, columns = np.nonzero(of)
    return float(rows.mean()), float(columns.mean())


def test_slices_go_through_the_largest_values_and_are_apart() -> None:
    volume = np.full((3, 3, 60), np.nan, np.float32)
    volume[1, 1, :] = np.linspace(0, 1, 60)
    volume[0, 0, 10] = 9
    chosen = chosen_slices(volume)
    assert len(chosen) == 6
    assert {10, 59} <= {*chosen}
    assert min(np.diff(chosen)) >= 5
    assert chosen_slices(volume[:, :, 7:9]) == [0, 1]
    assert chosen_slices(np.full((2, 2, 3), np.nan, np.float32)) == []


def test_the_largest_value_is_drawn_at_its_voxel(tmp_path: Path) -> None:
    at = {}
    for number in range(4):
        values = [0.0] * 6
        values[number] = 1.0
        draw_slices([brain_map(*values)], VoxelGrid(IJK), tmp_path / "a.png", title="x")
        at[number] = centre(yellow(tmp_path / "a.png"))
    assert at[1][1] > at[0][1] + 20, "the first axis goes to the right"
    assert at[2][0] < at[0][0] - 20, "the second goes up"
    assert (at[3][0], at[3][1]) == pytest.approx((at[2][0], at[1][1]), abs=2)


def test_maps_of_one_measure_have_one_scale(tmp_path: Path) -> None:
    small, large = (brain_map(*[high] + [0.0] * 5, name=f"noise_ceiling_{end}") for high, end in ((5, "1"), (50, "n")))
    draw_slices([small], VoxelGrid(IJK), tmp_path / "alone.png", title="x")
    draw_slices([small, large], VoxelGrid(IJK), tmp_path / "both.png", title="x")
    assert yellow(tmp_path / "alone.png").any()
    both = yellow(tmp_path / "both.png")
    assert not both[: len(both) // 2].any(), "a tenth of the scale"
    assert both[len(both) // 2 :].any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_left_is_on_the_left_whichever_way_the_grid_runs(tmp_path: Path, sign: float) -> None:
    affine = np.diag([sign * 2, 2.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 6), np.uint8), affine), tmp_path / "mask.nii.gz")
    planted = brain_map(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # at i = 1: left if the first axis runs to the right
    files, why = write_subject_maps([SubjectMaps("s", [planted], VOXELS)], "MNI", tmp_path, tmp_path / "mask.nii.gz")
    assert why == ""
    assert [path.name for path in files] == ["s_repeat_r.nii.gz", "s_slices.png", "s_regions.png"]
    grid = oriented_grid(IJK, tmp_path / "mask.nii.gz")
    assert grid.ijk[0].tolist() == ([1, 1, 1] if sign > 0 else [6, 1, 1])
    assert (grid.ijk[5] == -1).all()
    assert grid.label(2) == "z = 6 mm"


def test_axes_in_another_order_are_turned(tmp_path: Path) -> None:
    affine = np.array(
        [[0, 0, -2, 14], [0, 2, 0, 0], [3, 0, 0, -9], [0, 0, 0, 1]], float
    )  # up, to the front, to the left
    nib.save(nib.Nifti1Image(np.zeros((6, 8, 8), np.uint8), affine), tmp_path / "mask.nii.gz")
    grid = oriented_grid(IJK[:, [2, 1, 0]], tmp_path / "mask.nii.gz")
    right_front_up = np.array([[6, 1, 1], [1, 1, 1], [6, 6, 1], [1, 6, 1], [6, 1, 5], [-1, -1, -1]])
    np.testing.assert_array_equal(grid.ijk, right_front_up)
    assert grid.label(0) == "z = -9 mm"


def test_without_a_grid_there_are_slices_and_no_volumes(tmp_path: Path) -> None:
    subject = SubjectMaps("s", [brain_map(1.0, *[0.0] * 5)], VOXELS)
    files, _ = write_subject_maps([subject], "MNI", tmp_path, volumes=False)
    assert [path.name for path in files] == ["s_slices.png", "s_regions.png"]
    with pytest.raises(Exception, match="--like: is needed"):
        write_subject_maps([subject], "MNI", tmp_path)
    with pytest.raises(InputError, match="there is no such file"):
        write_subject_maps([subject], "MNI", tmp_path, tmp_path / "none.nii")


def test_names_of_files_are_such_that_markdown_shows_them(tmp_path: Path) -> None:
    subject = SubjectMaps("one to (two)", [brain_map(1.0, *[0.0] * 5)], VOXELS)
    files, _ = write_subject_maps([subject], "MNI", tmp_path, volumes=False)
    assert [path.name for path in files] == ["one_to_two__slices.png", "one_to_two__regions.png"]


def test_no_voxel_in_the_grid_is_refused(tmp_path: Path) -> None:
    nowhere = VoxelGrid(np.full((1, 3), -1, np.int32))
    with pytest.raises(ValueError, match="no voxel is in the grid"):
        draw_slices([brain_map(1.0)], nowhere, tmp_path / "a.png", title="x")
