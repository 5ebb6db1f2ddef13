"""Captions from the files that are given to a reader with --caption."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainables.datasets.captions import read_caption_lists
from trainables.datasets.errors import DataProblem, DataReport, DatasetError
from trainables.preparation.files import InputError, require_content

Captions = dict[str, tuple[str, ...]]
"""Texts by the clip's name."""


def merge_captions(paths: Sequence[Path], read: Callable[[Path], Mapping[str, tuple[str, ...]]]) -> Captions:
    """Return the captions of all files, of which the last one counts. Raises `DatasetError` if there is no file."""
    if not paths:
        right = "give --caption FILE (the data set has none of its own)"
        raise DatasetError.of(DataProblem("captions", "are missing", right))
    captions: Captions = {}
    for path in paths:
        captions |= read(path)
    return captions


def all_captions(path: Path, names: Sequence[str]) -> Captions:
    """Return the captions of `names`, each of which must be in the file. Raises `DatasetError`."""
    lists, problems = read_caption_lists(path, names)
    DataReport(tuple(problems)).raise_for_errors()
    return dict(zip(names, lists, strict=True))


def captions_in(path: Path, names: Sequence[str]) -> Captions:
    """Return the captions of a file. A JSON object may serve more clips, and need not serve all of `names`.

    Raises:
        DatasetError: The file cannot be read, or a caption is no text.
    """
    if path.suffix != ".json":
        return all_captions(path, names)
    content = _json_object(path)
    return {name: _texts(path, name, content[name]) for name in names if name in content}


def _json_object(path: Path) -> dict[str, object]:
    require_content(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(path, f"cannot be read: {error}", "it must be JSON") from error
    if not isinstance(content, dict):
        right = "an object from clip to text, or list of texts, is needed"
        raise InputError(path, f"holds {type(content).__name__}", right)
    return content


def _texts(path: Path, name: str, value: object) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(path, f"caption of {name!r} is {texts!r}", "every clip needs texts with at least one word")
    return tuple(texts)
