"""Synonyms from the files of WordNet 3: `index.POS`, `data.POS` and `POS.exc`, as Debian's package `wordnet-base` has.

A synonym of a word is any other word of its synsets, in all parts of speech. An inflected word is looked up by its base
forms, which the files of exceptions and the usual endings give.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

_PARTS = ("noun", "verb", "adj", "adv")
_ENDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
        ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip
"""Part of speech to endings and what replaces them."""


def wordnet_files(folder: Path) -> list[Path]:
    """Return the files that are read.

    Raises:
        ValueError: One of them is missing.
    """
    names = [f"{kind}.{part}" for part in _PARTS for kind in ("index", "data")] + [f"{part}.exc" for part in _PARTS]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"features.synonyms: {folder} lacks {', '.join(missing[:3])}, so it is no folder of WordNet 3; give one, "
            "install Debian's package wordnet-base and write wordnet, or write table"
        )
    return [folder / name for name in names]


class WordNet:
    """The synonyms of one folder. A call returns those of a word, sorted, without the word itself."""

    def __init__(self, folder: Path) -> None:
        """Read the index. Raises `ValueError` if files are missing or have another format."""
        wordnet_files(folder)
        self._data = {part: (folder / f"data.{part}").read_bytes() for part in _PARTS}
        self._index = {part: dict(_index_lines(folder / f"index.{part}")) for part in _PARTS}
        self._exceptions = {part: dict(_exceptions(folder / f"{part}.exc")) for part in _PARTS}
        self._folder = folder
        self._of = lru_cache(maxsize=None)(self._look_up)

    def __call__(self, word: str, /) -> tuple[str, ...]:
        """Return the synonyms of `word`; several words of one synonym are separated by spaces."""
        return self._of(word.lower())

    def _look_up(self, word: str) -> tuple[str, ...]:
        found = {
            synonym
            for part in _PARTS
            for base in self._bases(word, part)
            for offset in self._index[part].get(base, ())
            for synonym in self._synset(part, offset)
        }
        return tuple(sorted(found - {word, ""}))

    def _bases(self, word: str, part: str) -> Iterator[str]:
        yield word
        if word in self._exceptions[part]:
            yield from self._exceptions[part][word]
            return
        for ending, other in _ENDINGS[part]:
            if word.endswith(ending):
                yield word[: len(word) - len(ending)] + other

    def _synset(self, part: str, offset: int) -> Iterator[str]:
        line = self._data[part][offset : self._data[part].find(b"\n", offset)].split(b" ")
        if len(line) < 6 or line[0] != b"%08d" % offset:
            raise ValueError(f"features.synonyms: {self._folder}/data.{part} has no synset at byte {offset}")
        for number in range(int(line[3], 16)):
            word = line[4 + 2 * number].decode().partition("(")[0].replace("_", " ").replace("-", " ").lower()
            yield "".join(letter for letter in word if letter == " " or "a" <= letter <= "z").strip()


def _index_lines(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each lemma with the byte offsets of its synsets. Lines of the licence begin with two spaces."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("  "):
            continue
        words = line.split()
        try:
            yield words[0], tuple(map(int, words[-int(words[2]) :]))
        except (IndexError, ValueError):
            raise ValueError(f"features.synonyms: {path}, line {number}, is not a line of WordNet's index") from None


def _exceptions(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        inflected, *bases = line.split()
        yield inflected, tuple(bases)
