"""`python -m platform` lists the verbs; each is run as `python -m platform.VERB`."""

import argparse
from collections.abc import Mapping, Sequence

from platform.cli import Answer, run_verb, verb_parser
from platform.process_end import run_command

VERBS: Mapping[str, str] = {
    "sweep": "run the search space in a file, or continue it where it stopped",
    "ablate": "run the ablation in a file, or continue it where it stopped",
    "confirm": "train the best points of a sweep anew under fresh seeds, and compare them",
    "resume": "continue a study with its recorded file and settings",
    "status": "list the studies of a store, or show the progress of one from another terminal",
    "report": "write the report of a sweep or an ablation again, from its records",
    "preview": "draw a data set (clips, captions, fMRI) as a picture",
    "strip": "draw a finished trial in one picture: truth, reconstruction, control, ceiling",
    "prepare": "make a data set of fMRI and clips from a lab's files, cut videos into clips, or check one",
    "evaluate": "evaluate the videos of any system against the true ones",
    "reproduce": "run recorded trials again and compare the results",
    "rebuild": "write MLflow and the Optuna study again, from the records of the store",
    "export": "write a study as one self-contained folder",
    "import": "check such a folder and add its study to a store",
    "checkpoint": "make weights that were trained elsewhere, such as the authors', usable here",
    "reproducible": "list what of the paper can be reproduced here, what is lacking, and run it",
    "ui": "open the studies in the MLflow UI",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the verbs and return the exit code."""
    parser = verb_parser("VERB", "List the verbs of Mindsweep.")
    parser.prog = "python -m platform"
    parser.add_argument("verb", nargs="?", choices=VERBS, metavar="VERB", help="show how this one is run")
    return run_verb(parser, _answer, argv)


def _answer(arguments: argparse.Namespace) -> Answer:
    shown = VERBS if arguments.verb is None else {arguments.verb: VERBS[arguments.verb]}
    lines = [f"  python -m platform.{verb:12} {purpose}" for verb, purpose in shown.items()]
    heading = "Mindsweep: run these from the project's root\n"
    return Answer({"verbs": dict(shown)}, "\n".join([heading, *lines, "\n--help lists the options of each."]))


if __name__ == "__main__":
    run_command(main)
