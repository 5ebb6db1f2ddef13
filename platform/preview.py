"""`python -m platform.preview KIND`: draws clips, captions and fMRI of a data set."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platform.cli import Answer, VerbParser, add_home, console, options_of, run_verb, verb_parser
from platform.errors import UserError
from platform.process_end import run_command
from platform.study.command_config import config_with
from trainables import datasets
from trainables.config.trial import TrialConfig
from trainables.datasets.errors import DatasetError
from trainables.datasets.kinds import DATASET_KINDS

_DESCRIPTION = """\
Draw a data set: a picture (PNG) of some clips with captions and fMRI, and an animation (GIF) of the same clips.
Examples: `python -m platform.preview phantom`, `python -m platform.preview folder PATH`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("preview", _DESCRIPTION)
    kinds = "; ".join(f"{kind.name}: {kind.description}" for kind in DATASET_KINDS.values())
    parser.add_argument("kind", choices=DATASET_KINDS, metavar="KIND", help=kinds)
    parser.add_argument("path", nargs="?", metavar="PATH", help="kinds folder and prepared: the folder, or a URI")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the pictures (default: HOME/preview)")
    add_home(parser)
    clips = "number of clips to draw (default: 6)"
    parser.add_argument("--clips", type=int, default=6, choices=range(1, 25), metavar="N", help=clips)
    example = "change a config field, such as dataset.noise=0.5; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=example)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    config = _config(arguments)
    folder = arguments.out if arguments.out is not None else options_of(arguments).home / "preview"
    try:
        datasets.check(config).raise_for_errors()
        with console().status("drawing"):
            files = draw_preview(config, name=arguments.kind, count=arguments.clips, folder=folder)
    except DatasetError as error:
        raise UserError(str(error)) from error
    return Answer({"files": [str(path) for path in files]}, "\n".join(map(str, files)))


def draw_preview(config: TrialConfig, *, name: str, count: int, folder: Path) -> tuple[Path, Path]:
    """Write `<name>.png` and `<name>.gif` with up to `count` clips into `folder`; return their paths.

    Raises:
        DatasetError: The data set cannot be used.
        UserError: `folder` cannot be written.
    """
    # Matplotlib takes a second to import.
    from platform.figures.dataset_sheet import draw_motion, draw_sheet, gather_sheet_data

    data = gather_sheet_data(config, count=count)
    picture, motion = folder / f"{name}.png", folder / f"{name}.gif"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draw_sheet(data, picture)
        draw_motion(data, motion)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written: {error}") from error
    return picture, motion


def _config(arguments: argparse.Namespace) -> TrialConfig:
    """Return the config of the command line. Raises `UserError`."""
    overrides: dict[str, Any] = {"dataset.kind": arguments.kind}
    if arguments.path is not None:
        overrides["dataset.path"] = arguments.path
    return config_with(arguments.settings, base=overrides, example="dataset.noise=0.5")


if __name__ == "__main__":
    run_command(main)
