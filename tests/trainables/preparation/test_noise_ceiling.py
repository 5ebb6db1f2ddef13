import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.preparation.noise_ceiling import (
    correlation,
    explainable_variance,
    noise_ceiling,
    repeat_correlation,
    spearman_brown,
)


def planted(
    ratios: list[float], *, clips: int = 3000, repeats: int = 3, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return rows [clips x repeats, voxels] with a signal of each ratio to noise of standard deviation 1."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(clips, len(ratios))) * ratios
    rows = np.repeat(signal, repeats, axis=0) + rng.normal(size=(clips * repeats, len(ratios)))
    return rows, np.repeat(np.arange(clips), repeats)


def test_the_ceiling_is_the_planted_one() -> None:
    ratios = [0.0, 0.3, 1.0, 2.0]
    ceiling = noise_ceiling(*planted(ratios))
    np.testing.assert_allclose(ceiling.ncsnr[1:], ratios[1:], rtol=0.06)
    # Without signal, the difference of the two variances has a standard deviation of about 0.01 here.
    assert ceiling.ncsnr[0] ** 2 < 0.03
    np.testing.assert_allclose(ceiling.single[1:], [100 * r**2 / (r**2 + 1) for r in ratios[1:]], rtol=0.1)
    np.testing.assert_allclose(ceiling.averaged[1:], [100 * r**2 / (r**2 + 1 / 3) for r in ratios[1:]], rtol=0.1)


def test_it_equals_the_formulas_written_out_voxel_by_voxel() -> None:
    rows, clip = planted([0.5, 1.5], clips=40)
    ceiling = noise_ceiling(rows, clip)
    for voxel in range(2):
        each = [rows[clip == number, voxel] for number in range(40)]
        noise = np.mean([values.var(ddof=1) for values in each])
        signal = max(0, rows[:, voxel].var(ddof=1) - noise)
        ncsnr = np.sqrt(signal / noise)
        assert ceiling.ncsnr[voxel] == pytest.approx(ncsnr)
        assert ceiling.averaged[voxel] == pytest.approx(100 * ncsnr**2 / (ncsnr**2 + 1 / 3))


def test_the_square_root_of_the_ceiling_is_that_of_a_correlation() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=4000)
    rows = (signal[:, None] + rng.normal(size=(4000, 3))).reshape(-1, 1)
    ceiling = noise_ceiling(rows, np.repeat(np.arange(4000), 3))
    mean = rows.reshape(4000, 3).mean(axis=1)
    assert np.sqrt(ceiling.averaged[0] / 100) == pytest.approx(np.corrcoef(signal, mean)[0, 1], abs=0.02)


def test_repeats_may_differ_from_clip_to_clip_and_come_in_any_order() -> None:
    rows, clip = planted([1.0], clips=900)
    kept = np.ones(len(rows), bool)
    kept[::7] = False
    order = np.random.default_rng(1).permutation(np.flatnonzero(kept))
    ceiling = noise_ceiling(rows[order], clip[order])
    counts = np.bincount(clip[order])
    share = np.mean(1 / counts[counts > 1])
    assert ceiling.ncsnr[0] == pytest.approx(1, rel=0.1)
    assert ceiling.averaged[0] == pytest.approx(100 * ceiling.ncsnr[0] ** 2 / (ceiling.ncsnr[0] ** 2 + share))


def test_nothing_repeated_constant_or_equal_voxels() -> None:
    rows, clip = planted([1.0], clips=20)
    assert np.isnan(noise_ceiling(rows, np.arange(60)).single).all()
    constant = np.concatenate([rows, np.ones((60, 1)), np.repeat(rows[::3], 3, axis=0)], axis=1)
    ceiling = noise_ceiling(constant, clip)
    assert np.isnan([ceiling.single[1], ceiling.averaged[1], ceiling.ncsnr[1]]).all()
    assert (ceiling.single[2], ceiling.averaged[2]) == (100, 100)


def test_the_correlation_between_repeats_takes_the_first_two() -> None:
    rows, clip = planted([1.0, 0.0], clips=2000)
    observed = repeat_correlation(rows, clip)
    expected = [np.corrcoef(rows[0::3, voxel], rows[1::3, voxel])[0, 1] for voxel in range(2)]
    np.testing.assert_allclose(observed, expected)
    assert np.isnan(repeat_correlation(rows[:6], clip[:6])).all()


def test_spearman_brown_gives_the_reliability_of_the_mean() -> None:
    rows, _ = planted([1.0], clips=20000, repeats=4)
    four = rows.reshape(-1, 4)
    single = correlation(four[:, :1], four[:, 1:2])
    halves = correlation(four[:, :2].mean(axis=1, keepdims=True), four[:, 2:].mean(axis=1, keepdims=True))
    np.testing.assert_allclose(spearman_brown(single), halves, atol=0.02)


def test_explainable_variance_does_not_depend_on_the_number_of_repeats() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(3000, 2)) * [1.0, 0.0]
    for repeats in (2, 5, 10):
        share = explainable_variance(signal + rng.normal(size=(repeats, 3000, 2)))
        np.testing.assert_allclose(share, [0.5, 0.0], atol=0.05)


def test_correlation_of_a_constant_is_no_number() -> None:
    assert np.isnan(correlation(np.ones((5, 1)), np.arange(5.0)[:, None])).all()
