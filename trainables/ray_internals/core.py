"""Ray's core, in the driver: start and end of a cluster. It does not import Ray Tune, which takes half a second."""

import gc
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
from ray._private import ray_constants, services, utils
from ray._private.node import Node
from ray._raylet import GcsClient  # type: ignore[attr-defined]

from trainables.ray_internals import node_agent

_UNUSED = ("start_monitor", "start_log_monitor", "start_api_server", "_record_stats")
"""Methods of a node: three start a process each, the last one keeps what usage statistics say of this machine."""
_AGENT, _SESSION = "--dashboard_agent_command=", "--session-dir="
"""Options of the command of a node, and of its agent."""
_REGISTERED = 30.0
"""Seconds for a node to register; then Ray's own wait begins."""
_LOOK = 0.02
"""Seconds between two looks."""


def start_cluster(folder: str, **settings: Any) -> None:
    """Call `ray.init` for a new cluster on this machine that writes its sockets and logs below `folder`.

    Uses the argument `_temp_dir`. The variable RAY_TMPDIR does the same, but every process of the cluster inherits it.

    Ray has no option for any of these, so methods of `ray._private.node.Node` and names of `ray._private.services`,
    `ray._private.utils` and `ray._private.ray_constants` are replaced while it starts:

    - Three processes that a cluster of one machine has no use for are not started: autoscaler, reader of logs, and the
      dashboard's server (which `include_dashboard=False` starts, too). They take two fifths of the time.
    - The agent of the node is `node_agent.py`. Ray's own loads what the dashboard's server would ask it for. It listens
      on a fixed port, for which it waits three seconds where another cluster of this machine does.
    - The driver looks every few hundredths of a second, not once a second, whether the node is there.
    - Its processes are in process groups of their own: a scheduler's SIGTERM to the group of this process, which then
      waits for its trials to stop, would end them first, and Ray would wait minutes for an answer.
    - Ray does not check whether this process was started by `uv run`. That check takes .1 s. Workers use the Python
      of this process in both cases.
    """
    with _started_quickly():
        ray.init(_temp_dir=folder, **settings)


@contextmanager
def _started_quickly() -> Iterator[None]:
    replaced: dict[tuple[Any, str], Any] = {(Node, name): _do_nothing for name in _UNUSED}
    replaced[services, "get_node"] = _when_registered(services.get_node)
    replaced[services, "start_ray_process"] = _with_small_agent(services.start_ray_process)
    replaced[services, "ConsolePopen"] = partial(services.ConsolePopen, process_group=0)
    replaced[utils, "get_dashboard_dependency_error"] = lambda: None  # it would import them
    replaced[ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = False
    before = {(owner, name): getattr(owner, name) for owner, name in replaced}
    try:
        for (owner, name), value in replaced.items():
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)


def _do_nothing(node: Node, **settings: Any) -> None:
    """Do nothing."""


def _with_small_agent(start_process: Callable[..., Any]) -> Callable[..., Any]:
    def start(command: Sequence[str], *arguments: Any, **settings: Any) -> Any:
        return start_process([_small_agent(part) for part in command], *arguments, **settings)

    return start


def _small_agent(part: str) -> str:
    """Return a part of the command of a node, with our agent where it has Ray's."""
    if not part.startswith(_AGENT):
        return part
    (session,) = [word for word in shlex.split(part.removeprefix(_AGENT)) if word.startswith(_SESSION)]
    own = [sys.executable, "-S", "-E", node_agent.__file__, session.removeprefix(_SESSION)]
    return f"{_AGENT}{subprocess.list2cmdline(own)}"


def _when_registered(get_node: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    def get(gcs_address: str, node_id: str) -> Any:
        client, end = GcsClient(address=gcs_address), time.monotonic() + _REGISTERED
        while node_id not in {node.hex() for node in client.get_all_node_info()} and time.monotonic() < end:
            time.sleep(_LOOK)
        return get_node(gcs_address, node_id)

    return get


def show_as_command(command: str) -> None:
    """Show `command` in Ray's job table as the command line of this process. Call this before `ray.init`.

    Replaces `ray._private.utils.get_entrypoint_name`. Ray has no option for this. Otherwise every user of a cluster can
    read the command line of every driver, passwords included.
    """
    ray._private.utils.get_entrypoint_name = lambda: command


def end_cluster() -> None:
    """Call `ray.shutdown`; processes that `ray.init` started end at once, and do not get a second each to finish.

    Replaces `kill_all_processes` of `ray._private.worker._global_node`. Ray has no option for this. The raylet then
    ends no worker: workers end when they miss it, or `storage.owned_folders.kill_processes` ends them.
    """
    node = ray._private.worker._global_node
    if node is not None:
        kill = node.kill_all_processes
        node.kill_all_processes = lambda **how: kill(**{**how, "allow_graceful": False})
    with _no_collection():
        ray.shutdown()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect garbage now, and then none in any thread until the end.

    Tune leaves references to Ray's objects in cycles. A thread that collects one while Ray shuts down asks the core
    worker, which is gone, and Ray then ends this process with exit code 1, in the middle of whatever it does.
    """
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
