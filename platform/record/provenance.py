"""The provenance of a study's code: the git commit, and the versions of Python and the main packages."""

import getpass
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainables.provenance import ROOT, git

_PACKAGES = ("torch", "ray", "optuna", "mlflow")


def tags_here() -> dict[str, str]:
    """Return the MLflow tags for the user, the git commit and the package versions of this process."""
    return dict(_when_first_asked())


@lru_cache(maxsize=1)
def _when_first_asked() -> Mapping[str, str]:
    """Read once per process: records and views must agree even if a file is edited while a study runs."""
    commit = git_tags()
    source = {"mlflow.source.git.commit": commit["git.commit"]} if commit else {}
    return {"mlflow.user": user(), **commit, **version_tags(), **source}


def git_tags(root: Path = ROOT) -> dict[str, str]:
    """Return commit and dirty flag of the checkout at `root`; empty outside git or where git is missing."""
    commit = git(root, "rev-parse", "HEAD")
    status = git(root, "status", "--porcelain")
    if commit is None or status is None:
        return {}
    return {"git.commit": commit, "git.dirty": str(bool(status)).lower()}


def version_tags(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the installed `packages`, without importing them."""
    tags = {"version.python": ".".join(map(str, sys.version_info[:3]))}
    for package in packages:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    return tags


def user() -> str:
    """Return the name of the current user, or "unknown"."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without an entry
        return "unknown"
