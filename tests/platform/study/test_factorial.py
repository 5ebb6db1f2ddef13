"""Factorial designs against textbook ones: 2^(4-1) with D = ABC, 2^(5-2) with D = AB, E = AC."""

import numpy as np
import pytest

from platform.study.factorial import aliases, cells, defining_words, parse_generator, resolution


def signs(count: int, generators: tuple[str, ...]) -> np.ndarray:
    fields = {f"x{index}": (-1, 1) for index in range(count)}
    return np.array([list(cell.values()) for cell in cells(fields, generators)])


def test_a_full_factorial_has_every_combination_once() -> None:
    found = cells({"a": (1, 2, 3), "b": ("x", "y")})
    assert len(found) == 6
    assert {(cell["a"], cell["b"]) for cell in found} == {(a, b) for a in (1, 2, 3) for b in ("x", "y")}


@pytest.mark.parametrize(("count", "generators"), [(4, ("D=ABC",)), (5, ("D=AB", "E=AC")), (3, ("C=-AB",))])
def test_a_fraction_is_orthogonal_and_its_words_are_constant(count: int, generators: tuple[str, ...]) -> None:
    design = signs(count, generators)
    assert len(design) == 2 ** (count - len(generators))
    assert len({tuple(row) for row in design}) == len(design)
    assert (design.T @ design == len(design) * np.eye(count)).all()
    for word, sign in defining_words(count, generators).items():
        columns = ["ABCDE".index(letter) for letter in word]
        assert (design[:, columns].prod(axis=1) == sign).all(), word


def test_aliases_of_the_textbook_half_fraction() -> None:
    lines = aliases(["a", "b", "c", "d"], ["D=ABC"])
    assert lines == ("A = BCD", "B = ACD", "C = ABD", "D = ABC", "AB = CD", "AC = BD", "AD = BC")
    assert resolution(4, ["D=ABC"]) == 4


def test_a_quarter_fraction_confounds_single_effects_with_pairs() -> None:
    lines = aliases(["a", "b", "c", "d", "e"], ["D=AB", "E=AC"])
    assert lines[0] == "A = BD = CE = ABCDE"
    assert resolution(5, ["D=AB", "E=AC"]) == 3


def test_a_negative_generator_turns_the_sign() -> None:
    assert aliases(["a", "b", "c"], ["C=-AB"])[0] == "A = -BC"
    assert parse_generator("C = -AB", 3) == ("C", -1, "AB")


@pytest.mark.parametrize(
    ("levels", "generators", "what"),
    [
        ((1, 2), ("D=AB",), "names a letter that is no other field"),
        ((1, 2), ("C=C",), "names a letter"),
        ((1, 2), ("C=AA",), "or one twice"),
        ((1, 2), ("C",), "is no generator; write it as C=AB"),
        ((1, 2, 3), ("C=AB",), "exactly two levels"),
        ((1, 2), ("C=AB", "C=-AB"), "generated once"),
        ((1, 2), ("C=AB", "B=C"), "made of the free letters A"),
    ],
)
def test_bad_generators(levels: tuple[int, ...], generators: tuple[str, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        cells({"a": levels, "b": levels, "c": levels}, generators)
