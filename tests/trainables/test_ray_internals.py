"""The private names of Ray: that they exist and behave as the program needs, and that one file alone uses them.

After an upgrade of Ray a failing test names what is gone and what it was for. docs/scaling.md, "If a private name of
Ray goes away", says what to do then.
"""

import ast
import gc
import importlib
import inspect
import re
import runpy
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray

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


def resolve(name: str) -> Any:
    """Import the longest part of `name` that is a module, and follow the rest as attributes."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            value = getattr(value, part)
        return value
    raise AttributeError(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_exists(name: str) -> None:
    try:
        resolve(name)
    except AttributeError:
        pytest.fail(f"{name} is gone from Ray {ray.__version__}: {NAMES[name]}; see docs/scaling.md")


# ---- Ray's core ----


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_job_table_shows_the_command_that_we_give() -> None:
    from tests.clusters import COMMAND
    from tests.ray_private import metadata

    jobs = {info.job_id.hex(): info.entrypoint for info in metadata().get_all_job_info().values()}
    assert jobs[ray.get_runtime_context().get_job_id()] == COMMAND, "Ray takes the command line from elsewhere"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_writes_below_the_folder_that_we_give() -> None:
    from tests.clusters import PREFIX

    (node,) = ray.nodes()  # type: ignore[no-untyped-call]
    assert f"/{PREFIX}" in node["RayletSocketName"], "ray.init ignores _temp_dir"


def test_a_cluster_of_ours_ends_without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.node import Node

    from trainables.ray_internals.core import end_cluster

    assert "allow_graceful" in inspect.signature(Node.kill_all_processes).parameters
    assert "_global_node.kill_all_processes(" in inspect.getsource(inspect.unwrap(ray.shutdown))
    seen: list[dict[str, bool]] = []
    node = SimpleNamespace(kill_all_processes=lambda **how: seen.append(how))
    monkeypatch.setattr("ray._private.worker._global_node", node)
    monkeypatch.setattr(ray, "shutdown", lambda: node.kill_all_processes(check_alive=False, allow_graceful=True))
    end_cluster()
    assert seen == [{"check_alive": False, "allow_graceful": False}]


@pytest.mark.parametrize("enabled", [True, False])
def test_no_thread_collects_garbage_while_ray_shuts_down(monkeypatch: pytest.MonkeyPatch, *, enabled: bool) -> None:
    """A thread that wrote to MLflow collected objects of Ray then, and Ray ended the whole process."""
    from trainables.ray_internals.core import end_cluster

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    cycle = weakref.ref(Cycle())
    seen: list[bool] = []
    monkeypatch.setattr("ray._private.worker._global_node", None)
    monkeypatch.setattr(ray, "shutdown", lambda: seen.append(gc.isenabled() or cycle() is not None))
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        end_cluster()
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == [False]


def test_tune_counts_no_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the module that we change for the function, each time."""
    from ray.air._internal import usage
    from ray.tune import Callback, tune

    from trainables.ray_internals.tune import count_no_callbacks

    monkeypatch.setattr(usage, "tag_callbacks", usage.tag_callbacks)
    count_no_callbacks()
    assert usage.tag_callbacks([Callback()]) is False
    assert "air_usage.tag_callbacks(" in inspect.getsource(tune.run)


