"""The key `plugins` of a study's file: its plug-ins are read and loaded before anything else of the file is checked."""

from pathlib import Path
from typing import Any

from platform.errors import Problem, refuse
from platform.study.yaml_source import KeyPath, Source
from trainables.plugins.active import NO_PLUGINS, Plugins, load_plugins
from trainables.plugins.source import PluginError, PluginSource, read_source

_KEY = "plugins"


def plugins_of_file(source: Source) -> Plugins:
    """Return the plug-ins that `source` lists, loaded. Files are relative to the folder of `source`.

    Raises:
        UserError: The key is not a list of texts, or a plug-in cannot be read or loaded.
    """
    written = source.data.get(_KEY, [])
    items = [written] if isinstance(written, str) else written
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        refuse([source.problem((_KEY,), "must be a list of files (mydecoder.py) and names of entry points")])
    if not items:
        return NO_PLUGINS
    sources: list[PluginSource] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        _read(item, source, (_KEY, index), sources, problems)
    refuse(problems)
    try:
        return load_plugins(sources)
    except PluginError as error:
        refuse([source.problem((_KEY,), str(error))])
        raise AssertionError from error


def _read(item: Any, source: Source, path: KeyPath, sources: list[PluginSource], problems: list[Problem]) -> None:
    """Read one plug-in into `sources`, or append what is wrong to `problems`."""
    try:
        sources.append(read_source(item, folder=Path(source.path).parent))
    except PluginError as error:
        problems.append(source.problem(path, str(error)))
