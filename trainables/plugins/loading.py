"""Loads the code of plug-ins from their text, so that what runs is what was digested, on any machine."""

import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from trainables.plugins.declaration import API_VERSION, Plugin
from trainables.plugins.source import DECLARATION, PluginError, PluginSource


@dataclass(frozen=True)
class LoadedPlugin:
    """A plug-in whose code was executed."""

    source: PluginSource
    plugin: Plugin
    modules: Mapping[str, ModuleType]
    """Its modules by name."""


@cache  # a source is a value: it is executed once per process
def load_plugin(source: PluginSource) -> LoadedPlugin:
    """Execute the code of `source` and return what it declares.

    Raises:
        PluginError: The code raises an error, declares nothing, or was written for another version of the API.
    """
    texts = _texts(source)
    name = source.module if source.module else next(iter(texts))
    with _importable(texts):
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise PluginError(_own_frame(error, source)) from error
        modules = {name: sys.modules[name] for name in texts if name in sys.modules}
    return LoadedPlugin(source, _declared(module, source), modules)


def _declared(module: ModuleType, source: PluginSource) -> Plugin:
    plugin = getattr(module, source.declaration, None)
    where = f"{source.path}: the plug-in {source.name}"
    if not isinstance(plugin, Plugin):
        found = "has no such value" if plugin is None else f"has a {type(plugin).__name__} there"
        raise PluginError(
            f"{where} must declare `{DECLARATION} = Plugin(api={API_VERSION}, ...)` at the top of its module, but "
            f"{found}"
        )
    if plugin.api != API_VERSION:
        raise PluginError(
            f"{where} was written for version {plugin.api} of the API, and this version of Mindsweep has version "
            f"{API_VERSION} (docs/api.md)"
        )
    return plugin


@contextmanager
def importable(plugins: Sequence[LoadedPlugin]) -> Iterator[None]:
    """Let `import` find the modules of `plugins` in the block, before installed ones of the same name.

    A module that a function of a plug-in imports only when it runs is executed in each such block anew.
    """
    texts = {name: text for plugin in plugins for name, text in _texts(plugin.source).items()}
    with _importable(texts):
        sys.modules.update({name: module for plugin in plugins for name, module in plugin.modules.items()})
        yield


@dataclass(frozen=True)
class _ModuleText:
    path: str
    text: str
    is_package: bool


def _texts(source: PluginSource) -> dict[str, _ModuleText]:
    """Return the modules of `source` by name. A file has a name of its own, which no other module has."""
    if source.module == "":
        return {
            f"mindsweep_plugin_{source.sha256[:16]}": _ModuleText(source.path, source.files[0][1], is_package=False)
        }
    folder = Path(source.path).parent
    texts = {}
    for path, text in source.files:
        parts = path.removesuffix(".py").split("/")
        is_package = parts[-1] == "__init__"
        texts[".".join(parts[:-1] if is_package else parts)] = _ModuleText(str(folder / path), text, is_package)
    return texts


@contextmanager
def _importable(texts: Mapping[str, _ModuleText]) -> Iterator[None]:
    """Let `import` find only these texts under their names, and leave no module behind."""
    before = {name: sys.modules.pop(name) for name in texts if name in sys.modules}
    finder = _Finder(texts)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in texts:
            sys.modules.pop(name, None)
        sys.modules.update(before)


class _Finder(MetaPathFinder):
    def __init__(self, texts: Mapping[str, _ModuleText]) -> None:
        self._texts = texts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of the plug-in."""
        text = self._texts.get(fullname)
        if text is None:
            return None
        spec = importlib.util.spec_from_loader(fullname, _Loader(text), origin=text.path, is_package=text.is_package)
        assert spec is not None
        spec.has_location = True
        return spec


class _Loader(InspectLoader):
    """Executes a text. Debuggers, tracebacks and docstrings of fields read the text from it."""

    def __init__(self, text: _ModuleText) -> None:
        self._text = text

    def get_source(self, fullname: str) -> str:
        """Return the text."""
        return self._text.text

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled text; frames show the path of the file."""
        return compile(self._text.text, self._text.path, "exec", dont_inherit=True)

    def is_package(self, fullname: str) -> bool:
        """Return whether it is the `__init__` of a package."""
        return self._text.is_package


def _own_frame(error: Exception, source: PluginSource) -> str:
    """Return the error with the last line of the plug-in that led to it."""
    texts = {text.path: text.text for text in _texts(source).values()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in texts]
    what = f"the plug-in {source.name} cannot be loaded: {type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename in texts:
        line = "" if error.text is None else error.text.strip()
        return f"{error.filename}:{error.lineno}: the plug-in {source.name} cannot be loaded: {error.msg}\n    {line}"
    if not frames:
        return f"{source.path}: {what}"
    lines = texts[frames[-1].filename].splitlines()
    number = frames[-1].lineno
    shown = lines[number - 1].strip() if number is not None and number <= len(lines) else ""
    return f"{frames[-1].filename}:{number}: {what}\n    {shown}"