def test_tune_copies_no_variables_into_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of its own either: a trial without a runtime environment takes a process that is there already."""
    from ray.runtime_env import RuntimeEnv
    from ray.tune.execution import class_cache

    from tests.ray_private import trial_environment
    from trainables.ray_internals.tune import pass_nothing_to_trials

    fresh = runpy.run_path(class_cache.__file__)
    for name in ("ENV_VARS_TO_PROPAGATE", "DEFAULT_ENV_VARS"):
        monkeypatch.setattr(class_cache, name, fresh[name].copy())
    for name in fresh["ENV_VARS_TO_PROPAGATE"]:
        monkeypatch.setenv(name, "planted")
    trainable = type("Trainable", (), {})
    assert "planted" in trial_environment(trainable)["env_vars"].values(), "it would copy them"
    pass_nothing_to_trials()
    given = trial_environment(trainable)
    assert RuntimeEnv(**given).serialize() == RuntimeEnv().serialize() == "{}"


def test_a_cluster_of_ours_starts_no_unused_processes_and_leaves_ray_as_it_was() -> None:
    from ray._private import services
    from ray._private.node import Node

    from trainables.ray_internals.core import _UNUSED_PROCESSES, _started_quickly

    names = [(Node, name) for name in (*_UNUSED_PROCESSES, "start_raylet")] + [(services, "get_node")]
    before = [getattr(owner, name) for owner, name in names]
    with _started_quickly():
        assert all(getattr(owner, name) is not was for (owner, name), was in zip(names, before, strict=True))
        assert all(getattr(Node, name)(None) is None for name in _UNUSED_PROCESSES)
    assert [getattr(owner, name) for owner, name in names] == before


def test_the_agent_of_a_node_is_given_no_fixed_port() -> None:
    """On a fixed one it waits for seconds where the agent of another cluster of this machine listens."""
    from trainables.ray_internals.core import _on_any_port

    node = SimpleNamespace(_ray_params=SimpleNamespace(dashboard_agent_listen_port=52365))
    start = _on_any_port(lambda node, *arguments, **settings: (node._ray_params, arguments, settings))
    assert start(node, 1, two=2) == (SimpleNamespace(dashboard_agent_listen_port=0), (1,), {"two": 2})


def test_ray_is_asked_for_the_node_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look once a second, and find it at the second look."""
    from trainables.ray_internals import core

    looks = iter([{}, {}, {bytes(2): "info"}])
    client = SimpleNamespace(get_all_node_info=lambda: next(looks))
    monkeypatch.setattr(core, "GcsClient", lambda address: client)
    get_node = core._when_registered(lambda address, node: {"node": node, "left": len(list(looks))})
    assert get_node("address", "0000") == {"node": "0000", "left": 0}


def test_a_node_that_never_registers_is_left_to_rays_own_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables.ray_internals import core

    monkeypatch.setattr(core, "_REGISTERED", 0.0)
    monkeypatch.setattr(core, "GcsClient", lambda address: SimpleNamespace(get_all_node_info=dict))
    assert core._when_registered(lambda address, node: node)("address", "0000") == "0000"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_agent_of_the_tests_cluster_listens_on_a_port_of_its_own() -> None:
    """`start_raylet` passes the number on, and the agent takes 0 for any."""
    session = Path(ray.nodes()[0]["RayletSocketName"]).parents[1]  # type: ignore[no-untyped-call]
    (file,) = session.glob("dashboard_agent_listen_port_*")
    assert int(file.read_text()) not in (-1, 0, 52365)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_tests_cluster_has_none_of_them() -> None:
    mine = psutil.Process().children(recursive=True)
    commands = [" ".join(process.cmdline()) for process in mine if process.is_running()]
    assert any("raylet" in command for command in commands)
    assert not [
        command
        for command in commands
        if re.search(r"autoscaler/_private/monitor|log_monitor|dashboard/dashboard", command)
    ]


def test_a_submitted_job_tells_its_settings_in_the_variable_that_we_read() -> None:
    from platform.run.ray.code_upload import JOB_VARIABLE

    assert resolve("ray._private.runtime_env.constants.RAY_JOB_CONFIG_JSON_ENV_VAR") == JOB_VARIABLE


def test_ray_reads_every_variable_that_we_set() -> None:
    from platform.run.ray.cluster import SETTINGS

    folder = Path(ray.__file__).parent
    parts = [folder / name for name in ("_common", "_private", "air", "train", "tune")]
    text = "\n".join(path.read_text(encoding="utf-8") for part in parts for path in part.rglob("*.py"))
    assert [name for name in SETTINGS if name not in text] == [], "without effect in this Ray"


# ---- Ray Tune ----


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_process_of_a_trial_can_be_killed() -> None:
    from ray.tune.experiment import Trial

    from trainables.ray_internals.tune import kill_worker

    class Worker:
        def get_auto_filled_metrics(self, **_: Any) -> dict[str, Any]:
            return {}

    actor: Any = ray.remote(Worker).options(num_cpus=0).remote()
    trial = Trial("none", stub=True)
    trial.set_ray_actor(actor)  # type: ignore[no-untyped-call]
    kill_worker(trial)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.get_auto_filled_metrics.remote(), timeout=60)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_error_of_a_trial_is_a_text_at_once(tmp_path: Path) -> None:
    from tests.ray_private import failed_trial
    from trainables.ray_internals.tune import error_text

    trial = failed_trial(tmp_path, ray.exceptions.RayActorError(error_msg="the node of the worker has died"))
    assert "the node of the worker has died" in error_text(trial)


