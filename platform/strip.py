"""`python -m platform.strip STUDY/TRIAL`: draws a stored trial as one picture."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from platform.cli import Answer, VerbParser, add_store, options_of, run_verb, verb_parser
from platform.errors import UserError
from platform.options import open_readable
from platform.process_end import run_command
from platform.record.stored_plugins import named_plugins
from platform.reproduction.selection import RecordedTrial, choose_trials
from storage.base import Store
from storage.runs import RunStore
from trainables.graph import video_stage

_DESCRIPTION = """\
Draw a finished trial as one picture: truth, reconstruction, reconstruction from another clip's fMRI, and ceiling, with
a sentence of its metrics. A fixed rule chooses the clips. For STUDY alone, its best trial is drawn."""
_NEEDED = ("voxels", "controls", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("strip", _DESCRIPTION)
    parser.add_argument("trial", metavar="STUDY/TRIAL", help="a completed trial that made videos")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the PNG (default: HOME/strips/STUDY-TRIAL.png)")
    add_store(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    options = options_of(arguments)
    store = open_readable(options)
    trial = choose_trials(store, arguments.trial, count=None).trials[0]
    default = options.home / "strips" / f"{trial.name.replace('/', '-')}.png"
    path = arguments.out if arguments.out is not None else default
    sentence = draw_trial(store, trial, path)
    return Answer({"trial": trial.name, "picture": str(path), "sentence": sentence}, f"{path}\n{sentence}")


def draw_trial(store: Store, trial: RecordedTrial, path: Path) -> str:
    """Draw `trial` on its test clips, or on validation clips if it has no test clips; return the sentence.

    Raises:
        UserError: The trial made no videos, or `path` cannot be written.
    """
    identities = {run.stage: run.identity for run in trial.runs}
    maker = video_stage(identities)
    if missing := [stage for stage in (*_NEEDED, maker) if stage not in identities]:
        raise UserError(
            f"trial {trial.name} has no stage {' or '.join(missing)}: only trials that made videos can be drawn"
        )
    # torch and scipy take seconds to import: errors of the user are reported first
    from trainables.config.trial import config_from_json
    from trainables.judging.stored_trial import read_judged
    from trainables.pages.strip import draw_strip

    with tempfile.TemporaryDirectory(prefix="mindsweep-strip-") as cache, named_plugins(store, trial.study).active():
        stored = RunStore(store, cache=Path(cache))
        since = [stage for stage in ("library",) if stage in identities]  # trials of earlier versions have none
        needed = ("clips" if "clips" in identities else "data", maker, *_NEEDED, *since)
        dataset = config_from_json(trial.proposed.config).dataset
        *_, split = read_judged({stage: stored.open(identities[stage]) for stage in needed}, dataset)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return draw_strip(split, path)
        except OSError as error:
            raise UserError(f"--out: {path} cannot be written: {error}") from error
        except ValueError as error:
            raise UserError(f"trial {trial.name} cannot be drawn: {error}") from error


if __name__ == "__main__":
    run_command(main)
