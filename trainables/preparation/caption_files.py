"""Reads captions from the files of the option --caption."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainables.datasets.captions import read_caption_lists
from trainables.datasets.errors import DataProblem, DataReport, DatasetError, some
from trainables.preparation.files import InputError, require_content

Captions = dict[str, tuple[str, ...]]
"""Texts by the clip's name."""
_DESCRIPTIONS = "text_descriptions"


def merge_captions(paths: Sequence[Path], read: Callable[[Path], Mapping[str, tuple[str, ...]]]) -> Captions:
    """Return the captions of all files; later files override earlier ones. Raises `DatasetError` without any."""
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
    """Return the captions of a file. A JSON object may have captions for more clips, and for fewer than `names`.

    Raises:
        DatasetError: The file cannot be read, or a caption is no text.
    """
    if path.suffix != ".json":
        return all_captions(path, names)
    content = json_object(path)
    return {name: _texts(path, name, content[name]) for name in names if name in content}


def json_object(path: Path) -> dict[str, object]:
    """Return the object in a JSON file. Raises `InputError`."""
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


def described_captions(path: Path, names: Sequence[str]) -> Captions:
    """Return the sentences of people in `annotations.json` of BOLD Moments, each of `names` by its number.

    Raises:
        DatasetError: The file cannot be read, or a clip has no sentence.
    """
    content, captions, missing = json_object(path), {}, []
    for name in names:
        entry = content.get(name)
        texts = entry.get(_DESCRIPTIONS) if isinstance(entry, dict) else None
        if texts:
            captions[name] = tuple(dict.fromkeys(_texts(path, name, texts)))
        else:
            missing.append(name)
    if missing:
        what = f"has no {_DESCRIPTIONS} for {len(missing)} clip(s): {some(missing, most=5)}"
        raise InputError(path, what, "every clip needs a text; download it again")
    return captions


def is_described(path: Path) -> bool:
    """Return whether a file is like `annotations.json` of BOLD Moments: JSON whose entries are objects."""
    if path.suffix != ".json":
        return False
    return isinstance(next(iter(json_object(path).values()), None), dict)


def h5_texts(path: Path, *, right: str) -> dict[str, list[str]]:
    """Return every array of texts of an HDF5 file, by its key; `right` says what is needed. Raises `InputError`."""
    require_content(path)
    import h5py  # here, so that captions of other formats are read without it

    try:
        with h5py.File(path) as file:
            return {key: file[key].asstr()[:].tolist() for key in file}
    except Exception as error:  # h5py may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {error}", right) from error
