"""Variance components: textbook formulas, planted variances, clusters, and what has no component."""

import json
from pathlib import Path

import numpy as np
import pytest

from platform.statistics.variance_components import RESIDUAL, variance_components


def two_way(table: np.ndarray) -> tuple[float, float, float]:
    """The textbook's analysis of a two-way table with one value per cell: variances of rows, columns, residual."""
    rows, columns = table.shape
    grand = table.mean()
    of_rows = columns * sum((row.mean() - grand) ** 2 for row in table) / (rows - 1)
    of_columns = rows * sum((column.mean() - grand) ** 2 for column in table.T) / (columns - 1)
    residual = sum(
        (table[r, c] - table[r].mean() - table[:, c].mean() + grand) ** 2 for r in range(rows) for c in range(columns)
    ) / ((rows - 1) * (columns - 1))
    return (of_rows - residual) / columns, (of_columns - residual) / rows, residual


def test_two_factors_are_those_of_the_textbook() -> None:
    table = np.random.default_rng(0).normal(size=(5, 9)) + np.arange(9)
    found = variance_components(table, ("seed", "clip"))
    assert found is not None
    seed, clip, residual = two_way(table)
    assert found.variances == pytest.approx({"seed": max(0.0, seed), "clip": clip, RESIDUAL: residual})
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_planted_variances_are_found_on_average() -> None:
    planted = {"subject": 2.0, "seed": 1.0, "clip": 3.0, "subject x clip": 0.5, RESIDUAL: 0.25}
    rng = np.random.default_rng(1)
    shapes = {"subject": (4, 1, 1), "seed": (1, 6, 1), "clip": (1, 1, 12), "subject x clip": (4, 1, 12)}
    shapes[RESIDUAL] = (4, 6, 12)
    sums = dict.fromkeys([*planted, "subject x seed", "seed x clip"], 0.0)
    for _ in range(400):
        values = sum(rng.normal(0.0, planted[name] ** 0.5, shape) for name, shape in shapes.items())
        found = variance_components(np.asarray(values), ("subject", "seed", "clip"))
        assert found is not None
        for name, value in found.variances.items():
            sums[name] += value / 400
    for name, value in sums.items():
        assert value == pytest.approx(planted.get(name, 0.0), rel=0.12, abs=0.02), name


@pytest.mark.parametrize("sizes", [(5,) * 8, (2, 9, 3, 6, 7, 1, 8, 4)])
def test_clusters_are_told_from_clips_within_them(sizes: tuple[int, ...]) -> None:
    names = [f"film {film}" for film, size in enumerate(sizes) for _ in range(size)]
    rng, number = np.random.default_rng(2), np.unique(names, return_inverse=True)[1]
    sums = {"seed": 0.0, "cluster": 0.0, "clip within cluster": 0.0, RESIDUAL: 0.0}
    for _ in range(600):
        values = rng.normal(0.0, 1.0, len(sizes))[number] + rng.normal(0.0, 0.7**0.5, len(names))
        table = values + rng.normal(0.0, 0.3**0.5, (5, len(names))) + rng.normal(0.0, 0.2**0.5, (5, 1))
        found = variance_components(table, ("seed", "clip"), clusters=names)
        assert found is not None
        assert found.variances.keys() == sums.keys()
        for name, value in found.variances.items():
            sums[name] += value / 600
    assert sums == pytest.approx({"seed": 0.2, "cluster": 1.0, "clip within cluster": 0.7, RESIDUAL: 0.3}, rel=0.08)


def test_what_has_one_level_has_no_component() -> None:
    values = np.random.default_rng(3).normal(size=(1, 5, 7))
    found = variance_components(values, ("subject", "seed", "clip"))
    assert found is not None
    assert list(found.variances) == ["seed", "clip", RESIDUAL]
    assert variance_components(values[:, :1], ("subject", "seed", "clip")) is None
    same = variance_components(np.ones((1, 5, 7)), ("subject", "seed", "clip"))
    assert same is not None
    assert all(np.isnan(share) for share in same.shares.values())


def test_an_estimate_below_zero_is_zero_and_named() -> None:
    table = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    found = variance_components(table, ("seed", "clip"))
    assert found is not None
    assert found.negative == ("seed", "clip")
    assert found.shares[RESIDUAL] == 1.0


MIXED_MODELS = json.loads((Path(__file__).resolve().parents[2] / "data" / "mixed_models.json").read_text("utf-8"))
"""Variances by statsmodels' MixedLM (REML); `origin` says how they were made."""


@pytest.mark.parametrize(
    ("name", "factors"),
    [("two", ("seed", "clip")), ("three", ("subject", "seed", "clip")), ("nested", ("seed", "clip"))],
)
def test_they_are_those_of_a_mixed_model(name: str, factors: tuple[str, ...]) -> None:
    """The optimiser of MixedLM stops within .0005 of its solution."""
    design = MIXED_MODELS["designs"][name]
    clusters = [f"film {number}" for number in design.get("clusters", ())]
    found = variance_components(np.array(design["values"]), factors, clusters=clusters)
    assert found is not None
    assert found.negative == ()
    assert found.variances == pytest.approx(design["variances"], abs=5e-4)
