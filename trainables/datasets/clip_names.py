"""Names of clips: their order, and when two spellings are the same name."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

NaturalKey = tuple[list[tuple[int, str]], str, str]


def natural(name: str) -> NaturalKey:
    """Return a key that sorts names with their numbers as numbers: `clip2` before `clip10`.

    Different names never tie (`clip0` and `clip00`), so the order does not depend on how a disk lists them.
    """
    composed = same_spelling(name)
    parts = [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", composed)]
    return parts, composed, name


def same_spelling(name: str) -> str:
    """Return `name` with accents in their composed form (Unicode NFC): macOS may write them decomposed (NFD)."""
    return unicodedata.normalize("NFC", name)


def clip_name(path: Path) -> str:
    """Return the name of a clip: of its file without suffix, or of its folder; accents composed."""
    return same_spelling(path.name if path.is_dir() else path.stem)


def group_names(names: Iterable[str], *, without_suffix: bool = False) -> dict[str, list[str]]:
    """Return the names that have one spelling in common, by this spelling."""
    groups: dict[str, list[str]] = {}
    for name in names:
        spelling = same_spelling(name)
        groups.setdefault(spelling.rsplit(".", 1)[0] if without_suffix else spelling, []).append(name)
    return groups
