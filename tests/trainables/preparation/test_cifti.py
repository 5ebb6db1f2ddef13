from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.fakes.cifti import LEFT, RIGHT, SUBCORTEX_91K, Brain, reduced_brain, write_dtseries
from trainables.preparation import cifti
from trainables.preparation.cifti import open_cifti
from trainables.preparation.files import InputError
from trainables.preparation.series import Floats, blocks

BRAIN = reduced_brain()


def noise(volumes: int = 12, brain: Brain = BRAIN) -> Floats:
    return np.random.default_rng(0).normal(1e4, 100, (volumes, len(brain))).astype("f4")


def all_columns(path: Path, *, size: int = 7, structures: tuple[str, ...] | None = None) -> Floats:
    series = open_cifti(path, structures=structures)
    return np.concatenate([series.read_block(block) for block in blocks(len(series.axis), size=size)], axis=1)


def test_blocks_equal_what_nibabel_reads(tmp_path: Path) -> None:
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN)
    np.testing.assert_array_equal(all_columns(path), np.asarray(nib.load(path).dataobj))


@pytest.mark.parametrize(("dtype", "slope"), [("i2", 0.5), ("f8", None), ("i2", None)])
def test_other_types_are_scaled_as_nibabel_does(tmp_path: Path, dtype: str, slope: float | None) -> None:
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN, dtype=dtype, slope=slope)
    np.testing.assert_allclose(all_columns(path), np.asarray(nib.load(path).dataobj), rtol=1e-6)


def test_swapped_bytes_are_read(tmp_path: Path) -> None:
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN)
    image = nib.load(path)
    nib.Cifti2Image(noise(), image.header, image.nifti_header.as_byteswapped()).to_filename(tmp_path / "b.dtseries.nii")
    np.testing.assert_array_equal(all_columns(tmp_path / "b.dtseries.nii"), noise())


def test_axis_and_step_are_those_of_nibabel(tmp_path: Path) -> None:
    series = open_cifti(write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN, tr=1.49), structures=None)
    theirs = BRAIN.axis()
    assert series.axis.names.tolist() == theirs.name.tolist()
    assert series.axis.vertex.tolist() == theirs.vertex.tolist()
    assert series.axis.ijk[-20:].tolist() == theirs.voxel[-20:].tolist()
    assert [part.mesh for part in series.axis.structures] == [32492, 32492, None]
    assert (series.volumes, series.tr_hint, series.notes) == (12, 1.49, ())


def test_only_the_cortex_is_returned_unless_asked(tmp_path: Path) -> None:
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN)
    assert len(open_cifti(path).axis) == 120
    stem = "CIFTI_STRUCTURE_BRAIN_STEM"
    np.testing.assert_array_equal(all_columns(path, structures=(stem,)), noise()[:, 120:])


def test_swapped_hemispheres_are_reordered_by_name_with_a_note(tmp_path: Path) -> None:
    swapped = reduced_brain(swapped=True)
    values = noise()
    path = write_dtseries(tmp_path / "a.dtseries.nii", values, swapped)
    series = open_cifti(path)
    assert [part.name for part in series.axis.structures] == [LEFT, RIGHT]
    np.testing.assert_array_equal(all_columns(path, structures=(LEFT, RIGHT)), values[:, np.r_[60:120, :60]])
    assert "right hemisphere comes first" in series.notes[0]


@pytest.mark.long
def test_the_standard_axis_of_91k(tmp_path: Path) -> None:
    brain = Brain(range(29696), range(29716), subcortex=SUBCORTEX_91K)
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(3, brain), brain)
    series = open_cifti(path)
    assert (len(series.axis), len(open_cifti(path, structures=None).axis)) == (59412, 91282)
    np.testing.assert_array_equal(series.read_block(slice(59000, 59412)), noise(3, brain)[:, 59000:59412])


def test_a_59k_file_is_noted_with_what_to_use_instead(tmp_path: Path) -> None:
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(), reduced_brain(mesh=59292))
    assert "59k grayordinates, but the atlas is for 32k" in open_cifti(path).notes[0]


