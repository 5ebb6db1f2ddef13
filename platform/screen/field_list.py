"""Config fields and keys of files as a list for the terminal, as JSON, and as the page docs/fields.md.

`python -m platform.screen.field_list > docs/fields.md` regenerates the page. A test checks that it is up to date.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding

from platform.study.field_help import FieldHelp, ablation_keys, config_help, sweep_keys

_INTRODUCTION = """\
# Config fields and YAML keys

Generated from the docstrings of the code by `make fields`; `--help-fields [PREFIX]` and `--help-keys [PREFIX]` of
`python -m platform.sweep` and `python -m platform.ablate` print the same.

Config fields are written under `base` (sweeps) or `baseline` and `conditions` (ablations), swept under `space`, or set
with `--set FIELD=VALUE`. A field that is part of the *identity* determines the result: another value means another
stage run. A *circumstance* sets how or where stages run, and changes no result.
"""


def render_fields(entries: Iterable[FieldHelp], console: Console) -> None:
    """Print each entry: its name and default, its allowed values, and its meaning."""
    for entry in entries:
        console.print(f"{entry.name} = {entry.default}" if entry.default else entry.name, style="bold")
        for line in _lines(entry):
            console.print(Padding(line, (0, 0, 0, 4)))


def fields_page() -> str:
    """Return all fields and keys as one Markdown page."""
    parts = [_INTRODUCTION]
    for title, entries in (("Sweep files", sweep_keys()), ("Ablation files", ablation_keys())):
        parts += [f"## {title}\n", _table(entries)]
    parts.append("## Config fields\n")
    for section, fields in groupby(config_help(), key=lambda entry: entry.name.partition(".")[0]):
        parts += [f"### {section}\n", _table(tuple(fields))]
    return "\n".join(parts)


def _lines(entry: FieldHelp) -> Iterator[str]:
    facts = [fact for fact in (entry.values, entry.kind, _condition(entry)) if fact]
    if facts:
        yield "; ".join(facts)
    if entry.meaning:
        yield entry.meaning
    if entry.sets:
        yield f"default with {_other_defaults(entry)}"


def _condition(entry: FieldHelp) -> str:
    return f"only with {entry.only_with}" if entry.only_with else ""


def _other_defaults(entry: FieldHelp) -> str:
    return "; ".join(f"{name}: {value}" for name, value in entry.sets.items())


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of texts, with a line break at its end."""
    first, *others = (f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in (head, *rows))
    return "".join([first, "|", "---|" * len(head), "\n", *others])


def _table(entries: Sequence[FieldHelp]) -> str:
    return markdown_table(("name", "default", "values", "meaning"), map(_cells, entries))


def _cells(entry: FieldHelp) -> tuple[str, ...]:
    kind = "*circumstance*" if entry.kind == "circumstance" else ""
    only = f"only with `{entry.only_with}`" if entry.only_with else ""
    sets = "; ".join(f"`{name}`: {value}" for name, value in entry.sets.items())
    default = f"`{entry.default}`" if entry.default else ""
    details = [entry.meaning, *(f"({note})" for note in (kind, only, sets) if note)]
    return f"`{entry.name}`", default, entry.values, " ".join(detail for detail in details if detail)


if __name__ == "__main__":
    sys.stdout.write(fields_page())
