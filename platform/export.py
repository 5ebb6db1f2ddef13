"""`python -m platform.export STUDY OUT`: writes a study as one folder for `platform.import`, or videos of a trial."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from platform.bundle.video_files import FORMS, write_reconstructions
from platform.cli import Answer, VerbParser, add_store, options_of, run_verb, verb_parser
from platform.errors import UserError
from platform.options import open_readable
from platform.process_end import run_command
from platform.record.study_names import resolve_study
from platform.reproduction.selection import choose_trials
from storage.base import Store

_DESCRIPTION = """\
Write a study as one folder: records as tables, the report of an ablation, configs, the package lock, chosen artifacts,
and checksums of it all. python -m platform.import takes it into another store. With --videos, write the
reconstructions of one trial as video files, named as the clips."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("export", _DESCRIPTION)
    parser.add_argument("study", metavar="STUDY", help="such as cmg or table6; with --videos STUDY/TRIAL")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new or empty folder")
    stages = "all, none, or stages separated by commas (default: evaluate, and the others that the report needs)"
    parser.add_argument("--artifacts", metavar="STAGES", help=stages)
    forms = "write videos of a trial: npy and png (a folder each) lose nothing, gif has 256 colours, mp4 is H.264"
    parser.add_argument("--videos", choices=FORMS, help=forms)
    add_store(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    store = open_readable(options_of(arguments))
    if arguments.videos is not None:
        return _export_videos(store, arguments)
    study = resolve_study(store, arguments.study)
    from platform.bundle.writing import (
        write_bundle,
    )  # pyarrow takes a while to import: errors of the user are reported first

    summary = write_bundle(store, study, arguments.out, stages=_stages(arguments.artifacts))
    size = f"{summary.files} files, {summary.size / 1e6:.1f} MB"
    text = f"{summary.folder}: {study} with the artifacts of {summary.stage_runs} stage runs ({size})"
    if summary.missing:
        text += f"\nleft out, because the store does not hold them: {', '.join(summary.missing)}"
    value = {"study": study, "folder": str(summary.folder), "files": summary.files, "bytes": summary.size}
    return Answer({**value, "stage_runs": summary.stage_runs, "missing": summary.missing}, text)


def _export_videos(store: Store, arguments: argparse.Namespace) -> Answer:
    if arguments.artifacts is not None:
        raise UserError(
            "--artifacts selects what a bundle holds, and --videos writes none; remove one of the two options"
        )
    trial = choose_trials(store, arguments.study).trials[0]
    count = write_reconstructions(store, trial, arguments.out, form=arguments.videos)
    text = f"{arguments.out}: {count} videos of {trial.name} as {arguments.videos}; `given.path` reads them"
    return Answer({"trial": trial.name, "folder": str(arguments.out), "videos": count}, text)


def _stages(text: str | None) -> Sequence[str] | None:
    """Return the stages of `--artifacts`. `all` is not replaced here."""
    if text is None:
        return None
    return () if text == "none" else tuple(name.strip() for name in text.split(","))


if __name__ == "__main__":
    run_command(main)
