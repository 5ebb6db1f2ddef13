"""The date of a subject's HCP release, which tells whether its AP runs were unwarped in the right direction."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

CORRECTED = date(2018, 4, 1)
"""Since this release, AP runs at 7 T are unwarped in the right direction."""
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_ISO = re.compile(r"\b(20\d\d)-(\d\d)-(\d\d)\b")
_SLASHES = re.compile(r"\b(\d{1,2})/(\d{1,2})/(20\d\d)\b")
_WORDS = re.compile(r"\b([A-Z][a-z]{2})[a-z]*\.? (?:(\d{1,2}),? )?(20\d\d)\b")
_LONGEST = 1_000_000


def release_date(folder: Path) -> date | None:
    """Return the latest date in the notes about movie runs in `folder`/release-notes; None if there is none.

    How these notes are written is not documented, so any date in them counts: 2018-04-13, 4/13/2018, April 13, 2018.
    """
    notes = [path for path in (folder / "release-notes").glob("*") if "movie" in path.name.lower() and path.is_file()]
    texts = [path.read_bytes()[:_LONGEST].decode("utf-8", "replace") for path in notes]
    return max((day for text in texts for day in _dates(text)), default=None)


def _dates(text: str) -> Iterator[date]:
    numbers = [tuple(map(int, match)) for match in _ISO.findall(text)]
    numbers += [(int(year), int(month), int(day)) for month, day, year in _SLASHES.findall(text)]
    for name, day, year in _WORDS.findall(text):
        if name.lower() in _MONTHS:
            numbers.append((int(year), _MONTHS.index(name.lower()) + 1, int(day) if day else 1))
    for year, month, day in numbers:
        try:
            yield date(year, month, day)
        except ValueError:
            continue  # not a date, such as 13/45/2018
