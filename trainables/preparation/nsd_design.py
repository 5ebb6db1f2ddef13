"""Which image of NSD was shown in which trial, from its experimental design and its captions from COCO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.preparation.caption_files import Captions, captions_in, json_object
from trainables.preparation.files import InputError, require_content
from trainables.preparation.lab_tables import read_table, texts

TRIALS = 750
"""Per session, as published."""
_FIELDS = ("masterordering", "subjectim", "sharedix")
_DESIGN_RIGHT = "nsd_expdesign.mat of nsddata/experiments/nsd is needed; download it again"


@dataclass(frozen=True)
class NsdDesign:
    """The images of all trials."""

    images: NDArray[np.int64]
    """[subjects, trials]: the number of the image, from 1, of every trial of all sessions that were planned."""
    shared: frozenset[int]
    """Images that every subject was to see."""

    def of_session(self, subject: int, session: int, trials: int) -> list[int]:
        """Return the image of each trial of a session; both are counted from 1."""
        first = (session - 1) * TRIALS
        return [int(number) for number in self.images[subject - 1, first : first + trials]]


def clip_name(number: int) -> str:
    """Return the name of the clip of an image: `nsd00001` is the first one.

    Example:
        >>> clip_name(73000)
        'nsd73000'
    """
    return f"nsd{number:05d}"


def read_design(path: Path) -> NsdDesign:
    """Read `nsd_expdesign.mat`. Raises `InputError` if it is not that file."""
    require_content(path)
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=list(_FIELDS))
    except Exception as error:  # scipy may raise any exception on damaged input
        raise InputError(path, f"cannot be read: {str(error).splitlines()[0]}", _DESIGN_RIGHT) from error
    missing = [name for name in _FIELDS if name not in content]
    if missing:
        raise InputError(path, f"has no {', '.join(missing)}", _DESIGN_RIGHT)
    ordering, subjects, shared = (np.asarray(content[name], np.int64) for name in _FIELDS)
    order = ordering.ravel() - 1
    if subjects.ndim != 2 or not len(order) or order.min() < 0 or order.max() >= subjects.shape[1]:
        what = (
            f"orders trials by numbers up to {int(ordering.max()) if ordering.size else 0} of {subjects.shape} images"
        )
        raise InputError(path, what, _DESIGN_RIGHT)
    return NsdDesign(subjects[:, order], frozenset(shared.ravel().tolist()))


def nsd_captions(paths: Sequence[Path], numbers: Sequence[int], table: Path) -> Captions:
    """Return captions by clip, from files by clip, or from COCO (`captions_train2017.json`, `captions_val2017.json`).

    Args:
        paths: the files; later ones add to earlier ones.
        numbers: the images that need captions.
        table: `nsd_stim_info_merged.csv`, which says which image is which of COCO.

    Raises:
        DatasetError: A file cannot be read.
    """
    captions: Captions = {}
    coco: dict[int, list[str]] | None = None
    for path in paths:
        content = json_object(path) if path.suffix == ".json" else {}
        if "annotations" not in content:
            captions |= captions_in(path, [clip_name(number) for number in numbers])
            continue
        coco = {} if coco is None else coco
        for image, text in _annotations(path, content["annotations"]):
            coco.setdefault(image, []).append(text)
    if coco is not None:
        ids = _coco_ids(table)
        for number in numbers:
            found = coco.get(ids.get(number, -1))
            if found:
                captions[clip_name(number)] = tuple(dict.fromkeys(found))
    return captions


def _annotations(path: Path, entries: Any) -> list[tuple[int, str]]:
    try:
        return [(int(entry["image_id"]), " ".join(str(entry["caption"]).split())) for entry in entries]
    except (KeyError, TypeError, ValueError) as error:
        right = "captions_train2017.json or captions_val2017.json of COCO is needed"
        raise InputError(path, f"has an annotation without image_id or caption ({error})", right) from error


def _coco_ids(path: Path) -> Mapping[int, int]:
    """Return the number of each image, from 1, to its number in COCO."""
    columns = read_table(path, needed=["nsdId", "cocoId"])
    pairs = zip(texts(columns["nsdId"]), texts(columns["cocoId"]), strict=True)
    try:
        return {int(number) + 1: int(coco) for number, coco in pairs}  # nsdId counts from 0
    except ValueError as error:
        raise InputError(path, f"has an entry that is no number ({error})", "download it again") from error
