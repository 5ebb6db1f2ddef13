"""Caption augmentation: each operation does what its name says, at its rate, and never empties a caption."""

from collections import Counter

import numpy as np
import pytest

from trainables.datasets.eda import (
    GROUPS,
    SYNONYMS,
    augment,
    delete_words,
    insert_synonym,
    replace_synonyms,
    swap_words,
    variants,
)

CAPTION = "a large red disc moving left over a green checkerboard"
WORDS = CAPTION.split()


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_same_seed_same_variants_and_they_differ() -> None:
    first, again = (variants((CAPTION,), count=50, rng=rng()) for _ in range(2))
    assert first == again
    assert len(set(first)) > 20


def test_variants_come_from_all_captions_of_a_clip() -> None:
    plain = variants(("zzz", "yyy"), count=6, rng=rng())
    assert plain == ("zzz", "yyy") * 3


def test_no_word_stands_in_two_groups() -> None:
    counts = Counter(word for group in GROUPS for word in group)
    assert [word for word, count in counts.items() if count > 1] == []


def test_replacement_keeps_length_and_only_uses_synonyms() -> None:
    changed = 0
    random = rng()
    for _ in range(200):
        replaced = replace_synonyms(WORDS, random)
        assert len(replaced) == len(WORDS)
        for before, after in zip(WORDS, replaced, strict=True):
            assert after == before or after in SYNONYMS[before]
            changed += after != before
    known = sum(word in SYNONYMS for word in WORDS)
    assert changed / (200 * known) == pytest.approx(0.5, abs=0.05)


def test_insertion_adds_one_synonym() -> None:
    longer = insert_synonym(WORDS, rng())
    assert len(longer) == len(WORDS) + 1
    (added,) = (Counter(longer) - Counter(WORDS)).elements()
    assert any(word in SYNONYMS[added] for word in WORDS)
    assert insert_synonym(["zebra"], rng()) == ["zebra"]


def test_swap_keeps_the_words_and_deletion_keeps_one() -> None:
    swapped = swap_words(WORDS, rng())
    assert sorted(swapped) == sorted(WORDS)
    assert sum(a != b for a, b in zip(swapped, WORDS, strict=True)) == 2 or swapped == WORDS
    assert swap_words(["alone"], rng()) == ["alone"]
    random = rng()
    lengths = [len(delete_words(WORDS, random)) for _ in range(500)]
    assert np.mean(lengths) == pytest.approx(0.8 * len(WORDS), abs=0.25)
    assert all(delete_words(["alone"], random) == ["alone"] for _ in range(50))


def test_most_often_a_caption_is_changed_and_an_empty_one_stays() -> None:
    random = rng()
    same = np.mean([augment(CAPTION, random) == CAPTION for _ in range(1000)])
    # untouched: no synonym drawn (.5), no insertion, swap, deletion (.8 each), or one that changed nothing
    assert 0.5 * 0.8**3 - 0.04 < same < 0.5 * 0.8**3 + 0.12
    assert augment("", random) == ""
    assert variants((CAPTION,), count=0, rng=random) == ()
