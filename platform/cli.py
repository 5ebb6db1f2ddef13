"""The command line that all verbs share: options, their defaults, and the checks before anything starts."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from platform.errors import StudyError, UserError
from platform.options import Options
from platform.tracking_uri import check_tracking, default_tracking, without_secrets
from storage.base import Store
from storage.cache import limit_here
from storage.errors import StoreError
from storage.uri import FIRST_LOOK, check_store, open_store

DEFAULT_HOME = "runs"
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
HOME_HELP = f"folder for all results (default: $MINDSWEEP_HOME or ./{DEFAULT_HOME})"


def parser(verb: str, *, description: str, file_help: str) -> argparse.ArgumentParser:
    """Return the parser of a verb that runs the study in a file."""
    made = argparse.ArgumentParser(prog=f"python -m platform.{verb}", description=description, allow_abbrev=False)
    made.add_argument("file", metavar="FILE", type=Path, help=file_help)
    made.add_argument("--trials", metavar="N", help="points to try; short for --set trials=N")
    made.add_argument("--seed", metavar="N", help="seed of the study; short for --set seed=N")
    made.add_argument("--fresh", action="store_true", help="begin anew instead of continuing an earlier run")
    add_running(made)
    return made


def record_parser(verb: str, *, description: str) -> argparse.ArgumentParser:
    """Return the parser of a verb that works on the records of a store; `records_of` reads what it parsed."""
    made = argparse.ArgumentParser(prog=f"python -m platform.{verb}", description=description, allow_abbrev=False)
    add_store(made)
    made.add_argument("--json", action="store_true", dest="as_json", help=_JSON_HELP)
    return made


def add_running(made: argparse.ArgumentParser) -> None:
    """Add the options of every verb that runs a study."""
    made.add_argument("--dry-run", action="store_true", help="print the plan; start and write nothing")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=_SET_HELP)
    add_places(made)
    made.add_argument(
        "--address", help="Ray cluster to join, such as auto or HOST:PORT (default: $RAY_ADDRESS, or start one here)"
    )
    made.add_argument("--inline", action="store_true", help=_INLINE_HELP)
    made.add_argument("--max-concurrent", type=positive, metavar="N", help="trials at a time (default: as fits)")
    made.add_argument("--stage-deadline", type=positive, metavar="SECONDS", help=_DEADLINE_HELP)
    made.add_argument("--json", action="store_true", dest="as_json", help=_JSON_HELP)


_JSON_HELP = "one JSON object on stdout at the end"
_DEADLINE_HELP = "end a trial that reaches no epoch and no new stage for so long (default: wait for ever)"
_INLINE_HELP = "run in this process, one trial at a time, without Ray: a breakpoint in a stage stops there"
_SET_HELP = "change a key of the file (trials, seed, sampler, ...) or a config field (motion.depth); may be repeated"


def add_places(made: argparse.ArgumentParser) -> None:
    """Add the options that say where things are kept."""
    add_store(made)
    add_tracking(made)


def add_tracking(made: argparse.ArgumentParser) -> None:
    """Add the option that says where MLflow is."""
    made.add_argument("--tracking", metavar="URI", help="MLflow (default: sqlite:///HOME/mlflow.db)")


def add_store(made: argparse.ArgumentParser) -> None:
    """Add the options that say where records are kept."""
    made.add_argument("--home", type=Path, help=HOME_HELP)
    made.add_argument("--store", metavar="URI", help="object store (default: file://HOME/store)")


def positive(text: str) -> int:
    """Read a whole number of 1 or more, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, but got {number}")
    return number


def settings_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return what the command line changes in the file, as `key=value`."""
    short = [f"{key}={value}" for key in ("trials", "seed") if (value := getattr(arguments, key)) is not None]
    return (*arguments.settings, *short)


def options_of(arguments: argparse.Namespace, *, environment: Mapping[str, str] = os.environ) -> Options:
    """Return the options, defaults filled in."""
    return replace(
        places_of(arguments, environment=environment),
        address=_address(arguments, environment),
        inline=arguments.inline,
        max_concurrent=arguments.max_concurrent,
        stage_deadline=arguments.stage_deadline,
        fresh=arguments.fresh,
        dry_run=arguments.dry_run,
    )


def _address(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str | None:
    """Return the cluster to join: as given, or RAY_ADDRESS, which `--inline` has no use for."""
    if arguments.address is not None or arguments.inline:
        address: str | None = arguments.address
        return address
    return environment.get("RAY_ADDRESS")


def places_of(arguments: argparse.Namespace, *, environment: Mapping[str, str] = os.environ) -> Options:
    """Return the options of a verb that has `add_places`: it shows what is on record."""
    options = records_of(arguments, environment=environment)
    tracking = arguments.tracking if arguments.tracking is not None else default_tracking(options.home)
    return replace(options, tracking=tracking)


def records_of(arguments: argparse.Namespace, *, environment: Mapping[str, str] = os.environ) -> Options:
    """Return the options of a verb that has `add_store` only: it works on records."""
    home = home_of(arguments.home, environment=environment)
    store = arguments.store if arguments.store is not None else (home / "store").as_uri()
    return Options(home=home, store=store, tracking="", as_json=arguments.as_json)


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


def preflight(options: Options) -> Store:
    """Check that results can be kept, before anything starts. Leaves nothing behind if they cannot.

    Raises:
        UserError: The home, the store or the tracking database cannot be reached or written.
    """
    store = open_readable(options)
    holder = next(folder for folder in (options.home, *options.home.parents) if folder.exists())
    if not holder.is_dir() or not os.access(holder, os.W_OK | os.X_OK):
        raise UserError(f"--home: {options.home} cannot be written: {holder} is no folder of yours")
    check_tracking(options.tracking)
    try:
        check_store(open_store(options.store, patience=FIRST_LOOK))
    except StoreError as error:
        raise UserError(f"--store: {without_secrets(str(error))}") from error
    return store


def quiet_loading() -> None:
    """Let transformers load networks without a bar for each; to be called before it is imported."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def answered(work: Callable[[], int], options: Options) -> int:
    """Return the exit code of `work`, or tell what went wrong: 2 bad input, 1 failed later, 130 on Ctrl-C."""
    try:
        return work()
    except UserError as error:
        return _failed(error, UserError.exit_code, options)
    except (StudyError, StoreError, OSError) as error:
        return _failed(error, StudyError.exit_code, options)
    except KeyboardInterrupt:
        return INTERRUPTED


def _failed(error: Exception, code: int, options: Options) -> int:
    """Tell the user, and with `--json` the program that called."""
    text = without_secrets(str(error))
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(text)
    if code == UserError.exit_code:
        console.print("nothing was started", style="bold")
    if options.as_json:
        sys.stdout.write(json.dumps({"error": text, "exit_code": code}) + "\n")
    return code
