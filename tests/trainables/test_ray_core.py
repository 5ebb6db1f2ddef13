"""The private names of Ray's core: the start and the end of a cluster."""

import gc
import inspect
import os
import re
import shlex
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    from ray._private import ray_constants, services, utils
    from ray._private.node import Node

    from trainables.ray_internals.core import _UNUSED, _started_quickly

    names: list[tuple[Any, str]] = [(Node, name) for name in _UNUSED]
    names += [(services, name) for name in ("get_node", "start_ray_process", "ConsolePopen")]
    names += [(utils, "get_dashboard_dependency_error"), (ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV")]
    before = [getattr(owner, name) for owner, name in names]
    with _started_quickly():
        assert all(getattr(owner, name) is not was for (owner, name), was in zip(names, before, strict=True))
        assert all(getattr(Node, name)(None) is None for name in _UNUSED)
    assert [getattr(owner, name) for owner, name in names] == before


def test_the_node_gets_our_agent_in_the_place_of_rays(tmp_path: Path) -> None:
    from trainables.ray_internals import core, node_agent

    folder = tmp_path / "a folder"
    theirs = subprocess.list2cmdline(["python", "agent.py", "--node-id=1", f"--session-dir={folder}", "--head"])
    others = ["raylet", f"--session_dir={folder}", "--runtime_env_agent_command=python main.py --session-dir=/s"]
    start = core._with_small_agent(lambda command, *arguments, **settings: (command, arguments, settings))
    command, *rest = start([*others, f"--dashboard_agent_command={theirs}"], "raylet", fate_share=True)
    assert rest == [("raylet",), {"fate_share": True}]
    assert command[:-1] == others
    own = shlex.split(command[-1].removeprefix("--dashboard_agent_command="))
    assert own == [sys.executable, "-S", "-E", node_agent.__file__, str(folder)]


def test_our_agent_says_that_it_listens_nowhere_and_ends_with_the_node(tmp_path: Path) -> None:
    """The node waits for these files, which Ray's agent writes by `persist_port`."""
    from ray import _raylet

    from trainables.ray_internals import node_agent

    ports = [f"{name}_PORT_NAME" for name in ("METRICS_AGENT", "METRICS_EXPORT", "DASHBOARD_AGENT_LISTEN")]
    identity = 28 * "a1"
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    for name in ports:
        vars(_raylet)["persist_port"](str(tmp_path / "theirs"), identity, getattr(_raylet, name), -1)
    node = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); sys.stdin.read()"
    agent = [sys.executable, "-S", "-E", node_agent.__file__, str(tmp_path / "ours")]
    environment, pipe = {**os.environ, "RAY_NODE_ID": identity}, subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", node, *agent], stdin=pipe, stdout=pipe, env=environment) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        theirs = written(tmp_path / "theirs")
        assert eventually(lambda: written(tmp_path / "ours") == theirs)
        assert len(theirs) == len(ports)
        assert process.is_running()
        parent.kill()
    process.wait(10.0)


def written(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10.0
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


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
def test_the_tests_cluster_has_none_of_them() -> None:
    mine = psutil.Process().children(recursive=True)
    commands = [" ".join(process.cmdline()) for process in mine if process.is_running()]
    assert any("raylet" in command for command in commands)
    assert any("ray_internals/node_agent.py" in command for command in commands)
    assert not [
        command
        for command in commands
        if re.search(r"autoscaler/_private/monitor|log_monitor|dashboard/dashboard|DashboardAgent", command)
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
