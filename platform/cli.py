"""The parts of the command line that all verbs share: options, exit codes, and printing of the answer.

With `--json` every verb prints exactly one JSON object on stdout, also for errors; all else goes to stderr.
"""

import argparse
import json
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from platform.errors import StudyError, UserError, nearest
from platform.options import DEFAULT_HOME, Options, home_of
from platform.safe_output import safe_output
from platform.tracking_uri import default_tracking
from storage.environment import variable, without_secrets
from storage.errors import StoreError
from storage.names import similar

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
EXIT_CODES = "Exit code: 0 done, 1 failed later, 2 bad input and nothing was started, 130 interrupted (Ctrl-C)."
_WIDTH = 140
"""Width in columns if the output is not a terminal."""
_HOME_HELP = f"folder for all results (default: $MINDSWEEP_HOME or ./{DEFAULT_HOME})"
_STALL_HELP = "stop a trial without a new epoch or stage for this time (default: no limit)"
_DRY_RUN_HELP = "print the plan; start nothing, and write nothing but findings about files into the user's cache"
_INLINE_HELP = "run in this process, one trial at a time, without Ray: a breakpoint in a stage stops there"
_RETRY_HELP = "start failed trials again, once the cause of their failure is mended"
_KEEP_HELP = "go on even if the first trials all fail in the same way"
_SET_HELP = "change a key of the file (trials, seed, sampler, ...) or a config field (motion.depth); may be repeated"
_JSON_HELP = "print one JSON object on stdout, also for an error; all else goes to stderr"


@dataclass(frozen=True)
class Answer:
    """The answer of a verb."""

    value: Mapping[str, Any]
    """Printed on stdout as one JSON object with `--json`."""
    show: str | Callable[[Console], None] = ""
    """Printed on stdout without `--json`: a text, or a function that prints it."""
    exit_code: int = 0
    then: Callable[[], int] | None = None
    """Called after the answer is printed, for example to run a server; returns the exit code."""


_UNKNOWN_OPTION = "unrecognized arguments: "
_UNKNOWN_CHOICE = re.compile(r"(?s)(?P<where>.*): invalid choice: '?(?P<name>.*?)'? \(choose from (?P<names>.*)\)")


class VerbParser(argparse.ArgumentParser):
    """A parser that leaves printing to `run_verb`, so that `--json` also applies to errors and to help."""

    def error(self, message: str) -> NoReturn:
        """Raise `UserError`."""
        raise UserError(f"{self._explained(message)}\n{self.format_usage().strip()}")

    def _explained(self, message: str) -> str:
        """Return a message of argparse; one about a name that is not known with the nearest ones."""
        if match := _UNKNOWN_CHOICE.fullmatch(message):
            names = re.findall(r"'([^']*)'|(-?\d+)", match["names"])
            near = nearest(match["name"], (text or number for text, number in names))
            return f"{match['where']}: there is no {match['name']}; {near}"
        words = message.removeprefix(_UNKNOWN_OPTION).split() if message.startswith(_UNKNOWN_OPTION) else []
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        if not options:
            return message
        known = re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*)", self.format_help())
        others = [f"--{name}" for name in similar(options[0].removeprefix("--"), known)]
        asked = f"did you mean {' or '.join(others)}?" if others else "--help lists all"
        return f"there is no option {options[0]}; {asked}"

    def print_help(self, file: object = None) -> NoReturn:
        """Raise what makes `run_verb` print the help."""
        raise _HelpRequest(self.format_help().rstrip())


def verb_parser(verb: str, description: str, *, exit_codes: str = EXIT_CODES) -> VerbParser:
    """Return the parser of a verb, with `--json` and the exit codes in its help."""
    parser = VerbParser(
        prog=f"python -m platform.{verb}",
        description=description,
        epilog=exit_codes,
        formatter_class=_Paragraphs,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help=_JSON_HELP)
    return parser


def add_home(parser: argparse.ArgumentParser) -> None:
    """Add the option for the home folder."""
    parser.add_argument("--home", type=Path, metavar="FOLDER", help=_HOME_HELP)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the options for the home folder and the store."""
    add_home(parser)
    parser.add_argument("--store", metavar="URI", help="object store (default: file://HOME/store)")


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """Add the option for the MLflow server or database."""
    parser.add_argument("--tracking", metavar="URI", help="MLflow (default: sqlite:///HOME/mlflow.db)")


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verbs that run a study."""
    add_store(parser)
    add_tracking(parser)
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN_HELP)
    parser.add_argument(
        "--address", help="Ray cluster to join, such as auto or HOST:PORT (default: $RAY_ADDRESS, or start one here)"
    )
    parser.add_argument("--inline", action="store_true", help=_INLINE_HELP)
    parser.add_argument(
        "--max-concurrent",
        type=positive,
        metavar="N",
        help="largest number of trials at a time (default: as many as fit)",
    )
    parser.add_argument("--retry-failed", action="store_true", help=_RETRY_HELP)
    parser.add_argument("--keep-going", action="store_true", help=_KEEP_HELP)
    parser.add_argument("--stall-timeout", type=positive, metavar="SECONDS", dest="stage_deadline", help=_STALL_HELP)
    parser.add_argument("--stage-deadline", type=positive, dest="stage_deadline", help=argparse.SUPPRESS)


