"""The source of a plug-in: a Python file, or the Python files of an installed package that has an entry point.

The source is read once. What is planned, stored, sent to workers and executed is this text, never the file again.
"""

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from storage.errors import IntegrityError
from storage.typed import check_fields, check_mapping

GROUP = "mindsweep"
"""The group of entry points of installed packages."""
DECLARATION = "PLUGIN"
"""The name of the value that a plug-in's module declares."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class PluginError(Exception):
    """A plug-in cannot be used. The text says what is wrong, where, and what would be right."""


@dataclass(frozen=True)
class PluginSource:
    """The text of a plug-in's Python files, and what is needed to load them."""

    name: str
    """The file's name without `.py`, or the name of the entry point."""
    sha256: str
    """Of the file or, for a package, of the lines `DIGEST  PATH` of its files, as `sha256sum` prints them."""
    path: str
    """The file or the folder of the package, where it was read. It is shown in messages and tracebacks only."""
    files: tuple[tuple[str, str], ...]
    """Path relative to the folder that holds the file or the package, and text; sorted."""
    module: str = ""
    """Of a package: the dotted name of the module with the declaration. Of a file: empty."""
    declaration: str = DECLARATION

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` reads back."""
        return {**vars(self), "files": dict(self.files)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PluginSource":
        """Return the source that `to_json` described.

        Raises:
            PluginError: It is none, or the files are not those of the digest.
        """
        try:
            check_mapping(value, files=Mapping[str, str])
            values = {**value, "files": tuple(sorted(value["files"].items()))}
            check_fields(cls, values)
        except IntegrityError as error:
            raise PluginError(f"this is not the record of a plug-in: {error}") from error
        if not values["files"]:
            raise PluginError(f"the record of the plug-in {values['name']} has no files")
        source = cls(**values)
        if sha256_of(source.files, is_package=source.module != "") != source.sha256:
            raise PluginError(f"the source of the plug-in {source.name} is not that of its digest {source.sha256}")
        return source


def sha256_of(files: tuple[tuple[str, str], ...], *, is_package: bool) -> str:
    """Return the SHA-256 that `PluginSource.sha256` describes."""
    digests = [(hashlib.sha256(text.encode()).hexdigest(), path) for path, text in files]
    if not is_package:
        return digests[0][0]
    return hashlib.sha256("".join(f"{digest}  {path}\n" for digest, path in digests).encode()).hexdigest()


def read_source(written: str, *, folder: Path) -> PluginSource:
    """Read the plug-in that `written` names: a file `*.py` relative to `folder`, or an entry point.

    Raises:
        PluginError: There is no such file or entry point, or it cannot be read.
    """
    if written.endswith(".py") or "/" in written:
        return _of_file((folder / Path(written).expanduser()).absolute())
    matches = entry_points(group=GROUP, name=written)
    if not matches:
        names = sorted(entry_points(group=GROUP).names)
        installed = f"installed are: {', '.join(names)}" if names else "no installed package has one"
        raise PluginError(
            f"there is no entry point {written!r} in the group {GROUP!r} ({installed}); a file must end in .py"
        )
    if len(matches) > 1:
        values = ", ".join(sorted(point.value for point in matches))
        raise PluginError(
            f"several installed packages have the entry point {written!r}: {values}; uninstall all but one"
        )
    return _of_package(next(iter(matches)))


def _of_file(path: Path) -> PluginSource:
    if not path.is_file():
        near = sorted(other.name for other in path.parent.glob("*.py"))
        there = f"{path.parent} has: {', '.join(near)}" if near else f"{path.parent} has no Python file"
        raise PluginError(f"there is no file {path}; {there}")
    if _NAME.fullmatch(path.stem) is None:
        raise PluginError(f"{path.name}: the file's name is the name of the plug-in: use only letters, digits and _")
    files = ((path.name, _text(path)),)
    return PluginSource(path.stem, sha256_of(files, is_package=False), str(path), files)


def _of_package(point: EntryPoint) -> PluginSource:
    top = point.module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        raise PluginError(f"the entry point {point.name!r} names the package {top}, which is not installed")
    origin = Path(spec.origin)
    is_folder = bool(spec.submodule_search_locations)
    folder = origin.parent if is_folder else origin
    paths = sorted(origin.parent.rglob("*.py")) if is_folder else [origin]
    files = tuple((path.relative_to(folder.parent).as_posix(), _text(path)) for path in paths)
    declaration = point.attr if point.attr else DECLARATION
    return PluginSource(
        point.name, sha256_of(files, is_package=True), str(folder), files, module=point.module, declaration=declaration
    )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PluginError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise PluginError(f"{path} is not text in UTF-8: {error}") from error


def unchanged(source: PluginSource) -> bool:
    """Return whether the files of `source` are still those that were read. A missing file counts as changed."""
    path = Path(source.path)
    try:
        now = tuple((name, _text(path.parent / name)) for name, _ in source.files)
    except PluginError:
        return False
    return now == source.files