def test_a_header_is_parsed_once_per_content(tmp_path: Path) -> None:
    paths = [write_dtseries(tmp_path / f"{name}.dtseries.nii", noise(), BRAIN) for name in "ab"]
    first, second = map(open_cifti, paths)
    assert first.axis.structures[0] is second.axis.structures[0]
    other = open_cifti(write_dtseries(tmp_path / "c.dtseries.nii", noise(13), BRAIN))
    assert other.axis.differs_from(first.axis) is None


def test_axes_that_differ_are_told_apart(tmp_path: Path) -> None:
    first = open_cifti(write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN)).axis
    moved = Brain([*BRAIN.left[:-1], 32000], BRAIN.right, subcortex=BRAIN.subcortex)
    second = open_cifti(write_dtseries(tmp_path / "b.dtseries.nii", noise(), moved)).axis
    assert first.differs_from(second) == f"other vertices or voxels of {LEFT}"
    fewer = open_cifti(tmp_path / "a.dtseries.nii", structures=(LEFT,)).axis
    assert (
        first.differs_from(fewer)
        == "CORTEX_LEFT 60 of 32492, CORTEX_RIGHT 60 of 32492 instead of CORTEX_LEFT 60 of 32492"
    )


def damaged(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_bad_files_are_refused_with_name_value_and_advice(tmp_path: Path) -> None:
    whole = write_dtseries(tmp_path / "whole.dtseries.nii", noise(), BRAIN).read_bytes()
    link = tmp_path / "link.dtseries.nii"
    link.symlink_to("../.git/annex/objects/ab/MD5E-s1--x.nii")
    stray = tmp_path / "stray.dtseries.nii"
    stray.symlink_to("elsewhere.nii")
    volume = tmp_path / "volume.nii"
    nib.Nifti1Image(np.zeros((2, 2, 2, 3), "f4"), np.eye(4)).to_filename(volume)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90000000\n"
    cases = [
        (damaged(tmp_path / "short.nii", whole[:-40]), f"is truncated: {len(whole) - 40:,} bytes.*copy it again"),
        (damaged(tmp_path / "lfs.nii", pointer), "git lfs pull --include lfs.nii"),
        (damaged(tmp_path / "annex.nii", b"/annex/objects/MD5E-s9--x.nii\n"), "datalad get annex.nii"),
        (link, "datalad get link.dtseries.nii"),
        (stray, "is a link to elsewhere.nii, which does not exist"),
        (tmp_path / "none.nii", "there is no such file"),
        (damaged(tmp_path / "empty.nii", b""), "is empty"),
        (damaged(tmp_path / "packed.nii", b"\x1f\x8b" + whole), "is compressed; unpack it with gunzip"),
        (damaged(tmp_path / "text.nii", b"not a brain" * 100), "NIfTI-2"),
        (volume, "NIfTI-2"),
        (damaged(tmp_path / "cut.nii", whole[:700]), "cannot be read|has no CIFTI-2 header|is truncated"),
        (damaged(tmp_path / "xml.nii", whole.replace(b"<CIFTI ", b"<CIFTO ")), "CIFTI-2 header cannot be read"),
        (damaged(tmp_path / "axis.nii", whole.replace(b'Points="12"', b'Points="13"')), "13 volumes of 140 gray"),
        (damaged(tmp_path / "type.nii", whole.replace(b"TYPE_SERIES", b"TYPE_SCALAR")), "has no axis of volumes"),
    ]
    for path, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            open_cifti(path)
        assert str(path) in str(caught.value)
        assert caught.value.problem.where == str(path)


def test_a_missing_structure_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN)
    with pytest.raises(InputError, match=r"no structure CIFTI_STRUCTURE_THALAMUS_LEFT; it has CIFTI_.*BRAIN_STEM"):
        open_cifti(path, structures=("CIFTI_STRUCTURE_THALAMUS_LEFT",))


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_dtseries(tmp_path / "a.dtseries.nii", noise(), BRAIN)
    series = open_cifti(path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match="became shorter"):
        series.read_block(slice(100, 120))


def test_xml_entities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="entities"):
        cifti._parse(b'<!DOCTYPE x [<!ENTITY a "b">]><CIFTI/>')
