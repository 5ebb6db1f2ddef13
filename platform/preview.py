"""Draw a data set, so that one can look at it: `python -m platform.preview phantom`, `... folder PATH`.

Writes a picture (PNG) of some clips with captions and fMRI, and the same clips moving (GIF).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from platform.cli import HOME_HELP, home_of
from platform.errors import UserError
from platform.study.config_errors import config_field, config_fields, explain
from platform.study.yaml_source import parse_value
from trainables import datasets
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.errors import DatasetError


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the data set; return the exit code: 2 if it cannot be used, after telling all that is wrong with it."""
    options = _parser().parse_args(argv)
    console = Console(highlight=False, markup=False)
    try:
        config = _config(options)
        datasets.check(config).raise_for_errors()
        out = options.out if options.out is not None else home_of(options.home) / "preview"
        with console.status("drawing"):
            written = draw(config, name=options.kind, count=options.clips, folder=out)
    except (UserError, DatasetError) as error:
        Console(stderr=True, highlight=False, markup=False).print(str(error), soft_wrap=True)
        return UserError.exit_code
    for path in written:
        console.print(str(path), soft_wrap=True)
    return 0


def draw(config: TrialConfig, *, name: str, count: int, folder: Path) -> tuple[Path, Path]:
    """Write `<name>.png` and `<name>.gif` with up to `count` clips into `folder`; return their paths.

    Raises:
        DatasetError: The data set cannot be used.
        UserError: `folder` cannot be written.
    """
    from platform.figures.dataset_sheet import draw_motion, draw_sheet, gather  # Matplotlib takes a second to import

    view = gather(config, count=count)
    picture, motion = folder / f"{name}.png", folder / f"{name}.gif"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draw_sheet(view, picture)
        draw_motion(view, motion)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written: {error}") from error
    return picture, motion


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m platform.preview", description=__doc__, allow_abbrev=False)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    phantom = kinds.add_parser("phantom", help="the phantom", allow_abbrev=False)
    folder = kinds.add_parser("folder", help="clips, captions and fMRI of your own", allow_abbrev=False)
    folder.add_argument("path", type=Path, metavar="PATH", help="the folder")
    for one in (phantom, folder):
        add = one.add_argument
        add("--out", type=Path, metavar="DIR", help="where the pictures go (default: HOME/preview)")
        add("--home", type=Path, help=HOME_HELP)
        add("--clips", type=int, default=6, choices=range(1, 25), metavar="N", help="clips to draw (default: 6)")
        add(
            "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="such as dataset.noise=0.5"
        )
    return parser


def _config(options: argparse.Namespace) -> TrialConfig:
    """Return the config that the command line asks for. Raises `UserError`."""
    overrides: dict[str, Any] = {"dataset.kind": options.kind}
    if options.kind == "folder":
        overrides["dataset.path"] = str(options.path)
    for setting in options.settings:
        key, separator, text = setting.partition("=")
        if separator == "" or key == "":
            raise UserError(f"--set {setting}: must be KEY=VALUE, such as dataset.noise=0.5")
        try:
            overrides[key] = parse_value(text)
        except UserError as error:
            raise UserError(f"--set {setting}: {text!r} is no YAML value") from error
    try:
        return resolve(overrides)
    except ValidationError as error:
        told = [(config_field(entry), entry) for entry in error.errors()]
        lines = [f"{key}: {explain({**entry, 'loc': tuple(key.split('.'))}, config_fields())}" for key, entry in told]
        raise UserError("\n".join(lines)) from error


if __name__ == "__main__":
    raise SystemExit(main())