def add_study_file(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verbs that run the study of a file: lists of keys, settings, and how to run it."""
    add_lists(parser)
    add_settings(parser)
    add_running(parser)


def add_lists(parser: argparse.ArgumentParser) -> None:
    """Add the options that list config fields and keys of files."""
    fields = "list the config fields (below PREFIX) with meaning, default and values; runs nothing"
    parser.add_argument("--help-fields", metavar="PREFIX", nargs="?", const="", help=fields)
    keys = "list the keys of the file (below PREFIX) in the same way"
    parser.add_argument("--help-keys", metavar="PREFIX", nargs="?", const="", help=keys)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option of the verbs that execute the code of recorded plug-ins."""
    trust = "execute the recorded code of the plug-in with this digest; may be repeated"
    parser.add_argument("--trust-plugin", action="append", default=[], metavar="SHA256", dest="trusted", help=trust)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the option that changes keys of a file and config fields."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=_SET_HELP)


def positive(text: str) -> int:
    """Return the whole number of 1 or more in `text`, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, but got {number}")
    return number


def options_of(arguments: argparse.Namespace, *, environment: Mapping[str, str] = os.environ) -> Options:
    """Return the options of the command line, with defaults for those that are not given."""
    values = {name: value for name, value in vars(arguments).items() if value is not None}
    home, inline = home_of(values.get("home"), environment=environment), values.get("inline", False)
    return Options(
        home=home,
        store=values.get("store", (home / "store").as_uri()),
        tracking=values.get("tracking", default_tracking(home)),
        address=values.get("address", None if inline else variable("RAY_ADDRESS", environment)),
        inline=inline,
        max_concurrent=values.get("max_concurrent"),
        stage_deadline=values.get("stage_deadline"),
        new_attempt=values.get("new_attempt", False),
        retry_failed=values.get("retry_failed", False),
        keep_going=values.get("keep_going", False),
        dry_run=values.get("dry_run", False),
        as_json=values.get("as_json", False),
    )


def as_arguments(options: Options) -> list[str]:
    """Return the command line that `options_of` reads as `options`, for another verb that runs a study."""
    texts = {
        "--home": options.home,
        "--store": options.store,
        "--tracking": options.tracking,
        "--address": options.address,
        "--max-concurrent": options.max_concurrent,
        "--stall-timeout": options.stage_deadline,
    }
    switches = {
        "--dry-run": options.dry_run,
        "--inline": options.inline,
        "--retry-failed": options.retry_failed,
        "--keep-going": options.keep_going,
    }
    named = [part for name, value in texts.items() if value is not None for part in (name, str(value))]
    return [*named, *(name for name, given in switches.items() if given)]


def settings_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the settings of the command line, as `key=value`."""
    short = [f"{key}={value}" for key in ("trials", "seed") if (value := getattr(arguments, key)) is not None]
    return (*arguments.settings, *short)


def quiet_loading() -> None:
    """Disable the progress bars of transformers. Call it before transformers is imported."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


class _HelpRequest(Exception):
    """`--help` was given; the text is the help."""


class _Paragraphs(argparse.HelpFormatter):
    """Wraps each paragraph of a description separately."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(_Paragraphs, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


def run_verb(parser: VerbParser, call: Callable[[argparse.Namespace], Answer], argv: Sequence[str] | None) -> int:
    """Parse `argv`, let `call` do the work, print its answer, and return the exit code.

    Exit codes: 0 done, 1 failed later, 2 bad input and nothing was started, 130 interrupted by Ctrl-C.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    as_json = "--json" in arguments
    with safe_output():
        on_stdout: AbstractContextManager[Any] = redirect_stdout(sys.stderr) if as_json else nullcontext()
        with on_stdout:
            answer = _answer(lambda: call(parser.parse_args(arguments)), as_json=as_json)
        try:
            _print(answer, as_json=as_json)
        except OSError as error:
            text = f"the answer could not be written to stdout: {error.strerror}"
            return _failure(text, StudyError.exit_code).exit_code
        return answer.exit_code if answer.then is None else answer.then()


def _answer(work: Callable[[], Answer], *, as_json: bool) -> Answer:
    """Return the answer of `work`, or an answer with its error."""
    try:
        return work()
    except _HelpRequest as request:
        return Answer({"help": str(request)}, str(request))
    except UserError as error:
        return _failure(str(error), UserError.exit_code)
    except (StudyError, StoreError, OSError) as error:
        return _failure(str(error), StudyError.exit_code)
    except KeyboardInterrupt as stop:
        return _failure(": ".join(("interrupted", *map(str, stop.args))), INTERRUPTED)
    except Exception as error:
        if not as_json:
            raise
        traceback.print_exc()
        return _failure(f"{type(error).__name__}: {error}", StudyError.exit_code)


def _failure(text: str, code: int) -> Answer:
    """Print the error, and return the answer for `--json`."""
    text = without_secrets(text)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with suppress(OSError):  # stderr cannot be written either: the exit code says it
        console.print(text)
        if code == UserError.exit_code:
            console.print("nothing was started", style="bold")
    return Answer({"error": text}, exit_code=code)


def _print(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        value = {**answer.value, "exit_code": answer.exit_code}
        sys.stdout.write(json.dumps(_without_markup(value), allow_nan=False) + "\n")
        sys.stdout.flush()
    elif callable(answer.show):
        answer.show(console())
    elif answer.show:
        console().print(answer.show, soft_wrap=True)


def console() -> Console:
    """Return a console for text output, without markup, since names and paths may look like markup."""
    plain_console = Console(markup=False, highlight=False)
    if not plain_console.is_terminal:
        plain_console.width = _WIDTH
    return plain_console


def _without_markup(value: Any) -> Any:
    """Return `value` with null instead of NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_markup(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_markup(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
