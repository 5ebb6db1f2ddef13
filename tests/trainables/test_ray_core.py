"""The private names of Ray's core: the start and the end of a cluster."""

import gc
import inspect
import re
import weakref
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import ray

from tests.ray_private import resolve


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
