from pathlib import Path

import numpy as np
import pytest

from tests.fakes.cifti import Brain, reduced_brain, write_atlas, write_dtseries
from tests.programs import ROOT
from trainables.preparation.atlas import read_atlas
from trainables.preparation.cifti import open_cifti
from trainables.preparation.files import InputError

BRAIN = reduced_brain(subcortex=None)
AREAS = [*["L_V1_ROI"] * 20, *["L_MT_ROI"] * 30, *[""] * 10, *["R_V1_ROI"] * 40, *["R_V4_ROI"] * 20]
SHARED = ROOT.parent / "shared" / "data" / "atlas" / "glasser2016.32k_fs_LR.dlabel.nii"


def series(folder: Path, brain: Brain) -> Path:
    return write_dtseries(folder / "bold.dtseries.nii", np.ones((3, len(brain)), "f4"), brain)


def test_columns_get_the_names_of_their_vertices(tmp_path: Path) -> None:
    atlas = read_atlas(write_atlas(tmp_path / "a.dlabel.nii", AREAS, BRAIN))
    file = series(tmp_path, reduced_brain(swapped=True))
    areas = atlas.areas_of(open_cifti(file, structures=None).axis, file)
    assert areas[:60].tolist() == ["V1"] * 20 + ["MT"] * 30 + [""] * 10
    assert areas[60:120].tolist() == ["V1"] * 40 + ["V4"] * 20
    assert set(areas[120:]) == {""}


def test_the_numbers_of_labels_mean_nothing(tmp_path: Path) -> None:
    file = series(tmp_path, BRAIN)
    axis = open_cifti(file).axis
    first = read_atlas(write_atlas(tmp_path / "a.dlabel.nii", AREAS, BRAIN))
    turned = [name.removesuffix("_ROI") for name in AREAS]
    second = read_atlas(write_atlas(tmp_path / "b.dlabel.nii", turned, BRAIN, first_number=181))
    assert first.areas_of(axis, file).tolist() == second.areas_of(axis, file).tolist()


def test_vertices_that_the_atlas_lacks_have_no_area(tmp_path: Path) -> None:
    atlas = read_atlas(write_atlas(tmp_path / "a.dlabel.nii", AREAS, BRAIN))
    moved = Brain([*BRAIN.left[:-50], *[vertex + 7 for vertex in BRAIN.left[-50:]]], BRAIN.right)
    file = series(tmp_path, moved)
    areas = atlas.areas_of(open_cifti(file).axis, file)
    assert areas[:20].tolist() == ["V1"] * 10 + [""] * 10


def test_another_mesh_is_refused_with_the_file_to_use(tmp_path: Path) -> None:
    atlas = read_atlas(write_atlas(tmp_path / "a.dlabel.nii", AREAS, BRAIN))
    file = series(tmp_path, reduced_brain(mesh=59292))
    with pytest.raises(InputError, match=r"has 59292 vertices, the atlas 32492.*without `1.6mm`"):
        atlas.areas_of(open_cifti(file).axis, file)


def test_bad_atlases_are_refused(tmp_path: Path) -> None:
    wrong = write_atlas(tmp_path / "wrong.dlabel.nii", [*["R_V1_ROI"] * 60, *["L_V1_ROI"] * 60], BRAIN)
    with pytest.raises(InputError, match=r"label 'R_V1_ROI' lies in CIFTI_STRUCTURE_CORTEX_LEFT"):
        read_atlas(wrong)
    with pytest.raises(InputError, match="has no table of labels"):
        read_atlas(series(tmp_path, BRAIN))
    elsewhere = Brain([vertex + 7 for vertex in BRAIN.left], [vertex + 7 for vertex in BRAIN.right])
    file = series(tmp_path, elsewhere)
    with pytest.raises(InputError, match=r"none of its 120 columns has an area of a\.dlabel\.nii"):
        read_atlas(write_atlas(tmp_path / "a.dlabel.nii", AREAS, BRAIN)).areas_of(open_cifti(file).axis, file)


@pytest.mark.skipif(not SHARED.is_file(), reason=f"{SHARED} is not there")
def test_the_published_atlas(tmp_path: Path) -> None:
    atlas = read_atlas(SHARED)
    assert {name: len(areas) for name, areas in atlas.area.items()} == {
        "CIFTI_STRUCTURE_CORTEX_LEFT": 29696,
        "CIFTI_STRUCTURE_CORTEX_RIGHT": 29716,
    }
    assert len({name for areas in atlas.area.values() for name in areas.values()}) == 180
