"""`python -m platform` lists the verbs; each is run as `python -m platform.VERB`."""

import argparse
import sys
from collections.abc import Mapping, Sequence

from platform.cli import Answer, run_verb, verb_parser

VERBS: Mapping[str, str] = {
    "sweep": "run the search space in a file, or continue it where it stopped",
    "ablate": "run the ablation in a file, or continue it where it stopped",
    "resume": "continue a study with the file and settings that are on record",
    "status": "list the studies of a store, or show how far one is, from another terminal",
    "report": "make the report of an ablation again, from its records",
    "preview": "draw a data set (clips, captions, fMRI) as a picture",
    "strip": "draw a finished trial in one picture: truth, reconstruction, control, ceiling",
    "prepare": "make a data set of fMRI and clips from a lab's files, or check one",
    "cut": "cut videos into clips for a data set of kind folder",
    "evaluate": "judge videos made anywhere against the true ones",
    "reproduce": "run recorded trials again and say whether the same comes out",
    "rebuild": "make MLflow and the Optuna study anew, from the store's records",
    "export": "write a study as one self-contained folder",
    "import": "take such a folder into a store, after checking every byte",
    "ui": "open the studies in the MLflow UI",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the verbs and return the exit code."""
    parser = verb_parser("VERB", "List the verbs of Mindsweep.")
    parser.prog = "python -m platform"
    return run_verb(parser, _answer, argv)


def _answer(arguments: argparse.Namespace) -> Answer:
    lines = [f"  python -m platform.{verb:10} {purpose}" for verb, purpose in VERBS.items()]
    heading = "Mindsweep: run these from the project's root\n"
    return Answer({"verbs": dict(VERBS)}, "\n".join([heading, *lines, "\n--help lists the options of each."]))


if __name__ == "__main__":
    sys.exit(main())
