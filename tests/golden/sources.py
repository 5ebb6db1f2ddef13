"""Which modules a stage is made of, and a digest of each that only a change of code alters."""

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from trainables.stage_table import STAGES

ROOT = Path(__file__).resolve().parents[2]
_REFERENCE = re.compile(r"(trainables(?:\.\w+)+)(?::\w+)?")
_VERSIONS = frozenset(f"trainables.{name}" for name in ("graph", "stage_definition", "stage_table", "system_stages"))
"""Hold the versions themselves, and decide no result."""
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def modules_of(stage: str) -> frozenset[str]:
    """Return the modules of `trainables` that `stage` imports, directly or not, itself included.

    A module that is named by a string, as tables do that import late, counts as imported.
    """
    found: set[str] = set()
    waiting = [STAGES[stage].implementation.partition(":")[0]]
    while waiting:
        module = waiting.pop()
        if module not in found and module not in _VERSIONS:
            found.add(module)
            waiting.extend(_imported(module))
    return frozenset(found)


def source_digests() -> dict[str, str]:
    """Return the digest of every module of every stage."""
    return {module: digest(path_of(module).read_text("utf-8")) for module in sorted(set().union(*_closures().values()))}


def stages_with(module: str) -> tuple[str, ...]:
    """Return the stages that import `module`."""
    return tuple(stage for stage, modules in _closures().items() if module in modules)


def digest(source: str) -> str:
    """Return a digest of a module's code: docstrings, comments and layout are no part of it."""
    return hashlib.sha256(ast.dump(_bare(ast.parse(source))).encode()).hexdigest()[:16]


def path_of(module: str) -> Path:
    """Return the file of a module."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _closures() -> Mapping[str, frozenset[str]]:
    return {stage: modules_of(stage) for stage in STAGES}


def _bare(tree: ast.Module) -> ast.Module:
    """Take texts that stand alone out of every body: docstrings, of attributes too."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            node.body = [line for line in node.body if not _is_text(line)]
    return tree


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


@cache
def _imported(module: str) -> tuple[str, ...]:
    nodes = ast.walk(_bare(ast.parse(path_of(module).read_text("utf-8"))))
    names = dict.fromkeys(name for node in nodes for name in _names(node))
    return tuple(name for name in names if name.split(".")[0] == "trainables" and path_of(name).is_file())


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        reference = _REFERENCE.fullmatch(node.value)
        if reference is not None:
            yield reference[1]
