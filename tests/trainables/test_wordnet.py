"""Synonyms from WordNet: a folder of a few lines in its format and, if it is installed, Debian's package."""

from pathlib import Path

import pytest

from trainables.config.features import WORDNET
from trainables.config.trial import resolve
from trainables.datasets.wordnet import WordNet, wordnet_files
from trainables.graph import stage_runs

LICENCE = "  1 This is the first line of the licence, which begins with two spaces.  \n"
SYNSETS = {
    "noun": [["sea"], ["bluff", "drop-off"], ["man", "adult_male"]],
    "verb": [["run", "race"]],
    "adj": [["big", "large(a)"], ["red", "ruddy"]],
    "adv": [["fast"]],
}
EXCEPTIONS = {"noun": "men man\n", "verb": "ran run\n", "adj": "", "adv": ""}


def folder_of(path: Path) -> Path:
    """Write a small WordNet."""
    path.mkdir()
    for part, synsets in SYNSETS.items():
        data = LICENCE.encode()
        offsets: dict[str, list[int]] = {}
        for words in synsets:
            offset = len(data)
            lemmas = " ".join(f"{word} 0" for word in words)
            data += f"{offset:08d} 00 {part[0]} {len(words):02x} {lemmas} 000 | a gloss with sea in it  \n".encode()
            for word in words:
                offsets.setdefault(word.partition("(")[0].lower(), []).append(offset)
        lines = [
            f"{word} {part[0]} {len(of)} 1 @ {len(of)} 0 {' '.join(f'{o:08d}' for o in of)}  \n"
            for word, of in offsets.items()
        ]
        (path / f"data.{part}").write_bytes(data)
        (path / f"index.{part}").write_text(LICENCE + "".join(lines))
        (path / f"{part}.exc").write_text(EXCEPTIONS[part])
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "wordnet")


def test_synonyms_are_the_other_words_of_all_synsets(folder: Path) -> None:
    synonyms = WordNet(folder)
    assert synonyms("sea") == ()
    assert synonyms("big") == ("large",), "the marker of a position is no part of a word"
    assert synonyms("bluff") == ("drop off",)
    assert synonyms("man") == ("adult male",)
    assert synonyms("unknown") == ()


def test_inflected_words_are_looked_up_by_their_base_forms(folder: Path) -> None:
    synonyms = WordNet(folder)
    assert synonyms("men") == ("adult male", "man")
    assert synonyms("ran") == synonyms("runs") == ("race", "run")
    assert synonyms("bluffs") == ("bluff", "drop off")
    assert synonyms("RED") == ("ruddy",)


def test_damaged_files_are_named(folder: Path) -> None:
    (folder / "index.noun").write_text("sea n 1 x\n")
    with pytest.raises(ValueError, match=r"index.noun, line 1, is not a line of WordNet's index"):
        WordNet(folder)
    (folder / "index.noun").write_text("sea n 1 0 1 0 00000003\n")
    with pytest.raises(ValueError, match=r"data.noun has no synset at byte 3"):
        WordNet(folder)("sea")
    (folder / "verb.exc").unlink()
    with pytest.raises(ValueError, match=r"lacks verb\.exc"):
        wordnet_files(folder)


def test_the_content_of_the_folder_decides_the_identity_of_features_and_its_place_does_not(tmp_path: Path) -> None:
    def identity(**overrides: object) -> str:
        runs = stage_runs(resolve({f"features.{k}": v for k, v in overrides.items()}), seed=0, targets=["features"])
        return runs[-1].identity

    first, second = folder_of(tmp_path / "a"), folder_of(tmp_path / "b")
    assert identity(synonyms=str(first)) == identity(synonyms=str(second)) != identity()
    (second / "verb.exc").write_text("ran run\nwent go\n")
    assert identity(synonyms=str(first)) != identity(synonyms=str(second))


@pytest.mark.skipif(not Path(WORDNET).is_dir(), reason="Debian's package wordnet-base is not installed")
def test_the_debian_package_is_read() -> None:
    synonyms = WordNet(Path(WORDNET))
    assert {"canis familiaris", "chase", "domestic dog"} <= set(synonyms("dog"))
    assert "pluck" in synonyms("picking")
