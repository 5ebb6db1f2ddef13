from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.cifti import reduced_brain, write_dtseries
from trainables.preparation.cifti import open_cifti
from trainables.preparation.filtering import (
    Run,
    Trend,
    clean_blocks,
    make_projection,
    mean_of_repeats,
    trend_regressors,
)

Doubles = NDArray[np.float64]
RNG = np.random.default_rng


def raw_bold(volumes: int = 120, columns: int = 30, *, seed: int = 0) -> NDArray[np.float32]:
    """Return values as scanners have them: a large mean, drift, and noise."""
    rng = RNG(seed)
    time = np.linspace(-1, 1, volumes)[:, None]
    drift = 300 * time * rng.normal(size=columns) + 200 * time**2 * rng.normal(size=columns)
    return (1e4 + drift + 100 * rng.normal(size=(volumes, columns))).astype(np.float32)


def voxel_by_voxel(values: Doubles, regressors: Doubles, kept: NDArray[np.bool_], *, ddof: int = 1) -> Doubles:
    """Return least squares of each column by itself, in float64: what our projection is compared with."""
    result = np.zeros(values.shape)[kept]
    for column in range(values.shape[1]):
        series = values[kept, column].astype(float)
        weights = np.linalg.lstsq(regressors[kept], series, rcond=None)[0]
        residual = series - regressors[kept] @ weights
        result[:, column] = residual / residual.std(ddof=ddof)
    return result


