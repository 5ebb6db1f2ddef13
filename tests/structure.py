"""Counts circles of imports between rooms, and public names that are defined in more than one module.

A room is a sub-package of `platform` or `trainables`, or a module that lies directly in one of them. Imports inside
functions count; a module that is imported by its name in a string does not. `ONE_MEANING` lists what may repeat.

    python -m tests.structure            # this tree
    python -m tests.structure FOLDER     # another checkout
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("platform", "trainables", "storage")
WITH_ROOMS = ("platform", "trainables")

Rooms = dict[str, set[str]]


@dataclass(frozen=True)
class OneMeaning:
    """The modules in which every definition of `name` means the same."""

    name: str
    modules: tuple[str, ...]
    """Patterns of module names."""
    reason: str


ONE_MEANING = (
    OneMeaning("run", ("trainables.stages.*",), "what a stage is: run(task) -> result"),
    OneMeaning("main", ("*",), "the entry point of a command line"),
    OneMeaning("logger", ("*",), "the logger of the module"),
    OneMeaning("Floats", ("*",), "an array of floating-point numbers"),
    OneMeaning("Doubles", ("*",), "an array of numbers of 64 bits"),
    OneMeaning("Frames", ("trainables.datasets.*",), "an array of frames"),
    OneMeaning("Integers", ("*",), "an array of integers"),
    OneMeaning("Texts", ("*",), "an array of texts"),
    OneMeaning("fingerprint", ("trainables.*",), "what identifies content from outside: a data set, weights"),
    OneMeaning("check", ("trainables.datasets", "trainables.datasets.*"), "what every kind of data set offers"),
    *(
        OneMeaning(name, ("trainables.datasets", "trainables.datasets.*"), "what every kind of data set offers")
        for name in ("load", "load_clips", "load_brains", "clips_fingerprint", "brains_fingerprint")
    ),
    *(
        OneMeaning(name, ("trainables.datasets", "trainables.datasets.*"), "what every kind of data set offers")
        for name in ("clips_files", "brains_files", "card_files")
    ),
    OneMeaning(
        "load_presentations", ("trainables.datasets", "trainables.datasets.*"), "what a kind of data set may offer"
    ),
    *(
        OneMeaning(name, ("trainables.preparation.*",), "what every reader of a lab's files has")
        for name in ("Settings", "VERSION", "open_source")
    ),
    OneMeaning("build", ("trainables.backbones.*",), "returns an untrained backbone"),
)


@dataclass(frozen=True)
class Module:
    """A parsed file and its dotted name."""

    name: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """Its room, for example `platform.run`."""
        return _room(self.name)


@dataclass(frozen=True)
class Definition:
    """A public name at the top of a module."""

    name: str
    kind: str
    module: str

    @property
    def meaning(self) -> str:
        """The reason why definitions elsewhere mean the same, or the module itself."""
        reasons = [row.reason for row in ONE_MEANING if row.name == self.name and _matches(self.module, row.modules)]
        return reasons[0] if reasons else self.module


def _matches(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns)


@cache
def syntax_tree(path: Path) -> ast.Module:
    """Return the file at `path`, parsed once: for many readers, which change nothing."""
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(root: Path = ROOT) -> tuple[Module, ...]:
    """Parse all of `FOLDERS`."""
    paths = (path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py")))
    return tuple(Module(_dotted(path.relative_to(root)), syntax_tree(path)) for path in paths)


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rooms(parsed: tuple[Module, ...]) -> Rooms:
    """Return the rooms that each room of `WITH_ROOMS` imports."""
    names = frozenset(module.name for module in parsed)
    graph: Rooms = {module.room: set() for module in parsed if module.name.split(".")[0] in WITH_ROOMS}
    for module in parsed:
        if module.room in graph:
            graph[module.room] |= {_room(name) for name in _imported(module.tree, names)} & graph.keys() - {module.room}
    return graph


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _imported(tree: ast.Module, names: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in names else node.module


def circles(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Return the strongly connected components of two rooms or more: rooms that can all be reached from each other."""
    reached = {room: _reachable(room, graph) for room in graph}
    groups = {
        tuple(sorted(other for other in reached[room] if room in reached[other]))
        for room in graph
        if room in reached[room]
    }
    return sorted(groups)


def _reachable(room: str, graph: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = set(graph[room])
    while waiting:
        other = waiting.pop()
        reached.add(other)
        waiting |= graph[other] - reached
    return reached


def ambiguous_names(parsed: tuple[Module, ...]) -> dict[str, list[Definition]]:
    """Return the public names with definitions that `ONE_MEANING` does not join, each with all its definitions."""
    by_name: dict[str, list[Definition]] = {}
    for module in parsed:
        for definition in _definitions(module):
            by_name.setdefault(definition.name, []).append(definition)
    return {name: same for name, same in sorted(by_name.items()) if len({each.meaning for each in same}) > 1}


def _definitions(module: Module) -> Iterator[Definition]:
    for node in module.tree.body:
        for name, kind in _names(node):
            if not name.startswith("_"):
                yield Definition(name, kind, module.name)


def _names(node: ast.stmt) -> Iterator[tuple[str, str]]:
    match node:
        case ast.ClassDef(name=name):
            yield name, "type"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name, "function"
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec"))):
            return  # a type variable means something in a signature only
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name, "constant" if name.upper() == name else "type"
        case _:
            return


def main() -> None:
    """Print both counts for the tree given, or for this one."""
    parsed = modules(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    graph = rooms(parsed)
    between_rooms = circles(graph)
    for circle in between_rooms:
        print(f"circle: {', '.join(circle)}")
        for room in circle:
            print(f"  {room} imports {', '.join(sorted(graph[room] & set(circle)))}")
    names = ambiguous_names(parsed)
    for name, definitions in names.items():
        print(f"{definitions[0].kind} {name}: {', '.join(definition.module for definition in definitions)}")
    kinds = [definitions[0].kind for definitions in names.values()]
    print(f"circles between rooms: {len(between_rooms)}")
    counts = ", ".join(f"{kinds.count(kind)} {kind}s" for kind in ("type", "function", "constant"))
    print(f"public names in more than one module: {len(names)} ({counts})")


if __name__ == "__main__":
    main()
