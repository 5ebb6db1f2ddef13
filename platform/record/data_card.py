"""The cards of a study's data sets: stored once per content, and named in the records of the study's calls."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
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

_log = logging.getLogger(__name__)


def store_data_card(store: Store, study: Study) -> dict[str, Any]:
    """Store the cards of the study's data sets; return for the record of a call name, digest and size of the files.

    Returns nothing if the study uses no data set, or only such without a card. A file that the store holds is not sent
    again. Of several data sets, the name of each is in the names of its files.

    Raises:
        storage.errors.StoreError: The store cannot be written.
    """
    if "clips" not in ancestors(study.stages, systems=study.systems):
        return {}
    files: dict[str, File] = {}
    for dataset, config in study.data_configs().items():
        suffix = f"_{dataset}" if dataset else ""
        try:
            for path in datasets.card_files(config):
                files[f"data_{path.stem}{suffix}{path.suffix}"] = put_blob(store, path)
        except (DatasetError, OSError) as error:  # the stage that reads the data set says more
            _log.warning("the data card is not stored: %s", error)
    return {DATA_CARD: {name: asdict(file) for name, file in files.items()}} if files else {}


def write_data_card(store: Store, study_id: str, folder: Path) -> list[Path]:
    """Write the data card of a stored study into `folder` (`data_card.md`, `data_card.html`); return the paths.

    Of several data sets there is one for each (`data_card_NAME.md`, `data_card_NAME.html`).

    Returns none for a study without a card. A file that is lost or damaged is left out, with a warning.
    """
    return [*_fetched(store, recorded_card(store, study_id), folder)]


def card_pages(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """Return title and file without ending of each card among the `paths` that `write_data_card` returned."""
    stems = dict.fromkeys(path.stem for path in paths)
    names = {stem: stem.removeprefix(DATA_CARD).removeprefix("_") for stem in stems}
    return [(f"Data card: {name}" if name else "Data card", stem) for stem, name in names.items()]


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
