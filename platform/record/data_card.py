"""The card of a study's data set: stored once per content, and named in the records of the study's calls."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platform.study.study import Study
from storage import layout
from storage.base import Store
from storage.content import File, described_files, fetch_verified, put_blob
from storage.errors import IntegrityError, NotFoundError
from storage.owned_folders import owned_folder
from storage.studies import load_calls
from trainables import datasets
from trainables.datasets.errors import DatasetError
from trainables.graph import ancestors

DATA_CARD = "data_card"
"""The key of a call's record; the files that `write_data_card` writes begin with it."""
DATA_CARD_PAGE = f"{DATA_CARD}.html"

_log = logging.getLogger(__name__)


def store_data_card(store: Store, study: Study) -> dict[str, Any]:
    """Store the card of the study's data set; return for the record of a call name, digest and size of its files.

    Returns nothing if the study uses no data set, or one without a card. A file that the store holds is not sent again.

    Raises:
        storage.errors.StoreError: The store cannot be written.
    """
    if "clips" not in ancestors(study.stages, systems=study.systems):
        return {}
    try:
        files = {f"data_{path.name}": put_blob(store, path) for path in datasets.card_files(study.space.config({}))}
    except (DatasetError, OSError) as error:  # the stage that reads the data set says more
        _log.warning("the data card is not stored: %s", error)
        return {}
    return {DATA_CARD: {name: asdict(file) for name, file in files.items()}} if files else {}


def write_data_card(store: Store, study_id: str, folder: Path) -> list[Path]:
    """Write the data card of a stored study into `folder` (`data_card.md`, `data_card.html`); return the paths.

    Returns none for a study without a card. A file that is lost or damaged is left out, with a warning.
    """
    return [*_fetched(store, recorded_card(store, study_id), folder)]


def recorded_card(store: Store, study_id: str) -> Mapping[str, File]:
    """Return digest and size of each file of the card that the last call of a study with a card has stored."""
    cards = [call[DATA_CARD] for call in load_calls(store, study_id) if DATA_CARD in call]
    return described_files(cards[-1]) if cards else {}


def _fetched(store: Store, card: Mapping[str, File], folder: Path) -> Iterator[Path]:
    for name, file in card.items():
        try:
            with owned_folder("mindsweep-card-") as scratch:
                path = fetch_verified(store, layout.blob(file.digest), file, scratch / name)
                yield Path(shutil.copyfile(path, folder / name))
        except (IntegrityError, NotFoundError) as error:
            _log.warning("%s is left out: %s", name, error)
