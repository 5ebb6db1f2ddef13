"""The files of the project itself agree: pyproject.toml, requirements.lock, CITATION.cff, the Makefile."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines())
WANTED = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]


@pytest.mark.parametrize("line", WANTED)
def test_the_lock_has_every_dependency_in_a_version_that_is_allowed(line: str) -> None:
    requirement = Requirement(line)
    versions = {canonicalize_name(name): version for name, version in LOCKED.items()}
    assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


def test_the_lock_suits_every_machine() -> None:
    assert all(re.fullmatch(r"[0-9a-z.]+", version) for version in LOCKED.values()), "no builds such as 2.13.0+cpu"
    assert not [name for name in LOCKED if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_ray_stays_within_one_minor_version() -> None:
    (ray,) = (Requirement(line) for line in WANTED if line.startswith("ray"))
    major, minor, _ = LOCKED["ray"].split(".")
    assert not ray.specifier.contains(f"{major}.{int(minor) + 1}.0")


def test_the_citation_names_this_version_and_its_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["authors"] == [{"name": "The Mindsweep authors"}]


def test_make_help_says_where_to_run_and_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    # `make test` hands its own level and flags down; with them the inner make says first which folder it enters.
    outside_make = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=outside_make, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "from the project's root" in lines[1]
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert [line.split()[1] for line in lines[2:]] == targets.split()


def test_hooks_run_the_tools_of_the_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = hooks["repos"]
    assert repository["repo"] == "local", "nothing is downloaded"
    assert all(hook["entry"].startswith(".venv/bin/python -m ") for hook in repository["hooks"])


def test_the_packages_say_that_they_are_typed() -> None:
    assert all((ROOT / folder / "py.typed").is_file() for folder in ("platform", "trainables", "storage"))
