"""Reads a captions file: JSON, CSV or TXT."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.datasets.clip_names import group_names, same_spelling
from trainables.datasets.errors import DataProblem, some

_LISTED = 5
FORMATS = (
    "it must be .json (a list of texts, or an object from clip to text), .csv (columns name and caption) "
    "or .txt (one caption per line)"
)


def read_captions(path: Path, names: Sequence[str]) -> tuple[list[str], list[DataProblem]]:
    """Return the caption of every clip in `names`, in their order, and what is wrong.

    A caption is found by its clip's name, with or without suffix, or else by its position in the list. Names that
    differ only in how accents are encoded (Unicode NFC and NFD) are the same name.
    """
    captions, problems = _captions(path, names)
    problems += [
        DataProblem(f"{path}, caption of {name!r}", f"is {caption!r}", "every clip needs a text with at least one word")
        for name, caption in zip(names, captions, strict=False)
        if not isinstance(caption, str) or not caption.strip()
    ]
    return captions, problems


def read_caption_lists(path: Path, names: Sequence[str]) -> tuple[list[tuple[str, ...]], list[DataProblem]]:
    """Return all captions of every clip in `names`, and what is wrong: in JSON, a clip may have a list of texts."""
    captions, problems = _captions(path, names)
    lists = [tuple(texts) if isinstance(texts, list) else (texts,) for texts in captions]
    problems += [
        DataProblem(
            f"{path}, caption of {name!r}", f"is {list(texts)!r}", "every clip needs texts with at least one word"
        )
        for name, texts in zip(names, lists, strict=False)
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts)
    ]
    return lists, problems


def _captions(path: Path, names: Sequence[str]) -> tuple[list[Any], list[DataProblem]]:
    """Return the values in the file for every clip in `names`, of any type, and what is wrong."""
    try:
        captions = _parse(path)
    except FileNotFoundError:
        return [], [DataProblem(str(path), "there is no such file", FORMATS)]
    except OSError as error:
        return [], [DataProblem(str(path), f"cannot be read: {error.strerror}", FORMATS)]
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        return [], [DataProblem(str(path), f"cannot be read: {error}", FORMATS)]
    ordered, problems = _by_name(captions, names) if isinstance(captions, Mapping) else _in_order(captions, names)
    return ordered, [DataProblem(f"{path}, all of it", what, right) for what, right in problems]


_Finding = tuple[str, str]
"""What is wrong, and what would be right."""


def _parse(path: Path) -> Mapping[str, Any] | list[Any]:
    text = path.read_text(encoding="utf-8-sig")
    match path.suffix.lower():
        case ".txt":
            return text.splitlines()
        case ".csv":
            return _parse_csv(text)
        case ".json":
            value = json.loads(text, object_pairs_hook=_unique)
            if isinstance(value, list | dict):
                return value
            raise ValueError(f"expected a list or an object, but got {type(value).__name__}")
    raise ValueError(f"unknown suffix {path.suffix!r}")


def _parse_csv(text: str) -> dict[str, str]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        columns = next(reader, [])
        name, caption = (_column(columns, title) for title in ("name", "caption"))
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    for line, row in rows:
        if len(row) != len(columns):
            right = "a caption with a comma must stand in double quotes"
            raise ValueError(f"line {line} has {len(row)} value(s) for {len(columns)} columns; {right}")
    _refuse_repeats([(f"line {line}", row[name]) for line, row in rows])
    return _unique([(row[name], row[caption]) for _, row in rows])


def _column(columns: Sequence[str], title: str) -> int:
    """Return where the column `title` is. Raises `ValueError` if there is none, or more than one."""
    if title not in columns:
        raise ValueError(f"the first line must name the columns name and caption, but is {list(columns)}")
    if columns.count(title) > 1:
        raise ValueError(f"the first line names {columns.count(title)} columns {title}; one is needed")
    return columns.index(title)


def _refuse_repeats(rows: Sequence[tuple[str, str]]) -> None:
    """Raise `ValueError`, which names the lines, if two rows have one name."""
    lines: dict[str, str] = {}
    for line, name in rows:
        first = lines.setdefault(same_spelling(name), line)
        if first != line:
            raise ValueError(f"two captions for {name!r}: {first} and {line}")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(same_spelling(name) for name, _ in pairs)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise ValueError(f"two captions for {', '.join(map(repr, repeated))}")
    return {same_spelling(name): value for name, value in pairs}


def _in_order(captions: Sequence[Any], names: Sequence[str]) -> tuple[list[Any], list[_Finding]]:
    if len(captions) == len(names):
        return list(captions), []
    return [], [(f"{len(captions)} captions for {len(names)} clips", "there must be one for each clip")]


def _by_name(captions: Mapping[str, Any], names: Sequence[str]) -> tuple[list[Any], list[_Finding]]:
    """Find the caption of every clip. Keys must have composed accents, as `_unique` makes them."""
    full_names, stems = group_names(names), group_names(names, without_suffix=True)
    clips_of = {key: full_names[key] if key in full_names else stems.get(key, []) for key in captions}
    keys: dict[str, list[str]] = {}
    for key, clips in clips_of.items():
        for clip in clips:
            keys.setdefault(clip, []).append(key)
    problems = [*_unclear(clips_of, keys)]
    if missing := [name for name in names if name not in keys]:
        listed = some(map(repr, missing), most=_LISTED)
        problems.append((f"no caption for {listed}", "there must be one for each clip"))
    if unknown := [key for key, clips in clips_of.items() if not clips]:
        listed = some(map(repr, unknown), most=_LISTED)
        problems.append((f"captions for clips that are not there: {listed}", "remove them or add the clips"))
    return ([] if problems else [captions[keys[name][0]] for name in names]), problems


def _unclear(clips_of: Mapping[str, Sequence[str]], keys: Mapping[str, Sequence[str]]) -> Iterator[_Finding]:
    """Yield keys that match several clips, and clips that several keys match."""
    for key, clips in clips_of.items():
        if len({same_spelling(clip) for clip in clips}) > 1:
            yield f"{key!r} means {' and '.join(map(repr, clips))}", "write the whole name of the file"
        elif len(clips) > 1:
            what = f"{len(clips)} clips are called {key!r}, and differ only in how accents are encoded (NFC, NFD)"
            yield what, "rename all but one"
    for clip, of_clip in keys.items():
        if len(of_clip) > 1:
            yield f"two captions for {clip!r}: {' and '.join(map(repr, of_clip))}", "remove all but one"
