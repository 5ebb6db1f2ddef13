"""`python -m platform.confirm STUDY`: trains the best points of a sweep anew, under fresh seeds, and compares them."""

import argparse
from collections.abc import Sequence
from typing import get_args

from platform.analysis.follow_ups import Against, confirmation
from platform.cli import Answer, VerbParser, add_running, add_settings, add_trust, positive, run_verb, verb_parser
from platform.follow_up_answer import follow_up_answer
from platform.process_end import run_command

_DESCRIPTION = """\
Confirm the best points of the sweep STUDY: train them and the point tried first anew, under fresh seeds, judge them on
test clips where the target has such a form, and compare them as an ablation that is registered first. The report also
says by how much the values of the search were too good.

The file of the ablation is written into HOME/ablations, where it can be read and run again. The same command continues
it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("confirm", _DESCRIPTION)
    parser.add_argument("study", metavar="STUDY", help="a sweep with completed trials, such as cmg")
    parser.add_argument("--top", type=positive, default=3, metavar="N", help="number of best points (default: 3)")
    seeds = "training seeds per point (default: one more than the fewest that can earn a star: 8 for 3 points)"
    parser.add_argument("--seeds", type=positive, metavar="N", help=seeds)
    parser.add_argument("--target", metavar="METRIC", help="of several targets, the one that orders the points")
    against = "baseline: the first of the points that the sweep's file lists, or the defaults (default: first, if any)"
    parser.add_argument("--against", choices=get_args(Against), help=against)
    fork = "confirm other points than before as a new ablation; the registered one stays as it is"
    parser.add_argument("--fork", action="store_true", help=fork)
    add_settings(parser)
    add_trust(parser)
    add_running(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    return follow_up_answer(
        arguments,
        lambda search: confirmation(
            search, search.named(arguments.target), top=arguments.top, against=arguments.against
        ),
        sweep=arguments.study,
        seeds=arguments.seeds,
    )


if __name__ == "__main__":
    run_command(main)
