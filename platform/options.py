"""Options for where and how a study runs, and opening the store that they name. Without Ray, Optuna and MLflow."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platform.errors import UserError
from platform.tracking_uri import check_tracking
from storage.base import Store
from storage.cache import limit_from_environment
from storage.environment import badly_set, variable, without_secrets
from storage.errors import StoreError
from storage.local import LocalStore
from storage.uri import FIRST_LOOK, check_store, open_store
from trainables.scratch import scratch_problem

DEFAULT_HOME = "runs"


@dataclass(frozen=True)
class Options:
    """Where and how a study runs. The options do not change results."""

    home: Path
    """Absolute path of the folder for all outputs, except those that go to another `store` or `tracking`."""
    store: str
    """URI of the object store."""
    tracking: str
    """URI of the MLflow server or database."""
    address: str | None = None
    """Ray cluster to connect to; None starts one on this machine."""
    max_concurrent: int | None = None
    """Largest number of trials at a time; None: as many as the cluster has room for."""
    stage_deadline: float | None = None
    """Seconds without a new epoch or stage after which a trial counts as stalled; None: no limit."""
    inline: bool = False
    """Whether the study runs in this process, one trial at a time, without Ray: for debugging."""
    new_attempt: bool = False
    """Whether to run the study as another attempt, even if it was run before."""
    retry_failed: bool = False
    """Whether trials that failed before are started again."""
    keep_going: bool = False
    """Whether the study goes on if its first trials all fail in the same way."""
    dry_run: bool = False
    as_json: bool = False
    """One JSON object on stdout at the end, everything else on stderr."""


def home_of(folder: Path | None, *, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the absolute home folder: `folder`, or MINDSWEEP_HOME, or `runs` in the working directory."""
    named = variable("MINDSWEEP_HOME", environment)
    home = folder if folder is not None else Path(DEFAULT_HOME if named is None else named)
    return home.expanduser().absolute()


def place_arguments(*, home: Path | str, store: str, tracking: str) -> list[str]:
    """Return the arguments of a command that works in these places. Credentials in the URI of MLflow are left out."""
    return ["--home", str(home), "--store", store, "--tracking", without_secrets(tracking)]


def open_readable(options: Options) -> Store:
    """Return the store without access to the network.

    Raises:
        UserError: The kind of URI is unknown, an environment variable cannot be used, or the home or the folder of a
            local store is a file.
    """
    for problem in (badly_set(), scratch_problem()):
        if problem is not None:
            raise UserError(problem)
    _refuse_file("--home", options.home)
    try:
        limit_from_environment()  # of the cache for remote stores
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        store = open_store(options.store)
    except (ValueError, StoreError) as error:
        raise UserError(f"--store: {without_secrets(str(error))}") from error
    if isinstance(store, LocalStore):
        _refuse_file("--store", store.folder)
    return store


def _refuse_file(option: str, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{option}: {folder} is a file, but must be a folder")


def open_writable(options: Options) -> Store:
    """Return the store after a check that store, home and MLflow are writable.

    If they are not, no files are left.

    Raises:
        UserError: The home, the store or the tracking database cannot be reached or written.
    """
    store = open_readable(options)
    existing = next(folder for folder in (options.home, *options.home.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--home: {options.home} cannot be created: {existing} is not a writable folder")
    check_tracking(options.tracking)
    try:
        check_store(open_store(options.store, patience=FIRST_LOOK))
    except StoreError as error:
        raise UserError(f"--store: {without_secrets(str(error))}") from error
    return store
