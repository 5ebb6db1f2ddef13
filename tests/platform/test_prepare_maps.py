"""Maps of prepared data sets: what was planted appears where it was planted."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform.figures.region_bars import draw_region_bars
from platform.prepare import main
from platform.run.driver import run_study
from platform.study.sweep_file import load_study
from tests.fakes.cifti import LEFT, MESH, RIGHT, reduced_brain, write_atlas
from tests.fakes.mosaic import COLUMNS, VIDEOS, VISUAL, stem, write_mosaic
from tests.platform.noop_studies import inline_in
from tests.trainables.prepared.labs import rows_lab
from trainables.datasets.prepared.tables import VoxelTable
from trainables.preparation.brain_maps import (
    BrainMap,
    encoding_maps,
    importance_maps,
    region_means,
    reliability_maps,
    write_maps,
)
from trainables.preparation.files import InputError

VERTEX = np.array([9, 4, 100, 7, 2, 50], np.int32)
SIDES = np.array([RIGHT, RIGHT, RIGHT, LEFT, LEFT, LEFT])


def table(**changes: Any) -> VoxelTable:
    """Return six vertices, the right hemisphere first and none in order."""
    fields = {"roi": np.array(["V1", "V1", "MT", "V1", "MT", ""]), "structure": SIDES, "vertex": VERTEX}
    return VoxelTable(**{**fields, **changes})


PLANTED = BrainMap("planted", np.array([0, 0, 0, 5, 6, np.nan], np.float32))
"""In the left hemisphere alone."""


def test_values_lie_at_their_vertices_in_the_right_hemisphere(tmp_path: Path) -> None:
    (path,) = write_maps([PLANTED], table(), "fsLR-32k", tmp_path / "sub-01")
    image: Any = nib.load(path)
    assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    scalars, models = (image.header.get_axis(number) for number in (0, 1))
    assert scalars.name.tolist() == ["planted"]
    assert models.nvertices == {LEFT: MESH, RIGHT: MESH}
    found = {name: dict(zip(axis.vertex.tolist(), image.get_fdata()[0, part].tolist(), strict=True))
             for name, part, axis in models.iter_structures()}  # fmt: skip
    assert [*found] == [LEFT, RIGHT]
    assert {vertex: found[LEFT][vertex] for vertex in (7, 2)} == {7: 5, 2: 6}
    assert np.isnan(found[LEFT][50])
    assert found[RIGHT] == {4: 0, 9: 0, 100: 0}


def test_one_hemisphere_and_further_structures(tmp_path: Path) -> None:
    sides = np.array([LEFT] * 3 + ["CIFTI_STRUCTURE_BRAIN_STEM"] * 3)
    voxels = table(structure=sides, vertex=np.array([3, 1, 2, -1, -1, -1], np.int32))
    (path,) = write_maps([PLANTED], voxels, "fsLR-32k", tmp_path / "sub-01")
    assert nib.load(path).shape == (1, 3)


def test_voxels_become_volumes_of_the_grid_that_is_given(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), affine), tmp_path / "mask.nii.gz")
    ijk = np.array([[0, 1, 2], [3, 4, 5], [-1, -1, -1], [1, 1, 1], [2, 2, 2], [0, 0, 0]], np.int32)
    voxels = table(structure=None, vertex=None, ijk=ijk)
    (path,) = write_maps([PLANTED], voxels, "MNI", tmp_path / "sub-01", tmp_path / "mask.nii.gz")
    image: Any = nib.load(path)
    assert path.name == "sub-01_planted.nii.gz"
    np.testing.assert_array_equal(image.affine, affine)
    values = image.get_fdata()
    assert (values[0, 1, 2], values[1, 1, 1], values[2, 2, 2]) == (0, 5, 6)
    assert int(np.isfinite(values).sum()) == 4
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 4), np.uint8), affine), tmp_path / "small.nii.gz")
    with pytest.raises(InputError, match=r"has 4 x 5 x 4 voxels, but indices go to \[3, 4, 5\]"):
        write_maps([PLANTED], voxels, "MNI", tmp_path / "sub-01", tmp_path / "small.nii.gz")
    with pytest.raises(InputError, match="there is no such file"):
        write_maps([PLANTED], voxels, "MNI", tmp_path / "sub-01", tmp_path / "none.nii.gz")


def test_means_by_region_keep_hemispheres_apart(tmp_path: Path) -> None:
    means = region_means([PLANTED], table())
    assert means == {"planted": {"MT L": 6, "MT R": 0, "V1 L": 5, "V1 R": 0}}
    assert region_means([PLANTED], table(structure=None))["planted"]["MT"] == 3
    draw_region_bars(
        {**means, "planted too": {f"area {n}": -float(n) for n in range(50)}}, tmp_path / "a.png", title="x"
    )
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def importance(path: Path, voxels: list[int]) -> Path:
    rows = [
        {"voxel": voxel, "roi": "V1", "decoder": decoder, "method": "gradient", "importance": voxel / 10}
        for decoder in ("semantic", "motion")
        for voxel in voxels
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_importance_is_joined_by_the_number_of_the_voxel(tmp_path: Path) -> None:
    maps = importance_maps(importance(tmp_path / "v.parquet", [5, 0, 3]), 6)
    assert [each.name for each in maps] == ["importance semantic gradient", "importance motion gradient"]
    np.testing.assert_array_equal(maps[1].values, np.array([0, np.nan, np.nan, 0.3, np.nan, 0.5], np.float32))
    with pytest.raises(InputError, match="names voxel 5, but the subject has 4; name the subject of the trial"):
        importance_maps(tmp_path / "v.parquet", 4)
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"cannot be read: .*; voxels\.parquet of the stage importance"):
        importance_maps(tmp_path / "text.parquet", 4)


def test_unknown_measures_make_no_map() -> None:
    assert reliability_maps(table()) == ()
    known = table(noise_ceiling_n=np.arange(6, dtype=np.float32))
    assert [each.name for each in reliability_maps(known)] == ["noise_ceiling_n"]


def test_the_verb_writes_what_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = rows_lab(tmp_path / "lab")
    assert main(["rows", str(lab), "--out", str(tmp_path / "data"), "--frames", "4", "--resolution", "32"]) == 0
    capsys.readouterr()
    words = ["maps", str(tmp_path / "data"), "--out", str(tmp_path / "maps")]
    code = main([*words, "--subject", "sub-01", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (code, [Path(file).name for file in answer["files"]]) == (0, ["sub-01_regions.png"])
    for more, message in (
        (["--subject", "sub-09"], "--subject: there is no sub-09; there are sub-01"),
        (["--importance", "x.parquet"], "--importance: is of one subject; name it with --subject: sub-01, sub-02"),
        (["--subject", "sub-01", "--importance", "x.parquet"], "x.parquet: there is no such file"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err


def prepare_mosaic(tmp_path: Path, frames: int = 4) -> None:
    """Write tmp_path/data: V1 answers to motion in the left hemisphere alone."""
    folder = write_mosaic(tmp_path / "mosaic", subjects=(1,))
    names = [stem(number) for numbers in VIDEOS.numbers.values() for number in numbers]
    (folder / "captions.json").write_text(json.dumps(dict.fromkeys(names, "a video")))
    brain = reduced_brain(COLUMNS // 2, subcortex=None)
    labels = [f"{side}_{area}_ROI" for side in "LR" for area in ["V1"] * VISUAL + ["46"] * (COLUMNS // 2 - VISUAL)]
    atlas = write_atlas(folder / "atlas.dlabel.nii", labels, brain)
    words = ["mosaic", str(folder), "--out", str(tmp_path / "data"), "--frames", str(frames), "--resolution", "32"]
    assert main([*words, "--caption", str(folder / "captions.json"), "--atlas", str(atlas)]) == 0


def test_what_was_planted_in_one_hemisphere_is_found_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From published files to a map."""
    prepare_mosaic(tmp_path)
    brain = reduced_brain(COLUMNS // 2, subcortex=None)
    assert main(["maps", str(tmp_path / "data"), "--out", str(tmp_path / "maps")]) == 0
    image: Any = nib.load(tmp_path / "maps" / "sub-01.dscalar.nii")
    scalars, models = (image.header.get_axis(number) for number in (0, 1))
    ceiling = image.get_fdata()[scalars.name.tolist().index("noise_ceiling_n")]
    means = {}
    for name, part, axis in models.iter_structures():
        vertices = brain.left if name == LEFT else brain.right
        assert axis.vertex.tolist() == list(vertices)
        means[name] = (ceiling[part][:VISUAL].mean(), ceiling[part][VISUAL:].mean())
    assert means[LEFT][0] > 1.5 * max(means[LEFT][1], *means[RIGHT])


STUDY = """
target: importance.structure_shuffled_ratio
trials: 1
sampler: random
scheduler: fifo
base:
  dataset.kind: prepared
  dataset.path: {path}
  semantic.train.epochs: 1
  structure.train.epochs: 1
  motion.train.epochs: 1
space: {{structure.dropout: {{choice: [0.0, 0.2]}}}}
"""

ENCODING = """
target: encoding_accuracy.first_frame_r
trials: 1
sampler: random
scheduler: fifo
base:
  dataset.kind: prepared
  dataset.path: {path}
space: {{encoding_accuracy.alphas: {{choice: [[1.0], [100.0]]}}}}
"""


def test_encoding_accuracy_of_test_clips_becomes_maps(tmp_path: Path) -> None:
    rows = [{"voxel": voxel, "roi": "V1", "features": features, "split": split, "r": voxel / 10 + (split == "test")}
            for features in ("caption", "motion") for split in ("validation", "test") for voxel in (4, 0)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "v.parquet")
    caption, motion = encoding_maps(tmp_path / "v.parquet", 5)
    assert (caption.name, motion.name) == ("encoding caption", "encoding motion")
    np.testing.assert_array_equal(motion.values, np.array([1, np.nan, np.nan, np.nan, 1.4], np.float32))
    with pytest.raises(InputError, match="names voxel 4, but the subject has 4"):
        encoding_maps(tmp_path / "v.parquet", 4)
    with pytest.raises(InputError, match=r"cannot be read: .*of the stage encoding_accuracy"):
        encoding_maps(importance(tmp_path / "i.parquet", [0]), 5)


@pytest.mark.long
def test_the_importance_of_a_trial_becomes_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_mosaic(tmp_path, frames=8)
    file = tmp_path / "cmg.yaml"
    file.write_text(STUDY.format(path=tmp_path / "data"))
    study = load_study(file)
    assert run_study(study, inline_in(tmp_path / "home")).trials["completed"] == 1
    words = ["maps", str(tmp_path / "data"), "--out", str(tmp_path / "maps"), "--home", str(tmp_path / "home")]
    assert main([*words, "--importance", f"{study.id}/t0000"]) == 0
    image: Any = nib.load(tmp_path / "maps" / "sub-01.dscalar.nii")
    names = image.header.get_axis(0).name.tolist()
    assert names[:3] == ["noise_ceiling_1", "noise_ceiling_n", "repeat_r"]
    assert {"importance structure gradient", "importance motion permutation"} <= {*names}
    values = image.get_fdata()[names.index("importance structure gradient")]
    assert (np.nanmin(values), np.nanmax(values)) == (0, 1)
    encoding = tmp_path / "encoding.yaml"
    encoding.write_text(ENCODING.format(path=tmp_path / "data"))
    other = load_study(encoding)
    assert run_study(other, inline_in(tmp_path / "home")).trials["completed"] == 1
    assert main([*words, "--importance", f"{study.id}/t0000", "--encoding", f"{other.id}/t0000"]) == 0
    image = nib.load(tmp_path / "maps" / "sub-01.dscalar.nii")
    names = image.header.get_axis(0).name.tolist()
    assert {"importance structure gradient", "encoding caption", "encoding motion"} <= {*names}
    assert np.isfinite(image.get_fdata()[names.index("encoding motion")]).all()
    capsys.readouterr()
    assert main([*words, "--encoding", f"{study.id}/t0000"]) == 2
    assert "has no stage encoding_accuracy; run it with a design such as ablations/enc" in capsys.readouterr().err
    assert main([*words, "--importance", f"{study.id}/t0099"]) == 2
    assert "has no trial t0099" in capsys.readouterr().err
