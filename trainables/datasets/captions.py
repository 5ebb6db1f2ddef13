"""Reads a captions file: JSON, CSV or TXT."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.datasets.errors import DataProblem

FORMATS = (
    "it must be .json (a list of texts, or an object from clip to text), .csv (columns name and caption) "
    "or .txt (one caption per line)"
)


def read_captions(path: Path, names: Sequence[str]) -> tuple[list[str], list[DataProblem]]:
    """Return the caption of every clip in `names`, in their order, and what is wrong.

    A caption is found by its clip's name, with or without suffix, or else by its place in the list.
    """
    try:
        found = _parse(path)
    except FileNotFoundError:
        return [], [DataProblem(str(path), "there is no such file", FORMATS)]
    except (ValueError, csv.Error, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        return [], [DataProblem(str(path), f"cannot be read: {error}", FORMATS)]
    captions, problems = _by_name(found, names) if isinstance(found, Mapping) else _by_place(found, names)
    problems += [
        (f"caption of {name!r}", f"is {caption!r}", "every clip needs a text with at least one word")
        for name, caption in zip(names, captions, strict=False)
        if not isinstance(caption, str) or not caption.strip()
    ]
    return captions, [DataProblem(f"{path}, {where}", what, right) for where, what, right in problems]


def read_caption_lists(path: Path, names: Sequence[str]) -> tuple[list[tuple[str, ...]], list[DataProblem]]:
    """Return all captions of every clip in `names`, and what is wrong: in JSON, a clip may have a list of texts."""
    try:
        found = _parse(path)
    except FileNotFoundError:
        return [], [DataProblem(str(path), "there is no such file", FORMATS)]
    except (ValueError, csv.Error, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        return [], [DataProblem(str(path), f"cannot be read: {error}", FORMATS)]
    captions, problems = _by_name(found, names) if isinstance(found, Mapping) else _by_place(found, names)
    lists = [tuple(texts) if isinstance(texts, list) else (texts,) for texts in captions]
    problems += [
        (f"caption of {name!r}", f"is {list(texts)!r}", "every clip needs texts with at least one word")
        for name, texts in zip(names, lists, strict=False)
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts)
    ]
    return lists, [DataProblem(f"{path}, {where}", what, right) for where, what, right in problems]


_Found = list[tuple[str, str, str]]


def _parse(path: Path) -> Mapping[str, Any] | list[Any]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".txt":
        return text.splitlines()
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text))
        if reader.fieldnames is None or not {"name", "caption"} <= set(reader.fieldnames):
            raise ValueError(f"the first line must name the columns name and caption, but is {reader.fieldnames}")
        rows = [(row["name"], row["caption"]) for row in reader]
        return _unique(rows)
    if path.suffix == ".json":
        value = json.loads(text, object_pairs_hook=_unique)
        if isinstance(value, list | dict):
            return value
        raise ValueError(f"expected a list or an object, but got {type(value).__name__}")
    raise ValueError(f"unknown suffix {path.suffix!r}")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    if twice:
        raise ValueError(f"two captions for {', '.join(map(repr, twice))}")
    return dict(pairs)


def _by_place(found: Sequence[Any], names: Sequence[str]) -> tuple[list[Any], _Found]:
    if len(found) == len(names):
        return list(found), []
    return [], [("all of it", f"{len(found)} captions for {len(names)} clips", "there must be one for each clip")]


def _by_name(found: Mapping[str, Any], names: Sequence[str]) -> tuple[list[Any], _Found]:
    by_stem = {name.rsplit(".", 1)[0]: name for name in names}
    known = {by_stem.get(key, key): caption for key, caption in found.items()}
    missing = [name for name in names if name not in known]
    unknown = [key for key in found if by_stem.get(key, key) not in names]
    problems = []
    if missing:
        problems.append(("all of it", f"no caption for {_some(missing)}", "there must be one for each clip"))
    if unknown:
        problems.append(
            ("all of it", f"captions for clips that are not there: {_some(unknown)}", "remove them or add the clips")
        )
    return ([] if missing else [known[name] for name in names]), problems


def _some(names: Sequence[str]) -> str:
    """List a few names, and tell how many more there are."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
