"""`python -m platform.export STUDY OUT`: writes a study as one self-contained folder that `platform.import` reads."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from platform.cli import answered, open_readable, record_parser, records_of
from platform.options import Options
from platform.record.study_from_store import named

_DESCRIPTION = """\
Write a study as one folder: records as tables, the report of an ablation, configs, the package lock, chosen artifacts,
and checksums of it all. python -m platform.import takes it into another store."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 the study cannot be read, 2 bad input and nothing was written, 130 on Ctrl-C."""
    made = record_parser("export", description=_DESCRIPTION)
    made.add_argument("study", metavar="STUDY", help="such as cmg or table6")
    made.add_argument("out", metavar="OUT", type=Path, help="a folder that does not exist yet, or is empty")
    which = "all, none, or stages with commas between them (default: evaluate, and what else the report needs)"
    made.add_argument("--artifacts", metavar="STAGES", help=which)
    arguments = made.parse_args(argv)
    options = records_of(arguments)
    return answered(lambda: _answer(arguments, options), options)


def _answer(arguments: argparse.Namespace, options: Options) -> int:
    store = open_readable(options)
    study = named(store, arguments.study)
    from platform.bundle.writing import write_bundle  # pyarrow takes a while to import: mistakes come first

    written = write_bundle(store, study, arguments.out, stages=_stages(arguments.artifacts))
    if options.as_json:
        told = {"study": study, "folder": str(written.folder), "files": written.files, "bytes": written.size}
        sys.stdout.write(json.dumps({**told, "stage_runs": written.stage_runs, "missing": written.missing}) + "\n")
        return 0
    console = Console(markup=False, highlight=False, soft_wrap=True)
    size = f"{written.files} files, {written.size / 1e6:.1f} MB"
    console.print(f"{written.folder}: {study} with the artifacts of {written.stage_runs} stage runs ({size})")
    if written.missing:
        console.print(f"the store does not hold these, so they are left out: {', '.join(written.missing)}")
    return 0


def _stages(text: str | None) -> Sequence[str] | None:
    """Return which stages `--artifacts` names; `all` is as good as the name of each."""
    if text is None:
        return None
    return () if text == "none" else tuple(name.strip() for name in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
