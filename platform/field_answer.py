"""The answers of `--help-fields` and `--help-keys`: config fields and keys of files, with their meaning."""

import argparse
from collections.abc import Callable

from platform.cli import Answer
from platform.errors import UserError, nearest
from platform.screen.field_list import render_fields
from platform.study import yaml_source
from platform.study.field_help import FieldHelp, config_help, matching
from platform.study.plugin_key import plugins_of_file
from trainables.plugins.active import NO_PLUGINS


def field_answer(arguments: argparse.Namespace, keys: Callable[[], tuple[FieldHelp, ...]]) -> Answer | None:
    """Return the requested list; None if no list was requested. `keys` returns the keys of the verb's file.

    If the command names a file, the config fields of its plug-ins are listed, too.

    Raises:
        UserError: No field or key has the prefix, or a plug-in cannot be loaded.
    """
    if arguments.help_fields is not None:
        plugins = NO_PLUGINS if arguments.file is None else plugins_of_file(yaml_source.read(arguments.file))
        with plugins.active():
            return _listed("--help-fields", arguments.help_fields, config_help())
    if arguments.help_keys is not None:
        return _listed("--help-keys", arguments.help_keys, keys())
    return None


def _listed(option: str, prefix: str, entries: tuple[FieldHelp, ...]) -> Answer:
    matches = matching(entries, prefix)
    if not matches:
        names = {name for entry in entries for name in (entry.name, entry.name.rpartition(".")[0]) if name}
        raise UserError(f"{option} {prefix}: there is no such field or key; {nearest(prefix, names)}")
    return Answer({"fields": [entry.to_json() for entry in matches]}, lambda console: render_fields(matches, console))
