"""Holds ARCHITECTURE.md's rules: imports, names, sizes, and that documents and search spaces are true."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from platform.study import yaml_source
from platform.study.ablation_file import load_ablation
from platform.study.plan import make_plan
from storage.uri import open_store
from tests import structure
from tests.programs import ROOT, program

FOLDERS = ("storage", "trainables", "platform")
ENGINES = {
    "ray": {
        "trainables/check_ray_train.py",
        "trainables/on_ray.py",
        "trainables/on_workers.py",
        "trainables/ray_internals/core.py",
        "trainables/ray_internals/train.py",
        "trainables/ray_internals/tune.py",
        "platform/run/ray/cluster.py",
        "platform/run/ray/cluster_check.py",
        "platform/run/ray/data_parts.py",
        "platform/run/ray/placement.py",
        "platform/run/ray/searcher.py",
        "platform/run/ray/shared_runs.py",
        "platform/run/ray/schedulers.py",
        "platform/run/ray/trials.py",
    },
    "optuna": {
        "platform/run/proposer.py",
        "platform/record/optuna_study.py",
        "platform/record/optuna_journal.py",
        "platform/figures/importance.py",
        "platform/figures/optuna_plots.py",
    },
    "mlflow": {"platform/mlflow_view/client.py"},
    "boto3": {"storage/s3.py"},
}
LIGHT = (
    "trainables.config.trial",
    "trainables.graph",
    "trainables.stage_table",
    "trainables.metrics.clip_metrics",
    "trainables.metrics.registry",
    "platform.study.study",
    "platform.sweep",
    "platform.ablate",
    "platform.report",
    "platform.reproduce",
)
HEAVY = ("torch", "ray", "optuna", "mlflow", "diffusers", "transformers")
ABLATIONS = sorted((ROOT / "ablations").glob("*.yaml"))
DOCUMENTS = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")))


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Return all modules, parsed: for many tests, which change none."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple((str(path.relative_to(ROOT)), structure.syntax_tree(path)) for path in paths)


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


@cache
def tops(tree: ast.AST) -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in imports(tree))


def test_imports_run_one_way() -> None:
    forbidden = {"storage": {"trainables", "platform", "benchmarks"}, "trainables": {"platform", "benchmarks"}}
    wrong = [
        (path, sorted(tops(tree) & forbidden.get(path.split("/")[0], {"benchmarks", "tests"})))
        for path, tree in sources()
        if tops(tree) & forbidden.get(path.split("/")[0], {"benchmarks", "tests"})
    ]
    assert wrong == []


def test_rooms_import_each_other_in_no_circle() -> None:
    assert structure.circles(structure.rooms(structure.modules())) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_is_imported_where_it_belongs(engine: str) -> None:
    users = {path for path, tree in sources() if engine in tops(tree)}
    assert users <= ENGINES[engine]
    assert users, f"nothing imports {engine}: the list above is out of date"


def test_no_submodule_takes_a_name_of_the_standard_platform_module() -> None:
    taken = {"version", "node", "system", "release", "machine", "processor", "platform", "uname", "architecture"}
    assert {path.stem for path in (ROOT / "platform").iterdir()} & taken == set()


def test_platform_package_imports_three_modules_and_defines_only_the_delegation() -> None:
    tree = ast.parse((ROOT / "platform" / "__init__.py").read_text(encoding="utf-8"))
    assert set(imports(tree)) == {"importlib.util", "os", "typing"}
    assert [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)] == ["__getattr__"]


def test_no_pickle_and_no_unsafe_load() -> None:
    for path, tree in sources():
        # This one runs pickles on a machine that creates no class of the file; tests/trainables/preparation holds it.
        forbidden = {"dill", "cloudpickle", "joblib", "shelve"} | (
            set() if path == "trainables/preparation/pickles.py" else {"pickle"}
        )
        assert not tops(tree) & forbidden, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}, (path, called)
                if called == "torch.load":
                    assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path


def test_light_modules_load_no_engine() -> None:
    command = program("loaded", ",".join(LIGHT), ",".join(HEAVY))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_platform_answers_as_the_standard_module_and_as_ours() -> None:
    done = subprocess.run(program("standard_platform"), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [os.uname().sysname, sys.version.split()[0]]


@pytest.mark.long
def test_platform_answers_under_a_bare_pytest(tmp_path: Path) -> None:
    test = ROOT / "tests" / "platform"
    script = "import platform, platform.events\ndef test_it():\n    assert platform.system()\n"
    probe = test / f"test_probe_{os.getpid()}.py"
    probe.write_text(script, encoding="utf-8")
    try:
        for folder in (ROOT, ROOT / "tests"):
            command = [str(Path(sys.executable).with_name("pytest")), str(probe), "-p", "no:cacheprovider"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        probe.unlink()


def test_the_seven_folders_are_there() -> None:
    for folder in ("platform", "trainables", "search_spaces", "ablations", "storage", "tests"):
        assert (ROOT / folder).is_dir()
    assert (ROOT / "pyproject.toml").is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_is_dead(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_documented_command_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for target in re.findall(r"(?:`|^|^    )make ([a-z-]+)", text, re.MULTILINE):
        assert target in targets, f"make {target}"
    for module in re.findall(r"python -m ((?:platform|trainables|storage|benchmarks)[a-z_.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_every_ablation_loads_plans_and_is_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    study = load_ablation(path)
    plan = make_plan(study, open_store("memory://"))
    subjects = sum(len(part.subjects) for part in study.design.parts.values())
    assert plan.trials == len(study.design.names) * subjects * study.design.seeds
    assert 0 < plan.seconds < plan.seconds_alone, "sharing saves something in each of them"
    lines = text.splitlines()
    for key, place in yaml_source.read(path).locations.items():
        assert len(key) > 1 or lines[place.line - 2].startswith("#"), f"{path.name}: nothing explains {key[0]}"


def test_every_experiment_of_the_paper_has_its_ablation() -> None:
    tables = {f"table{number}" for number in (2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)}
    others = {"fig6", "fig7", "fig10", "fig11", "fig13", "fig21", "figs8_9_22", "released_code", "null_check"}
    assert {path.stem for path in ABLATIONS} >= tables | others


def test_documents_name_no_path_of_the_machine_they_were_written_on() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"/work/|\.library|/root/", document.read_text(encoding="utf-8")), document.name
