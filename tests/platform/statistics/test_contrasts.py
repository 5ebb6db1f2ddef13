"""Contrasts against independent computations: a linear model, all orders of components, and binomial intervals."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from platform.statistics.compare import compare_exploratory
from platform.statistics.comparison_plan import ComparisonPlan
from platform.statistics.contrasts import Contrast, between, contrast_table, factorial_effects, shapley_contrasts
from platform.statistics.paired import Values, complete_cases
from platform.statistics.prevalence import prevalence
from trainables.metrics.registry import METRICS

METRIC = METRICS["noop.value"]
FIELDS = {"a": ("a0", "a1"), "b": ("b0", "b1"), "c": ("c0", "c1")}
CELLS = {cell: ".".join(cell) for cell in product(*FIELDS.values())}
AXES = (("0", "1"), tuple(range(7)), (0, 1, 2))


def drawn(names: list[str], seed: int = 0) -> dict[str, Values]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(2, 7, 3)) for name in names}


def size(contrast: Contrast, values: dict[str, Values]) -> float:
    """Return the mean difference of a contrast."""
    return float(complete_cases(contrast_table(contrast, values, METRIC, AXES)).differences.mean())


def test_effects_of_a_factorial_are_twice_the_coefficients_of_a_linear_model() -> None:
    values = drawn(list(CELLS.values()))
    effects = {contrast.name: contrast for contrast in factorial_effects(FIELDS, CELLS)}
    assert len(effects) == 3 + 3
    signs = np.array([[1 if level.endswith("1") else -1 for level in cell] for cell in CELLS])
    a, b, c = signs.T
    design = np.column_stack([np.ones(8), a, b, c, a * b, a * c, b * c])
    means = np.array([values[name].mean() for name in CELLS.values()])
    coefficients = np.linalg.lstsq(design, means, rcond=None)[0]
    sizes = [size(contrast, values) for contrast in effects.values()]
    assert sizes == pytest.approx(list(2 * coefficients[1:]))


def test_levels_are_compared_with_the_first() -> None:
    fields = {"a": (1, 2, 3), "b": (True, False)}
    cells = {cell: f"{cell[0]}{cell[1]}" for cell in product(*fields.values())}
    names = [contrast.name for contrast in factorial_effects(fields, cells)]
    assert names == [
        "a: 2 against 1",
        "a: 3 against 1",
        "b: False against True",
        "a 2 x b False",
        "a 3 x b False",
    ]
    values = drawn(list(cells.values()))
    second = factorial_effects(fields, cells)[1]
    expected = np.mean([values["3True"], values["3False"]]) - np.mean([values["1True"], values["1False"]])
    assert size(second, values) == pytest.approx(expected)


def test_a_factorial_with_a_hole_is_refused() -> None:
    with pytest.raises(ValueError, match="no condition with a1, b1, c1"):
        factorial_effects(FIELDS, {cell: name for cell, name in CELLS.items() if cell != ("a1", "b1", "c1")})


def test_shapley_values_are_the_mean_contribution_over_all_orders() -> None:
    components = ("semantic", "structure", "motion")
    sets = [
        frozenset(name for name, kept in zip(components, bits, strict=True) if kept)
        for bits in product((0, 1), repeat=3)
    ]
    names = {present: "+".join(sorted(present)) or "none" for present in sets}
    values = drawn(list(names.values()), seed=3)
    by_hand = dict.fromkeys(components, 0.0)
    for order in permutations(components):
        for place, name in enumerate(order):
            before, after = frozenset(order[:place]), frozenset(order[: place + 1])
            by_hand[name] += float(values[names[after]].mean() - values[names[before]].mean()) / 6
    contrasts = shapley_contrasts(components, names)
    sizes = {contrast.name: size(contrast, values) for contrast in contrasts}
    assert sizes == pytest.approx(by_hand)
    whole = values[names[frozenset(components)]].mean() - values["none"].mean()
    assert sum(sizes.values()) == pytest.approx(float(whole))
    with pytest.raises(ValueError, match="exactly: motion, semantic"):
        shapley_contrasts(components, {key: name for key, name in names.items() if key != {"motion", "semantic"}})


def test_a_contrast_is_tested_as_a_comparison_is() -> None:
    values = drawn(["x", "y"], seed=5)
    table = contrast_table(between("x", "y"), values, METRIC, AXES)
    tested = compare_exploratory(table, ComparisonPlan(unit="seeds"))
    by_seed = (values["x"] - values["y"]).mean(axis=(0, 2))
    oracle = stats.ttest_1samp(by_seed, 0.0).confidence_interval(0.95)
    assert (tested.interval.low, tested.interval.high) == pytest.approx((oracle.low, oracle.high))
    assert tested.p_holm is None
    assert tested.stars == ""


def test_a_missing_value_is_missing_in_every_contrast_that_needs_it() -> None:
    values = drawn(["x", "y", "z"])
    values["z"][0, 2, 1] = np.nan
    table = contrast_table(Contrast("mean", {"x": 0.5, "z": 0.5}, {"y": 1.0}), values, METRIC, AXES)
    assert np.argwhere(np.isnan(table.condition)).tolist() == [[0, 2, 1]]
    assert np.isfinite(table.baseline).all()


@pytest.mark.parametrize("weights", [{"x": 0.5}, {"x": 1.5, "y": -0.5}, {}])
def test_weights_that_are_no_mean_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must sum to 1"):
        Contrast("wrong", weights, {"x": 1.0})


def test_the_prevalence_is_the_binomial_interval_without_false_positives() -> None:
    found = prevalence(3, 3)
    assert (found.value, found.high) == (1.0, 1.0)
    exact = stats.binomtest(3, 3).proportion_ci(0.95, method="exact")
    assert found.low == pytest.approx((exact.low - 0.05) / 0.95)
    nothing = prevalence(0, 3)
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx((stats.binomtest(0, 3).proportion_ci(0.95, method="exact").high - 0.05) / 0.95)
    some = prevalence(5, 20, alpha=0.1)
    assert some.value == pytest.approx((0.25 - 0.1) / 0.9)
    with pytest.raises(ValueError, match="4 of 3 subjects"):
        prevalence(4, 3)


def test_the_interval_of_the_prevalence_covers_it() -> None:
    rng = np.random.default_rng(0)
    true, alpha = 0.6, 0.05
    positives = rng.binomial(12, alpha + (1 - alpha) * true, size=3000)
    covered = np.mean([found.low <= true <= found.high for found in (prevalence(int(k), 12) for k in positives)])
    assert covered >= 0.95
