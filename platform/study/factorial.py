"""Factorial designs: all combinations of levels, or a fraction of a two-level one with what it confounds.

Fractions follow Box, Hunter & Hunter (Statistics for Experimenters, chapter 6): factors are the letters A, B, ... in
the order in which they are written; a generator `D=ABC` sets D's level to the product of the others' signs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Without I, which stands for the identity."""
_GENERATOR = re.compile(r"([A-Z])\s*=\s*(-?)\s*([A-Z]+)")

Levels = Mapping[str, Any]
"""Field to the level that it has in one cell."""


def cells(fields: Mapping[str, Sequence[Any]], generators: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return every combination of levels that the design holds, the last field varying fastest.

    Raises:
        ValueError: A generator is malformed, or the fields do not all have two levels; says what would be right.
    """
    parsed = [parse_generator(text, len(fields)) for text in generators]
    made = {letter: (factor, word) for letter, factor, word in parsed}
    if made and any(len(levels) != 2 for levels in fields.values()):
        raise ValueError("a fraction needs exactly two levels for every field")
    if made and len(made) < len(generators):
        raise ValueError("each letter may be generated once")
    free = [letter for letter, _ in zip(LETTERS, fields, strict=False) if letter not in made]
    for letter, (_, word) in made.items():
        if any(one in made for one in word):
            raise ValueError(f"{letter} must be made of the free letters {', '.join(free)}")
    if not made:
        return [dict(zip(fields, levels, strict=True)) for levels in product(*fields.values())]
    return list(_fraction(fields, made, free))


def _fraction(
    fields: Mapping[str, Sequence[Any]], made: Mapping[str, tuple[int, str]], free: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for signs in product((-1, 1), repeat=len(free)):
        sign = dict(zip(free, signs, strict=True))
        for letter, (factor, word) in made.items():
            value = factor
            for one in word:
                value *= sign[one]
            sign[letter] = value
        named = zip(LETTERS, fields.items(), strict=False)
        yield {field: levels[(sign[letter] + 1) // 2] for letter, (field, levels) in named}


def parse_generator(text: str, count: int) -> tuple[str, int, str]:
    """Return the letter that `text` makes, its sign and of which letters. Raises `ValueError`."""
    letters = LETTERS[:count]
    match = _GENERATOR.fullmatch(text.strip())
    right = f"write it as {letters[-1]}={letters[:-1] if count > 1 else '?'}, the fields being {', '.join(letters)}"
    if match is None:
        raise ValueError(f"{text!r} is no generator; {right}")
    letter, minus, word = match.groups()
    if letter not in letters or not set(word) <= set(letters) or len(set(word)) < len(word) or letter in word:
        raise ValueError(f"{text!r} names a letter that is no other field, or one twice; {right}")
    return letter, -1 if minus else 1, word


def aliases(fields: Sequence[str], generators: Sequence[str], *, order: int = 2) -> tuple[str, ...]:
    """Return which effects a fraction confounds: `A = BCD`, up to interactions of `order` fields on the left."""
    words = defining_words(len(fields), generators)
    letters = LETTERS[: len(fields)]
    lines: list[str] = []
    seen: set[frozenset[str]] = set()
    for size in range(1, order + 1):
        for effect in map(frozenset, combinations(letters, size)):
            if effect in seen:
                continue
            group = [(effect ^ word, sign) for word, sign in words.items()]
            seen.update(other for other, _ in group)
            written = [("-" if sign < 0 else "") + _word(other) for other, sign in sorted(group, key=_length)]
            lines.append(" = ".join([_word(effect), *written]))
    return tuple(lines)


def defining_words(count: int, generators: Sequence[str]) -> dict[frozenset[str], int]:
    """Return the words that equal the identity, with their signs: all products of the generators."""
    words: dict[frozenset[str], int] = {}
    for text in generators:
        letter, sign, word = parse_generator(text, count)
        one = frozenset((letter, *word))
        words |= {one ^ other: sign * value for other, value in words.items()} | {one: sign}
    return words


def resolution(count: int, generators: Sequence[str]) -> int:
    """Return the length of the shortest defining word: at 3, single effects are confounded with pairs."""
    return min(map(len, defining_words(count, generators)))


def _word(letters: frozenset[str]) -> str:
    return "".join(sorted(letters)) if letters else "I"


def _length(entry: tuple[frozenset[str], int]) -> tuple[int, str]:
    return len(entry[0]), _word(entry[0])
