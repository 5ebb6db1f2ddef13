"""Reads YAML safely and remembers the location of every key and item.

It accepts a strict subset of YAML 1.2: one document, a mapping at the top, strings as keys, no duplicate keys, no
aliases, no tags. `1e-3` is a number; `yes`, `on` and dates are strings.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from platform.errors import Location, Problem, UserError, refuse

KeyPath = tuple[str | int, ...]

_MAX_BYTES = 64 * 1024
_MAX_DEPTH = 20
_MAX_DIGITS = 300
"""Python parses longer integers in quadratic time, and no field needs them."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; PyYAML constructs no objects."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node, unless it is an alias or nested too deeply."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(None, None, "aliases are not supported; repeat the value", mark)
        if self.depth == _MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {_MAX_DEPTH} levels", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_CORE_SCHEMA: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, first_letters in _CORE_SCHEMA:
        compiled = re.compile(rf"^(?:{pattern})$")
        for letter in first_letters:
            table.setdefault("" if letter == "\0" else letter, []).append((tag, compiled))
    return table


_Loader.yaml_implicit_resolvers = _resolvers()


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


def _float(text: str) -> float:
    value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(value):
        raise ValueError
    return value


_SCALARS: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": _integer,
    "tag:yaml.org,2002:float": _float,
}


@dataclass(frozen=True)
class Source:
    """The content of a file with locations. Paths are keys and list indices from the top of the file."""

    path: str
    text: str
    data: dict[str, Any]
    locations: dict[KeyPath, Location]
    """Path to the location of each key and each item of a list."""

    def location(self, path: KeyPath) -> Location:
        """Return the location of `path`, or of the innermost part of it that is in the file."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.locations:
                return self.locations[path[:length]]
        return Location(1, 1, self.path)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return the problem `message` of the value at `path`. A list of one item may be written without brackets."""
        while path != () and isinstance(path[-1], int) and path not in self.locations:
            path = path[:-1]
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        return Problem(self.location(path), key.removeprefix("."), message)


def read(path: Path) -> Source:
    """Read a YAML file. Raises `UserError` for a missing, unreadable or malformed one."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror if error.strerror is not None else str(error)
        raise UserError(f"{path}: cannot be read: {reason}") from error
    if len(data) > _MAX_BYTES:
        raise UserError(f"{path}: longer than {_MAX_BYTES} bytes; a study is described in under 60 lines")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}:1: not UTF-8 text") from error
    return parse(text, path=str(path))


def parse(text: str, *, path: str) -> Source:
    """Parse YAML `text`; messages name it `path`. Raises `UserError` with all problems."""
    if len(text) > _MAX_BYTES:
        raise UserError(f"{path}: longer than {_MAX_BYTES} characters; a study is described in under 60 lines")
    root = _compose(text, path)
    if not isinstance(root, yaml.MappingNode):
        message = "is empty" if root is None else "must hold a mapping (`key: value` lines) at the top"
        raise UserError(f"{Location(1, 1, path)}: {message}; a study needs at least the keys target, trials and space")
    source = Source(path, text, {}, {})
    problems = list(_convert(root, source=source, path=(), into=source.data))
    refuse(problems)
    return source


def parse_value(text: str) -> Any:
    """Parse one YAML value, as after `--set key=`. Raises `UserError` if it is not valid."""
    return parse(f"value: {text}", path="value").data.get("value")


def _compose(text: str, path: str) -> yaml.Node | None:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}:1: the character {chr(error.character)!r} is not allowed in YAML") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        location = Location(1, 1, path) if mark is None else Location(mark.line + 1, mark.column + 1, path)
        message = ", ".join(part for part in (error.context, error.problem) if part is not None)
        raise UserError(f"{location}: not valid YAML here: {message}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _convert(node: yaml.Node, *, source: Source, path: KeyPath, into: Any) -> Iterator[Problem]:
    """Fill the dict or list `into` with the content of `node` and record locations; yield problems."""
    if isinstance(node, yaml.MappingNode):
        yield from _convert_mapping(node, source=source, path=path, into=into)
        return
    assert isinstance(node, yaml.SequenceNode)
    for index, child in enumerate(node.value):
        source.locations[(*path, index)] = _location(child, source)
        into.append(None)
        yield from _convert_child(child, source=source, path=(*path, index), into=into)


def _convert_mapping(node: yaml.MappingNode, *, source: Source, path: KeyPath, into: Any) -> Iterator[Problem]:
    for key_node, child in node.value:
        location = _location(key_node, source)
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            key_text = key_node.value if isinstance(key_node, yaml.ScalarNode) else "this"
            yield Problem(location, ".".join(map(str, path)), f"a key must be a string, but got {key_text}")
            continue
        key_path = (*path, key_node.value)
        if key_path in source.locations:
            yield Problem(location, key_node.value, f"written twice; first at {source.locations[key_path]}")
            continue
        source.locations[key_path] = location
        yield from _convert_child(child, source=source, path=key_path, into=into)


def _convert_child(node: yaml.Node, *, source: Source, path: KeyPath, into: Any) -> Iterator[Problem]:
    """Put the value of `node` into `into[path[-1]]`."""
    if isinstance(node, yaml.CollectionNode):
        expected = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != f"tag:yaml.org,2002:{expected}":
            yield source.problem(path, f"the tag {node.tag} is not supported; remove it")
            return
        into[path[-1]] = {} if expected == "map" else []
        yield from _convert(node, source=source, path=path, into=into[path[-1]])
        return
    construct = _SCALARS.get(node.tag)
    if construct is None:
        yield source.problem(path, f"the tag {node.tag} is not supported; remove it")
        return
    try:
        into[path[-1]] = construct(node.value)
    except ValueError:
        yield source.problem(
            path, f"must be a finite number of at most {_MAX_DIGITS} digits, but got {node.value[:40]}"
        )


def _location(node: yaml.Node, source: Source) -> Location:
    return Location(node.start_mark.line + 1, node.start_mark.column + 1, source.path)
