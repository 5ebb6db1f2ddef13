"""Easy data augmentation of captions (Wei and Zou 2019): synonym, insert, swap, delete.

Two schemes: that of the paper's text applies each operation with its probability, that of the released code one
operation per variant (mind-animator.md B24). By default the synonyms are a small table of our own. Any word of a group
may replace any other; words outside the table are left as they are. It covers the phantom's captions and the commonest
words of captions of natural video. `trainables.datasets.wordnet` has others.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from trainables.config.features import TABLE
from trainables.datasets.wordnet import WordNet

Synonyms: TypeAlias = Callable[[str], Sequence[str]]
"""From a word to its synonyms."""

SYNONYM_PROBABILITY, OTHER_PROBABILITY = 0.5, 0.2
"""Probability that each operation is applied to a caption, from the text of the paper (the released code differs)."""

GROUPS: tuple[tuple[str, ...], ...] = (
    ("large", "big", "huge"),
    ("small", "little", "tiny"),
    ("red", "crimson", "scarlet"),
    ("orange", "amber"),
    ("yellow", "golden"),
    ("green", "emerald"),
    ("cyan", "turquoise"),
    ("blue", "azure"),
    ("purple", "violet"),
    ("white", "pale"),
    ("grey", "gray"),
    ("brown", "tan"),
    ("navy", "indigo"),
    ("disc", "disk", "circle"),
    ("square", "box"),
    ("triangle", "pyramid"),
    ("cross", "plus"),
    ("drifting", "floating", "sliding"),
    ("moving", "going", "travelling"),
    ("up", "upwards"),
    ("down", "downwards"),
    ("over", "across", "above"),
    ("plain", "uniform", "flat"),
    ("background", "backdrop"),
    ("stripes", "bars"),
    ("checkerboard", "chessboard"),
    ("dots", "spots"),
    ("man", "guy", "person"),
    ("woman", "lady"),
    ("people", "persons"),
    ("child", "kid"),
    ("dog", "puppy"),
    ("cat", "kitten"),
    ("car", "automobile"),
    ("road", "street"),
    ("sea", "ocean"),
    ("forest", "woods"),
    ("walking", "strolling"),
    ("running", "racing"),
    ("talking", "speaking"),
    ("looking", "gazing"),
    ("picture", "image"),
)
SYNONYMS = {word: tuple(other for other in group if other != word) for group in GROUPS for word in group}
STOP_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        "a an the and or but if of at by for with about into through to from up down in out on off over under then "
        "than is are was were be been being am has have had having do does did doing i me my we our you your he "
        "him his she her it its they them their this that these those who whom which what as so not no nor only "
        "own same too very can will just while there here when where why how all any both each few more most other "
        "some such",
    )
)
"""Words that the released code's scheme neither replaces nor takes synonyms of."""
CYCLE = 13
"""Candidates of the released code for a caption: the caption itself, and three variants of each of four operations."""


def table(word: str) -> Sequence[str]:
    """Return the synonyms of `word` in our own table."""
    return SYNONYMS.get(word, ())


@lru_cache(maxsize=2)
def load_synonyms(source: str) -> Synonyms:
    """Return the synonyms that `features.synonyms` names. Raises `ValueError`."""
    return table if source == TABLE else WordNet(Path(source))


def augment(caption: str, rng: np.random.Generator, synonyms: Synonyms = table) -> str:
    """Return `caption` after each operation was applied, or not, with its probability; never an empty text."""
    words = caption.split()
    for operation, probability in (
        (replace_synonyms, SYNONYM_PROBABILITY),
        (insert_synonym, OTHER_PROBABILITY),
        (swap_words, OTHER_PROBABILITY),
        (delete_words, OTHER_PROBABILITY),
    ):
        if words and rng.random() < probability:
            words = operation(words, rng, synonyms)
    return " ".join(words)


def variants(
    captions: Sequence[str],
    *,
    count: int,
    rng: np.random.Generator,
    operations: Literal["each", "one"] = "each",
    synonyms: Synonyms = table,
) -> tuple[str, ...]:
    """Return `count` augmented captions, drawn independently; some may equal the original.

    With `operations: one`, variant k (from 1) has one operation, three in a row the same one, and every thirteenth is
    the caption itself. So of the caption and 12, 25 or 38 variants a thirteenth are the caption, as in the released
    code. Where a clip has several captions, each is the original of about as many variants.
    """
    originals = [captions[number % len(captions)] for number in range(count)]
    if operations == "each":
        return tuple(augment(original, rng, synonyms) for original in originals)
    return tuple(_with_one(original, number % CYCLE, rng, synonyms) for number, original in enumerate(originals, 1))


def _with_one(caption: str, place: int, rng: np.random.Generator, synonyms: Synonyms) -> str:
    """Return the candidate at `place` of the released code's thirteen; the first is the caption itself."""
    words = caption.split()
    if place == 0 or not words:
        return caption
    many, few = max(1, len(words) // 2), max(1, len(words) // 5)
    operation = (place - 1) // 3
    if operation == 0:
        words = _replace_words(words, many, rng, synonyms)
    elif operation == 3:
        words = delete_words(words, rng)
    else:
        for _ in range(few):
            words = _insert_of_content(words, rng, synonyms) if operation == 1 else swap_words(words, rng)
    return " ".join(words)


def _replace_words(words: Sequence[str], count: int, rng: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Replace up to `count` distinct words that have synonyms, wherever they stand, each by one synonym."""
    candidates = [word for word in sorted(set(words) - STOP_WORDS) if synonyms(word)]
    chosen = [candidates[int(i)] for i in rng.permutation(len(candidates))[:count]]
    other = {word: _synonym(word, rng, synonyms) for word in chosen}
    return [other.get(word, word) for word in words]


def _insert_of_content(words: Sequence[str], rng: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Insert a synonym of a word that is no stop word, wherever in `words`."""
    return insert_synonym(words, rng, lambda word: () if word in STOP_WORDS else synonyms(word))


def replace_synonyms(words: Sequence[str], rng: np.random.Generator, synonyms: Synonyms = table) -> list[str]:
    """Replace every second word that has a synonym, at random, by one."""
    return [_synonym(word, rng, synonyms) if synonyms(word) and rng.random() < 0.5 else word for word in words]


def insert_synonym(words: Sequence[str], rng: np.random.Generator, synonyms: Synonyms = table) -> list[str]:
    """Insert a synonym of one of the words somewhere, if any word has one."""
    replaceable = [word for word in words if synonyms(word)]
    if not replaceable:
        return list(words)
    at = int(rng.integers(len(words) + 1))
    return [*words[:at], _synonym(replaceable[int(rng.integers(len(replaceable)))], rng, synonyms), *words[at:]]


def swap_words(words: Sequence[str], rng: np.random.Generator, synonyms: Synonyms = table) -> list[str]:
    """Swap two words, if there are two."""
    swapped = list(words)
    if len(swapped) > 1:
        i, j = rng.choice(len(swapped), size=2, replace=False)
        swapped[i], swapped[j] = swapped[j], swapped[i]
    return swapped


def delete_words(words: Sequence[str], rng: np.random.Generator, synonyms: Synonyms = table) -> list[str]:
    """Delete each word with a probability of one in five, but never all of them."""
    kept = [word for word in words if rng.random() >= 0.2]
    return kept if kept else [words[int(rng.integers(len(words)))]]


def _synonym(word: str, rng: np.random.Generator, synonyms: Synonyms) -> str:
    choices = synonyms(word)
    return choices[int(rng.integers(len(choices)))]
