"""What `--help-fields` and `--help-keys` answer: the fields and keys that can be written, with their meaning."""

import argparse
from collections.abc import Callable

from platform.cli import Answer
from platform.errors import UserError, nearest
from platform.screen.field_list import render_fields
from platform.study.field_help import FieldHelp, config_help, matching


def field_answer(arguments: argparse.Namespace, keys: Callable[[], tuple[FieldHelp, ...]]) -> Answer | None:
    """Return the list that was asked for; None if none was. `keys` returns the keys of the verb's file.

    Raises:
        UserError: Nothing lies below the prefix.
    """
    if arguments.help_fields is not None:
        return _listed("--help-fields", arguments.help_fields, config_help())
    if arguments.help_keys is not None:
        return _listed("--help-keys", arguments.help_keys, keys())
    return None


def _listed(option: str, prefix: str, entries: tuple[FieldHelp, ...]) -> Answer:
    found = matching(entries, prefix)
    if not found:
        names = {name for entry in entries for name in (entry.name, entry.name.rpartition(".")[0]) if name}
        raise UserError(f"{option} {prefix}: nothing has this name; {nearest(prefix, names)}")
    return Answer({"fields": [entry.to_json() for entry in found]}, lambda console: render_fields(found, console))
