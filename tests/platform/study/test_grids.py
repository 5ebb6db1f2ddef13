"""Grids and constraints: a grid is tried as a whole, and every allowed point of a finite space is found."""

import pytest

from platform.run.proposer import Proposer
from tests.platform.study_texts import NOOP, build, complaints


def test_a_grid_is_tried_as_a_whole_or_not_at_all() -> None:
    """The first four points in the order of the file would have one value of the first field."""
    text = NOOP.replace("trials: 4\n", "trials: 4\nsampler: grid\n").replace("[0, 1]", "[0, 1], step: 0.25")
    (line,) = complaints(text)
    assert "trials: is 4, but the grid has 20 points" in line
    assert "sampler: random" in line


@pytest.mark.parametrize(
    ("constraint", "step", "points"),
    [
        ("noop.value + noop.fail_at * 0.1 <= 0.3", 0.1, 10),
        ("noop.value + noop.fail_at * 0.1 == 0.3", 0.1, 4),
        ("noop.value < 0.3", 0.1, 12),
        ("noop.value in [0.3]", 0.1, 4),
        ("noop.value == 0.2003", 0.001, 0),
    ],
)
def test_constraints_are_exact_on_a_grid_of_decimal_fractions(constraint: str, step: float, points: int) -> None:
    text = NOOP.replace("trials: 4\n", "sampler: grid\n").replace("[0, 1]", f"[0, 1], step: {step}")
    text += f"constraints: ['{constraint}']\n"
    if points == 0:
        assert "leaves no point to try: all 4004 points" in complaints(text)[0]
    else:
        assert len(build(text).space.grid()) == points


@pytest.mark.long
def test_the_one_allowed_point_of_thousands_is_found() -> None:
    text = "target: noop.value\ntrials: 3\nspace: {noop.epochs: {int: [1, 5000]}}\nconstraints: [noop.epochs == 4242]\n"
    proposer = Proposer(build(text))
    first = proposer.ask()
    assert first is not None
    assert first.values == {"noop.epochs": 4242}
    assert proposer.ask() is None
    assert proposer.exhausted == "the space has only 1 different points"


def test_a_huge_grid_is_refused() -> None:
    text = NOOP.replace("trials: 4\n", "sampler: grid\n").replace("[0, 1]", "[0, 1], step: 0.0001")
    assert "the grid has 40004 points" in complaints(text)[0]
