"""`python -m platform.reproducible`: which tables and figures of the paper can be reproduced here, and how."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from platform import ablate
from platform.cli import Answer, VerbParser, add_running, add_settings, as_arguments, options_of, run_verb, verb_parser
from platform.errors import UserError, nearest
from platform.options import Options, open_readable
from platform.process_end import run_command
from platform.reproduction.paper_items import ITEMS, Item, Need, lacking
from platform.screen.units import duration
from platform.study.ablation_file import ABLATIONS, load_ablation
from platform.study.command_config import config_with
from platform.study.plan import make_plan
from storage.base import Store

_DESCRIPTION = """\
List the tables and figures of the paper: what this machine lacks to reproduce each as it was published (data, weights,
GPU), where to get that, and the design that runs on what is there, with the time that its plan forecasts. --set says
which data and weights you have, as in a study (--set dataset.kind=prepared --set dataset.path=...); by default there
are the phantom and its small networks alone.

--run ITEM runs the designs of items, one after the other, as `python -m platform.ablate` does, with the same --set."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("reproducible", _DESCRIPTION)
    parser.add_argument("--run", nargs="+", metavar="ITEM", default=[], help="items to run, such as table6; all: all")
    add_settings(parser)
    add_running(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    chosen = _chosen(arguments.run)
    if chosen and arguments.as_json:
        raise UserError("--json: only for the list; each ablation of --run prints an answer of its own")
    config = config_with(
        [setting for setting in arguments.settings if "." in setting.partition("=")[0]],
        base={},
        example="backbones.clip=openai/clip-vit-base-patch32@COMMIT",
    )
    options = options_of(arguments)
    needs = lacking(config)
    store = open_readable(options)
    seconds = {
        design: _seconds(design, arguments.settings, store) for design in dict.fromkeys(_designs(tuple(ITEMS.values())))
    }
    value = {
        "items": [_row(item, needs, seconds) for item in ITEMS.values()],
        "needs": {need.name: {"what": need.what, "from": need.source, "size": need.size, "licence": need.licence}
                  for need in needs.values()},
    }  # fmt: skip
    runs = None if not chosen else lambda: _run(chosen, arguments.settings, options)
    return Answer(value, lambda console: _show(needs, seconds, console), then=runs)


def _chosen(names: Sequence[str]) -> tuple[Item, ...]:
    """Return the items to run. Raises `UserError` for an unknown one, or one that no design of ours reproduces."""
    for name in names:
        if name != "all" and name not in ITEMS:
            raise UserError(f"--run: there is no item {name!r}; {nearest(name, ITEMS)}")
        if name != "all" and ITEMS[name].design is None:
            raise UserError(f"--run: {name} cannot be run here: {ITEMS[name].note}")
    return tuple(item for item in ITEMS.values() if item.design is not None and ("all" in names or item.name in names))


def _designs(items: Sequence[Item]) -> list[str]:
    return [item.design for item in items if item.design is not None]


def _seconds(design: str, settings: Sequence[str], store: Store) -> float:
    study = load_ablation(ABLATIONS / f"{design}.yaml", settings)
    return make_plan(replace(study, attempt=1), store).seconds


def _row(item: Item, needs: Mapping[str, Need], seconds: Mapping[str, float]) -> dict[str, object]:
    design = item.design
    return {
        "item": item.name,
        "title": item.title,
        "lacks": [name for name in item.needs if name in needs],
        "design": None if design is None else str(ABLATIONS / f"{design}.yaml"),
        "seconds": None if design is None else seconds[design],
        "note": item.note,
    }


def _time(seconds: float) -> str:
    return duration(seconds) if seconds > 0 else "done: stored"


def _show(needs: Mapping[str, Need], seconds: Mapping[str, float], console: Console) -> None:
    items = Table("item", "what", "lacks, as published", "runs here", "time", box=box.SIMPLE)
    for item in ITEMS.values():
        lacks = ", ".join(name for name in item.needs if name in needs)
        runs = item.note if item.design is None else f"{ABLATIONS}/{item.design}.yaml"
        items.add_row(item.name, item.title, lacks, runs, "" if item.design is None else _time(seconds[item.design]))
    sources = Table("lacking", "what", "where to get it", "size", "licence", box=box.SIMPLE)
    for need in needs.values():
        sources.add_row(need.name, need.what, need.source, need.size, need.licence)
    console.print(items, sources, "times: forecasts for what the store does not hold yet, without a GPU", sep="\n")


def _run(items: Sequence[Item], settings: Sequence[str], options: Options) -> int:
    """Run the designs of `items`; go on after one that fails. Return the highest exit code."""
    common = [*(part for setting in settings for part in ("--set", setting)), *as_arguments(options)]
    designs = dict.fromkeys(_designs(items))
    return max(ablate.main([str(Path(ABLATIONS) / f"{design}.yaml"), *common]) for design in designs)


if __name__ == "__main__":
    run_command(main)