@pytest.mark.parametrize("trend", ["polynomial", "cosine", "none"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_one_projection_equals_least_squares_of_each_voxel(trend: Trend, ddof: int) -> None:
    values, confounds = raw_bold(), RNG(1).normal(size=(120, 6))
    kept = np.ones(120, bool)
    kept[[0, 1, 40, 41, 119]] = False
    projection = make_projection(120, 2.0, trend=trend, confounds=confounds, kept=kept)
    regressors = np.concatenate([trend_regressors(120, 2.0, trend=trend), confounds], axis=1)
    cleaned = projection.clean(values, ddof=ddof).values
    expected = voxel_by_voxel(values.astype(float), regressors, kept, ddof=ddof)
    np.testing.assert_allclose(cleaned[kept], expected, atol=1e-5)


def test_it_equals_nilearn_with_cosines_confounds_and_excluded_volumes() -> None:
    signal = pytest.importorskip("nilearn.signal")
    # White confounds: where one resembles a cosine (r > 0.9), nilearn leaves all its cosines out.
    values, confounds = raw_bold(200), RNG(1).normal(size=(200, 6))
    kept = np.ones(200, bool)
    kept[[0, 1, 60, 61, 130]] = False
    projection = make_projection(200, 1.75, trend="cosine", confounds=confounds, kept=kept)
    theirs = signal.clean(
        values.astype(float),
        detrend=False,
        standardize="zscore_sample",
        filter="cosine",
        high_pass=0.008,
        t_r=1.75,
        confounds=confounds,
        sample_mask=np.flatnonzero(kept),
        standardize_confounds=True,
    )
    np.testing.assert_allclose(projection.clean(values).values[kept], theirs, atol=1e-4)


def test_it_equals_nilearn_detrending_where_the_degree_is_one() -> None:
    signal = pytest.importorskip("nilearn.signal")
    values = raw_bold(60)
    theirs = signal.clean(values.astype(float), detrend=True, standardize="zscore_sample")
    np.testing.assert_allclose(make_projection(60, 2.0).clean(values).values, theirs, atol=1e-4)


def test_the_degree_follows_the_duration() -> None:
    assert [trend_regressors(volumes, 2.0).shape[1] - 1 for volumes in (60, 75, 240, 450)] == [1, 2, 4, 7]
    assert trend_regressors(3, 100.0).shape == (3, 3)


def test_one_projection_leaves_no_confound_that_two_steps_bring_back() -> None:
    time = np.linspace(0, 1, 150)
    confound = (np.sin(40 * time) + 3 * time)[:, None]
    values = (50 * confound + raw_bold(150, 1)).astype(np.float32)
    cleaned = make_projection(150, 2.0, confounds=confound).clean(values).values[:, 0]
    detrended = make_projection(150, 2.0).clean(values, standardise=False).values
    twice = make_projection(150, 2.0, trend="none", confounds=confound).clean(detrended).values[:, 0]
    assert abs(np.corrcoef(cleaned, confound[:, 0])[0, 1]) < 1e-5
    assert abs(np.corrcoef(cleaned, time)[0, 1]) < 1e-5
    assert abs(np.corrcoef(twice, time)[0, 1]) > 1e-2


def test_excluded_volumes_do_not_shape_the_fit_and_are_filled_from_their_neighbours() -> None:
    values = raw_bold(50)
    kept = np.ones(50, bool)
    kept[[0, 20, 21, 49]] = False
    spiked = values.copy()
    spiked[~kept] += 1e5
    projection = make_projection(50, 2.0, kept=kept)
    first, second = projection.clean(values).values, projection.clean(spiked).values
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[20], first[19] * 2 / 3 + first[22] / 3, rtol=1e-5)
    np.testing.assert_array_equal(first[[0, 49]], first[[1, 48]])


def test_constant_and_not_finite_columns_become_zeros_and_are_told() -> None:
    values = raw_bold(40, 5)
    values[:, 1] = 1e4
    values[3, 2] = np.nan
    values[3, 3] = np.inf
    values[:, 4] = np.linspace(9000, 11000, 40)  # nothing but a trend
    cleaned = make_projection(40, 2.0).clean(values)
    assert cleaned.constant.tolist() == [False, True, False, False, True]
    assert cleaned.not_finite.tolist() == [False, False, True, True, False]
    assert not cleaned.values[:, 1:].any()
    np.testing.assert_allclose(cleaned.values[:, 0].std(ddof=1), 1, rtol=1e-5)


def test_regressors_that_depend_on_others_add_nothing() -> None:
    twice = np.repeat(RNG(0).normal(size=(40, 1)), 3, axis=1)
    confounds = np.concatenate([twice, np.full((40, 1), 7.0), np.linspace(5, 6, 40)[:, None]], axis=1)
    projection = make_projection(40, 2.0, confounds=confounds)
    assert projection.regressors == 3
    np.testing.assert_allclose(projection.basis.T @ projection.basis, np.eye(3), atol=1e-6)


def test_more_regressors_than_volumes_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"20 regressors for 20 volumes leave nothing; use fewer confounds"):
        make_projection(20, 2.0, confounds=RNG(0).normal(size=(20, 24)))


@dataclass(frozen=True)
class Repeats:
    runs: tuple[Run, ...]
    values: tuple[NDArray[np.float32], ...]


@pytest.fixture
def repeats(tmp_path: Path) -> Repeats:
    brain = reduced_brain()
    values = tuple(raw_bold(66, len(brain), seed=seed) for seed in range(3))
    files = [write_dtseries(tmp_path / f"{i}.dtseries.nii", value, brain) for i, value in enumerate(values)]
    projection = make_projection(60, 2.0)
    return Repeats(tuple(Run(open_cifti(file), slice(2, 62), projection) for file in files), values)


def test_blocks_of_any_size_give_the_same(repeats: Repeats) -> None:
    (run, *_), (values, *_) = repeats.runs, repeats.values
    whole = run.projection.clean(values[2:62, :120]).values
    for size in (7, 64, 8192):
        parts = [cleaned.values for _, cleaned in clean_blocks(run, size=size)]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)


def test_the_mean_of_repeats_is_that_of_each_cleaned(repeats: Repeats) -> None:
    regressors = trend_regressors(60, 2.0)
    each = [voxel_by_voxel(value[2:62, 10:50].astype(float), regressors, np.ones(60, bool)) for value in repeats.values]
    np.testing.assert_allclose(mean_of_repeats(repeats.runs, slice(10, 50)), np.mean(each, axis=0), atol=1e-5)
