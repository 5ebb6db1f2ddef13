"""Easy data augmentation of captions (Wei and Zou 2019): synonym, insert, swap, delete.

The synonyms are a small table of our own. Any word of a group may replace any other; words outside the table are left
as they are. It covers the phantom's captions and the commonest words of captions of natural video.
"""

from collections.abc import Sequence

import numpy as np

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


def augment(caption: str, rng: np.random.Generator) -> str:
    """Return `caption` after each operation was applied, or not, with its probability; never an empty text."""
    words = caption.split()
    for operation, probability in (
        (replace_synonyms, SYNONYM_PROBABILITY),
        (insert_synonym, OTHER_PROBABILITY),
        (swap_words, OTHER_PROBABILITY),
        (delete_words, OTHER_PROBABILITY),
    ):
        if words and rng.random() < probability:
            words = operation(words, rng)
    return " ".join(words)


def variants(captions: Sequence[str], *, count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Return `count` augmented captions, drawn independently; some may equal the original.

    Where a clip has several captions, each is the original of about as many variants.
    """
    return tuple(augment(captions[number % len(captions)], rng) for number in range(count))


def replace_synonyms(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Replace every second word that has a synonym, at random, by one."""
    return [_synonym(word, rng) if word in SYNONYMS and rng.random() < 0.5 else word for word in words]


def insert_synonym(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Insert a synonym of one of the words somewhere, if any word has one."""
    replaceable = [word for word in words if word in SYNONYMS]
    if not replaceable:
        return list(words)
    at = int(rng.integers(len(words) + 1))
    return [*words[:at], _synonym(replaceable[int(rng.integers(len(replaceable)))], rng), *words[at:]]


def swap_words(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Swap two words, if there are two."""
    swapped = list(words)
    if len(swapped) > 1:
        i, j = rng.choice(len(swapped), size=2, replace=False)
        swapped[i], swapped[j] = swapped[j], swapped[i]
    return swapped


def delete_words(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Delete each word with a probability of one in five, but never all of them."""
    kept = [word for word in words if rng.random() >= 0.2]
    return kept if kept else [words[int(rng.integers(len(words)))]]


def _synonym(word: str, rng: np.random.Generator) -> str:
    choices = SYNONYMS[word]
    return choices[int(rng.integers(len(choices)))]