def test_pending_trials_are_stopped_in_their_order() -> None:
    from ray.tune.experiment import Trial

    from trainables.ray_internals.tune import stop_pending_trials

    running, *pending = [SimpleNamespace(status=status) for status in (Trial.RUNNING, *[Trial.PENDING] * 3)]
    stopped: list[Any] = []
    stop_pending_trials(
        SimpleNamespace(get_live_trials=lambda: [running, *pending], stop_trial=stopped.append), count=2
    )
    assert stopped == pending[:2]


def test_a_free_worker_waits_for_a_trial_that_has_none() -> None:
    from trainables.ray_internals.tune import keep_starting_workers

    class Controller:
        def __init__(self) -> None:
            self._trial_to_actor = {"starting": 1, "resetting": 2, "without resources": 3}
            self._actor_manager = SimpleNamespace(is_actor_started=lambda actor: actor != 3)
            self._resetting_trials = {"resetting"}
            self.reused: list[str] = []

        def _maybe_reuse_cached_actor(self, trial: str) -> bool:
            self.reused.append(trial)
            return True

    controller = Controller()
    for _ in range(2):
        keep_starting_workers(SimpleNamespace(_tune_controller=controller))
    trials = ("starting", "resetting", "without resources", "new")
    answers = [controller._maybe_reuse_cached_actor(trial) for trial in trials]
    assert answers == [False, True, True, True]
    assert controller.reused == list(trials[1:])


def test_tune_knows_the_last_result_by_our_key() -> None:
    from trainables.on_ray import DONE

    assert resolve("ray.tune.result.DONE") == DONE


# ---- Ray Train; its behaviour on real workers: tests/trainables/test_on_workers.py ----


def test_a_worker_that_is_lost_at_the_start_counts_as_lost() -> None:
    from trainables.failure import cause_of
    from trainables.ray_internals.train import START_ERRORS

    for kind in START_ERRORS:
        assert cause_of(kind(2)) == "WORKER_LOST", f"{kind.__name__} is unknown to trainables.failure"


def test_what_ended_a_worker_can_be_read() -> None:
    from trainables.ray_internals.train import death_of, raised_by

    cause = ValueError("of the user's code")
    lost = resolve(f"{TRAIN}exceptions.WorkerHealthCheckFailedError")("no answer", cause)
    raised = resolve(f"{TRAIN}exceptions.UserExceptionWithTraceback")(cause, "Traceback")
    assert (death_of(lost), raised_by(lost)) == (cause, None)
    assert (death_of(raised), raised_by(raised)) == (None, cause)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data")
def test_a_trainer_of_ours_has_our_callback_and_starts_no_extra_actors() -> None:
    from ray.train import UserCallback
    from ray.train.torch import TorchTrainer

    from trainables.ray_internals.train import RunsInThisProcess

    class Trainer(RunsInThisProcess, TorchTrainer):
        pass

    def callbacks(trainer: Any) -> set[str]:
        return {type(callback).__name__ for callback in trainer._create_default_callbacks()}

    ours = Trainer(lambda: None)
    ours.report_callback = UserCallback()
    extra = {"DatasetsCallback", "PlacementGroupCleanerCallback"}
    assert callbacks(TorchTrainer(lambda: None)) - callbacks(ours) == extra, "Ray's callbacks have changed"
    handlers = [each for each in ours._create_default_callbacks() if type(each).__name__ == "UserCallbackHandler"]
    assert any(ours.report_callback in handler._user_callbacks for handler in handlers)


def test_the_controller_is_made_of_what_the_trainer_hands_over() -> None:
    controller = inspect.signature(resolve(f"{TRAIN}execution.controller.TrainController"))
    handed_over = {"train_fn_ref", "train_run_context", "scaling_policy", "failure_policy", "callbacks"}
    assert handed_over <= set(controller.parameters)
    assert inspect.iscoroutinefunction(resolve(f"{TRAIN}execution.controller.TrainController.run"))


# ---- One file alone ----

ALLOWED = {
    *(f"trainables/ray_internals/{part}.py" for part in ("core", "train", "tune")),
    "tests/ray_private.py",
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
