import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from trainables.preparation.confounds import MOTION, read_confounds, require_rows
from trainables.preparation.files import InputError

NAME = "sub-01_task-x_desc-confounds_timeseries"


def write(folder: Path, columns: Mapping[str, Sequence[object]], *, name: str = f"{NAME}.tsv") -> Path:
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path = folder / name
    path.write_text("\n".join("\t".join(map(str, row)) for row in rows) + "\n")
    return path


def motion(volumes: int = 6) -> dict[str, list[object]]:
    values = np.random.default_rng(0).normal(size=(6, volumes)).round(4)
    return {name: [*map(float, row)] for name, row in zip(MOTION, values, strict=True)}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Return a real table of fMRIPrep 21, of 30 volumes and 84 columns, which nilearn brings along."""
    fmriprep = pytest.importorskip("nilearn.interfaces.fmriprep")
    folder = Path(fmriprep.__file__).parent / "data"
    for suffix in ("tsv", "json"):
        shutil.copy(folder / f"test-v21_desc-confounds_timeseries.{suffix}", tmp_path / f"{NAME}.{suffix}")
    return tmp_path / f"{NAME}.tsv"


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("motion6", {"strategy": ("motion",), "motion": "basic"}),
        ("motion24", {"strategy": ("motion",), "motion": "full"}),
        ("motion24+wm_csf", {"strategy": ("motion", "wm_csf"), "motion": "full", "wm_csf": "basic"}),
        (
            "motion24+wm_csf+gsr",
            {"strategy": ("motion", "wm_csf", "global_signal"), "motion": "full", "global_signal": "basic"},
        ),
        ("acompcor5", {"strategy": ("high_pass", "compcor"), "compcor": "anat_combined", "n_compcor": 5}),
    ],
)
def test_columns_are_those_that_nilearn_takes(published: Path, strategy: str, options: Mapping[str, object]) -> None:
    from nilearn.interfaces.fmriprep import load_confounds

    bold = published.with_name("sub-01_task-x_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
    bold.touch()
    theirs, _ = load_confounds(str(bold), demean=False, **options)
    ours = read_confounds(published, strategy=strategy)
    assert set(ours.names) == set(theirs.columns)
    # The first volume has no derivative: 0 here, the next volume's there.
    expected = theirs[list(ours.names)].to_numpy()[1:]
    np.testing.assert_allclose(ours.values[1:], expected, rtol=1e-6, atol=1e-9)


def test_volumes_are_left_out_as_in_a_published_table(published: Path) -> None:
    confounds = read_confounds(published, strategy="none", highest_displacement=None)
    assert confounds.non_steady_state == 3
    assert np.flatnonzero(~confounds.kept).tolist() == [0, 1, 2]
    assert confounds.values.shape == (30, 0)


def test_an_older_table_has_no_derivatives_so_they_are_computed(tmp_path: Path) -> None:
    columns = motion()
    confounds = read_confounds(write(tmp_path, columns), strategy="motion24")
    assert len(confounds.names) == 24
    shifts = np.array(columns["trans_x"], float)
    derivative = confounds.values[:, confounds.names.index("trans_x_derivative1")]
    np.testing.assert_allclose(derivative, [0, *np.diff(shifts)])
    np.testing.assert_allclose(confounds.values[:, confounds.names.index("trans_x_power2")], shifts**2)


def test_high_motion_and_unsettled_volumes_do_not_count(tmp_path: Path) -> None:
    columns = motion() | {
        "framewise_displacement": ["n/a", 0.1, 0.51, 0.5, 2.0, 0.0],
        "non_steady_state_outlier00": [1, 0, 0, 0, 0, 0],
    }
    path = write(tmp_path, columns)
    confounds = read_confounds(path, strategy="motion6")
    assert confounds.kept.tolist() == [False, True, False, True, False, True]
    assert (confounds.high_motion, confounds.non_steady_state) == (2, 1)
    assert read_confounds(path, strategy="motion6", highest_displacement=None).kept.sum() == 5


def test_components_are_of_the_combined_mask_and_come_with_cosines(tmp_path: Path) -> None:
    components = {f"a_comp_cor_{index:02}": [index] * 6 for index in range(8)}
    path = write(tmp_path, motion() | components | {"cosine00": [1] * 6, "cosine01": [2] * 6})
    told = read_confounds(path, strategy="acompcor5")
    assert "it has no .json" in told.notes[0]
    masks = {f"a_comp_cor_{index:02}": {"Mask": "CSF" if index < 2 else "combined"} for index in range(8)}
    path.with_suffix(".json").write_text(json.dumps(masks))
    confounds = read_confounds(path, strategy="motion6+acompcor5")
    assert confounds.names[6:] == (*(f"a_comp_cor_0{index}" for index in range(2, 7)), "cosine00", "cosine01")
    assert confounds.has_cosines
    assert not read_confounds(path, strategy="motion6").has_cosines


def test_bad_tables_are_refused_with_name_value_and_advice(tmp_path: Path) -> None:
    late = motion() | {"framewise_displacement": [0, 0, "n/a", 0, 0, 0]}
    ragged = write(tmp_path, motion(), name="ragged.tsv")
    ragged.write_text(ragged.read_text() + "1\t2\n")
    binary = tmp_path / "binary.tsv"
    binary.write_bytes(b"\xff\xfe\x00" * 999)
    pointer = tmp_path / "pointer.tsv"
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    sidecar = write(tmp_path, motion() | {"a_comp_cor_00": [0] * 6}, name="sidecar.tsv")
    sidecar.with_suffix(".json").write_text("{")
    few = write(tmp_path, motion() | {"a_comp_cor_00": [0] * 6}, name="few.tsv")
    cases = [
        (write(tmp_path, {"trans_x": [0, 1]}, name="lacks.tsv"), "motion6", r"no column trans_y \(it has trans_x"),
        (write(tmp_path, {"X": [0, 1]}, name="old.tsv"), "motion24", "a table of fMRIPrep 1.2 or later is needed"),
        (write(tmp_path, late, name="late.tsv"), "motion6", "framewise_displacement, volume 2: 'n/a' is not a number"),
        (ragged, "motion6", "line 8 has 2 values for 6 columns"),
        (write(tmp_path, {"trans_x": []}, name="none.tsv"), "motion6", "has no rows"),
        (binary, "motion6", "cannot be read as a table"),
        (pointer, "motion6", "git lfs pull"),
        (sidecar, "acompcor5", "is not JSON"),
        (few, "acompcor5", "has 1 components a_comp_cor of the combined mask; 5 are needed"),
        (tmp_path / "absent.tsv", "motion6", "there is no such file"),
    ]
    for path, strategy, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            read_confounds(path, strategy=strategy)
        assert path.stem in str(caught.value)
    with pytest.raises(ValueError, match=r"no confound strategy 'motion12'; did you mean motion24 or motion6\?"):
        read_confounds(few, strategy="motion12+gsr")


def test_a_column_that_is_not_wanted_may_hold_anything(tmp_path: Path) -> None:
    path = write(tmp_path, motion() | {"csf": ["x"] * 6})
    assert read_confounds(path, strategy="none").names == ()


def test_a_table_of_another_length_than_the_run_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, motion())
    confounds = read_confounds(path, strategy="motion6")
    require_rows(confounds, path, 6, tmp_path / "bold.nii")
    with pytest.raises(InputError, match=r"has 6 rows, but bold.nii has 7 volumes; both must be of one run"):
        require_rows(confounds, path, 7, tmp_path / "bold.nii")
