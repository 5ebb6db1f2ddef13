import numpy as np
import pytest

from trainables.preparation.lag import (
    ShownRun,
    align_at_lag,
    align_in_window,
    check_lag,
    motion_energy,
    volume_times,
)

RNG = np.random.default_rng


def test_clips_of_one_volume_each_take_their_own_volume_at_lag_0() -> None:
    values = RNG(0).normal(size=(10, 3)).astype("f4")
    onsets = np.arange(0.0, 20.0, 2.0)
    alignment = align_at_lag(volume_times(10, 2.0), onsets, np.full(10, 2.0), lag_s=0.0)
    np.testing.assert_array_equal(alignment.rows(values), values)
    assert alignment.has_response.all()
    assert alignment.largest_distance_s == 0.0


def test_between_volumes_it_interpolates_like_numpy() -> None:
    times = volume_times(30, 1.49, start_s=0.3)
    values = RNG(0).normal(size=(30, 2)).astype("f4")
    onsets = RNG(1).uniform(2, 30, 12)
    alignment = align_at_lag(times, onsets, np.full(12, 3.0), lag_s=4.5)
    expected = np.stack([np.interp(onsets + 6.0, times, column) for column in values.T], axis=1)
    np.testing.assert_allclose(alignment.rows(values), expected, atol=1e-5)
    assert 0.5 < alignment.largest_distance_s <= 0.745


def test_slice_timing_to_the_first_slice_shifts_by_half_a_volume() -> None:
    assert volume_times(3, 2.0, start_s=1.0, reference=0.0).tolist() == [1.0, 3.0, 5.0]


def test_a_clip_whose_answer_lies_outside_the_run_or_in_volumes_that_do_not_count_has_none() -> None:
    times, kept = volume_times(10, 2.0), np.ones(10, bool)
    kept[4] = False
    onsets = np.array([-8.0, 0.0, 4.0, 5.0, 14.0, 16.0])
    alignment = align_at_lag(times, onsets, np.full(6, 2.0), lag_s=4.0, kept=kept)
    # 4 s later: before the run, volume 2, volume 4 (not counted), between 4 and 5, volume 9, after the run
    assert alignment.has_response.tolist() == [False, True, False, False, True, False]
    assert not alignment.weights[~alignment.has_response].any()


def test_a_window_takes_the_mean_of_its_volumes_that_count() -> None:
    times, kept = volume_times(12, 1.0, reference=0.0), np.ones(12, bool)
    kept[6] = False
    values = RNG(0).normal(size=(12, 2)).astype("f4")
    alignment = align_in_window(times, np.array([0.0, 30.0]), window_s=(5.0, 9.0), kept=kept)
    np.testing.assert_allclose(alignment.rows(values)[0], values[[5, 7, 8, 9]].mean(axis=0), rtol=1e-6)
    assert alignment.has_response.tolist() == [True, False]


def test_motion_energy_is_that_of_luminance() -> None:
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    assert motion_energy(frames) == 0
    frames[1] = 10
    assert motion_energy(frames) == pytest.approx(100, rel=1e-5)


def runs(lag_volumes: int, *, count: int = 2, noise: float = 0.5) -> list[ShownRun]:
    """Return runs whose activity follows the energy of clips some volumes later."""
    made = []
    for seed in range(count):
        rng = RNG(seed)
        energy = rng.lognormal(size=60)
        activity = np.roll(np.log1p(energy), lag_volumes) + noise * rng.normal(size=60)
        onsets = np.arange(0.0, 120.0, 2.0)
        made.append(ShownRun(volume_times(60, 2.0), activity, onsets, np.full(60, 2.0), energy))
    return made


@pytest.mark.parametrize("planted", [-1, 0, 2, 3])
def test_the_curve_peaks_at_the_planted_lag(planted: int) -> None:
    check = check_lag(runs(planted), lag_s=2.0 * planted)
    assert check.seconds == (-4, -2, 0, 2, 4, 6, 8, 10, 12)
    assert check.peak_s == 2.0 * planted
    assert check.warning is None


def test_a_peak_elsewhere_is_told_with_both_numbers() -> None:
    warning = check_lag(runs(2), lag_s=0.0).warning
    assert warning is not None
    assert "best +4 s after their middle" in warning
    assert "the configured lag is +0 s" in warning


def test_a_lag_between_two_volumes_fits_both_of_them() -> None:
    assert check_lag(runs(2), lag_s=5.0).warning is None
    assert check_lag(runs(2), lag_s=5.5).warning is not None


def test_a_check_without_motion_or_runs_says_so() -> None:
    (run,) = runs(0, count=1)
    still = ShownRun(run.times, run.activity, run.onsets, run.durations, np.ones(60))
    warning = check_lag([still], lag_s=0.0).warning
    assert warning is not None
    assert "cannot be checked" in warning
    with pytest.raises(ValueError, match="no run with training clips"):
        check_lag([], lag_s=0.0)
