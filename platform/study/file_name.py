"""The name of a study, from the name of its file."""

import re
import unicodedata
from pathlib import PurePath

_LONGEST = 64
_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def study_name(path: str | PurePath) -> str:
    """Return the name of the study in the file `path`: its stem in plain letters, digits, - and _; "" if none is left.

    Names are parts of keys in stores, so accents are dropped and all else becomes _.

    Example:
        >>> study_name("search_spaces/noop \u00fc.yaml")
        'noop_u'
    """
    stem = PurePath(path).stem
    if _VALID.fullmatch(stem) is not None:
        return stem
    letters = (letter for letter in unicodedata.normalize("NFKD", stem) if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9-]+", "_", "".join(letters)).strip("_-")[:_LONGEST]
