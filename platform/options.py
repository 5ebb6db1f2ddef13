"""Where and how a study runs, and the opening of what the options name. Nothing here touches Ray, Optuna or MLflow."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platform.errors import UserError
from platform.tracking_uri import check_tracking, without_secrets
from storage.base import Store
from storage.cache import limit_here
from storage.errors import StoreError
from storage.uri import FIRST_LOOK, check_store, open_store

DEFAULT_HOME = "runs"


@dataclass(frozen=True)
class Options:
    """Where and how a study runs. Nothing here changes what comes out."""

    home: Path
    """Absolute; everything that a run makes lies in it, unless `store` or `tracking` say otherwise."""
    store: str
    """URI of the object store."""
    tracking: str
    """URI of the MLflow server or database."""
    address: str | None = None
    """Ray cluster to join; None starts one here."""
    max_concurrent: int | None = None
    """Trials at a time; None takes what the cluster holds."""
    stage_deadline: float | None = None
    """Seconds without an epoch or a new stage after which a trial counts as hanging; None waits for ever."""
    inline: bool = False
    """Whether the study runs in this process, one trial at a time, without Ray: for debugging."""
    new_attempt: bool = False
    """Whether to run the study as another attempt, even if it was run before."""
    dry_run: bool = False
    as_json: bool = False
    """One JSON object on stdout at the end, everything else on stderr."""


def home_of(given: Path | None, *, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the absolute folder for all results: as given, or MINDSWEEP_HOME, or `runs` here."""
    home = given if given is not None else Path(environment.get("MINDSWEEP_HOME", DEFAULT_HOME))
    return home.expanduser().absolute()


def open_readable(options: Options) -> Store:
    """Return the store, touching neither disk nor network. Raises `UserError` for an unknown kind of URI."""
    try:
        limit_here()  # of the cache for what a remote store holds
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        return open_store(options.store)
    except (ValueError, StoreError) as error:
        raise UserError(f"--store: {without_secrets(str(error))}") from error


def open_writable(options: Options) -> Store:
    """Return the store once it is known that results can be kept, in it, in the home and in MLflow.

    Leaves nothing behind if they cannot.

    Raises:
        UserError: The home, the store or the tracking database cannot be reached or written.
    """
    store = open_readable(options)
    existing = next(folder for folder in (options.home, *options.home.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--home: {options.home} cannot be made: {existing} is not a folder that you can write to")
    check_tracking(options.tracking)
    try:
        check_store(open_store(options.store, patience=FIRST_LOOK))
    except StoreError as error:
        raise UserError(f"--store: {without_secrets(str(error))}") from error
    return store
