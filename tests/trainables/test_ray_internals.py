"""The private names of Ray: that they exist, and that `trainables.ray_internals` alone uses them.

That they behave as the program needs: test_ray_core.py, test_ray_tune.py and test_ray_train.py.

After an upgrade of Ray a failing test names what is gone and what it was for. docs/scaling.md, "If a private name of
Ray goes away", says what to do then.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.ray_private import resolve

ROOT = Path(__file__).resolve().parents[2]
TUNE, TRAIN = "ray.tune.", "ray.train.v2._internal."
GROUP = f"{TRAIN}execution.worker_group"
NAMES = {
    # Ray's core
    "ray._private.utils.get_entrypoint_name": "passwords of the command line would be in the job table",
    "ray._private.runtime_env.constants.RAY_JOB_CONFIG_JSON_ENV_VAR": "a submitted job would send its code twice",
    # Ray Tune
    f"{TUNE}execution.class_cache.ENV_VARS_TO_PROPAGATE": "credentials would be copied into runtime environments",
    f"{TUNE}execution.class_cache.DEFAULT_ENV_VARS": "each trial would wait for the start of a process of its own",
    "ray._private.node.Node.start_monitor": "a study on this machine would start an autoscaler, and start later",
    "ray._private.node.Node.start_log_monitor": "the same with a reader of logs",
    "ray._private.node.Node.start_api_server": "the same with the dashboard's server",
    "ray._private.node.Node.start_raylet": "a study beside another one of this machine would start seconds later",
    "ray._private.services.get_node": "a study on this machine would start up to a second later",
    "ray._raylet.InnerGcsClient.get_all_node_info": "the same",
    f"{TUNE}experiment.Trial.set_ray_actor": "stalled trials could not be ended (Trial.temporary_state.ray_actor)",
    f"{TUNE}experiment.Trial.error_file": "the cause of a lost worker would be unknown",
    f"{TUNE}experiment.Trial.PENDING": "trials too large for the remaining nodes would wait for ever",
    f"{TUNE}execution.tune_controller.TuneController.get_live_trials": "the same",
    f"{TUNE}execution.tune_controller.TuneController.stop_trial": "the same",
    f"{TUNE}execution.tune_controller.TuneController._maybe_reuse_cached_actor": "short trials would run one at a time",
    "ray.air._internal.usage.tag_callbacks": "the first trial would wait a second longer, for an import of MLflow",
    "ray._private.worker._global_node": "a study on this machine would return a second later",
    "ray._private.node.Node.kill_all_processes": "the same",
    f"{TUNE}result.DONE": "each trial would cost one more round trip",
    # Ray Train
    f"{TRAIN}callbacks.DatasetsCallback": "each training would start an actor for data sets that it has not",
    f"{TRAIN}callbacks.placement_group_callback.PlacementGroupCleanerCallback": "each training would start a cleaner",
    f"{TRAIN}callbacks.user_callback.UserCallbackHandler": "reports of workers would not reach the trial",
    f"{TRAIN}exceptions.WorkerHealthCheckFailedError": "a lost worker would count as an error of the code",
    f"{TRAIN}exceptions.UserExceptionWithTraceback": "what a worker raised would have no cause",
    f"{TRAIN}exceptions.WorkerGroupStartupTimeoutError": "a worker lost at the start would not be retried as such",
    f"{TRAIN}exceptions.WorkerGroupStartupFailedError": "the same",
    f"{TRAIN}execution.controller.TrainController.worker_group_cls": "workers would be outside the trial's group",
    f"{TRAIN}execution.controller.TrainController.run": "the controller could not run in the trial's process",
    f"{TRAIN}execution.controller.TrainController.get_result": "the same",
    f"{TRAIN}execution.controller.TrainController.get_worker_group": "workers of a failed training would live on",
    f"{GROUP}.WorkerGroup.has_started": "the same",
    f"{GROUP}.WorkerGroup.abort": "the same",
    f"{GROUP}.WorkerGroup._create_placement_group": "workers would be outside the trial's placement group",
    f"{GROUP}.placement_group_handle.DefaultPlacementGroupHandle.shutdown": "a training would remove the trial's group",
    f"{TRAIN}execution.scaling_policy.fixed.FixedScalingPolicy.after_controller_start": "resources are asked for twice",
    f"{TRAIN}execution.scaling_policy.fixed.FixedScalingPolicy._maybe_send_resource_request": "the same",
    "ray.train.torch.TorchTrainer._create_default_callbacks": "callbacks could be neither added nor left out",
    "ray.train.torch.TorchTrainer._initialize_and_run_controller": "the controller would be an actor of its own",
}
"""Name to what happens without it."""


@pytest.mark.parametrize("name", NAMES)
def test_the_name_exists(name: str) -> None:
    try:
        resolve(name)
    except AttributeError:
        pytest.fail(f"{name} is gone from Ray {ray.__version__}: {NAMES[name]}; see docs/scaling.md")


# ---- One file alone ----

ALLOWED = {
    *(f"trainables/ray_internals/{part}.py" for part in ("core", "train", "tune")),
    "tests/ray_private.py",
    *(f"tests/trainables/test_ray_{part}.py" for part in ("core", "train", "tune")),
    "tests/trainables/test_ray_internals.py",
}
FOLDERS = ("benchmarks", "platform", "storage", "tests", "trainables")
INTERNAL = ("ray.tune.execution", "ray.train.v2", "ray.train._internal", "ray.tune.result")
UNDOCUMENTED = {"temporary_state", "error_file", "get_live_trials", "health_check_failure", "worker_group_cls"}


def test_no_other_file_uses_a_private_name_of_ray() -> None:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    files = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    uses = {name: sorted(set(private_uses(text))) for name, text in files.items() if name not in ALLOWED}
    assert {name: used for name, used in uses.items() if used} == {}, "move them to trainables/ray_internals"


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("import ray._private.worker", "ray._private.worker"),
        ("from ray.train.v2.api.config import RunConfig", "ray.train.v2.api.config"),
        ("from ray.air.x import _Hidden", "_Hidden"),
        ("import ray\nray._private.x()", "ray._private"),
        ("from ray import tune\ntune.run._x", "tune.run._x"),
        ("import ray\nray.init(_temp_dir='x')", "_temp_dir"),
        (
            "from ray.tune.schedulers import Rule\nclass Ours(Rule):\n  def f(self): return self._results",
            "self._results",
        ),
        ("trial.temporary_state", "temporary_state"),
        ("SCRIPT = 'x = ray._private.worker'", "ray._private"),
    ],
)
def test_a_private_use_is_found(text: str, use: str) -> None:
    assert use in set(private_uses(text))


def test_what_is_our_own_is_no_private_use() -> None:
    text = "from ray.tune import Callback\nclass Ours(Callback):\n  def f(self):\n    self._x = 1\n    return self._x"
    assert list(private_uses(text)) == []


def private_uses(text: str) -> Iterator[str]:
    """Yield the private names of Ray in a source text, as far as they can be told without running it."""
    if "ray" not in text and not any(name in text for name in UNDOCUMENTED):
        return
    yield from re.findall(r"\bray\._\w+", text)
    tree = ast.parse(text)
    yield from private_imports(tree)
    rays = set(names_of_ray(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr in UNDOCUMENTED:
                yield node.attr
            if is_private(node.attr) and root(node) in rays:
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and root(node.func) in rays:
            yield from (word.arg for word in node.keywords if word.arg is not None and is_private(word.arg))
        elif isinstance(node, ast.ClassDef) and any(root(base) in rays for base in node.bases):
            yield from (f"self.{name}" for name in foreign_attributes(node))


def private_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            modules = [node.module]
            if node.module.partition(".")[0] == "ray":
                yield from (alias.name for alias in node.names if is_private(alias.name))
        for module in modules:
            inside = module.startswith(INTERNAL) or any(map(is_private, module.split(".")))
            if module.partition(".")[0] == "ray" and inside:
                yield module


def names_of_ray(tree: ast.AST) -> Iterator[str]:
    """Yield the names that imports of Ray bind."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "ray":
                    yield "ray" if alias.asname is None else alias.asname
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ray":
            yield from (alias.name if alias.asname is None else alias.asname for alias in node.names)


def foreign_attributes(definition: ast.ClassDef) -> set[str]:
    """Return the private attributes of `self` that a class reads and does not define."""
    attributes = [node for node in ast.walk(definition) if isinstance(node, ast.Attribute) and root(node) == "self"]
    own = {node.name for node in ast.walk(definition) if isinstance(node, ast.FunctionDef)}
    own |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    return {node.attr for node in attributes if is_private(node.attr)} - own


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def root(node: ast.expr) -> str:
    """Return the first name of `a.b.c`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("module", ["placement", "schedulers", "searcher"])
def test_no_class_overrides_a_private_name_of_ray(module: str) -> None:
    defined = vars(importlib.import_module(f"platform.run.ray.{module}")).values()
    for ours in (kind for kind in defined if isinstance(kind, type) and kind.__module__.startswith("platform.")):
        rays = {name for base in ours.__mro__ if base.__module__.startswith("ray.") for name in vars(base)}
        assert {name for name in vars(ours) if is_private(name)} & rays <= {"_abc_impl"}, ours.__name__
