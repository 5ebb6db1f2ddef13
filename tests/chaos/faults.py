"""The faults of a campaign: one table. Most act on a running driver from outside; some are planned into the driver."""

import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from tests.chaos.driver import Inner
from tests.chaos.scene import Scene, processes_of
from tests.chaos.studies import ChaosStudy

_WORKER_KILLS = 2
"""Of one trial: the platform tries it again so often."""
_HOUR = 3600.0
Act = Callable[[Scene, random.Random], bool]
"""Does the harm; returns whether there was something to harm yet."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    name: str
    act: Act | None = None
    """Called from outside, again and again until it returns True."""
    inner: Callable[[random.Random], Inner] | None = None
    """Drawn before the driver starts."""
    kills: bool = False
    """Whether it kills a process."""
    ends: bool = False
    """Whether the driver ends with it: at most one of these meets one command."""
    early: bool = False
    """Whether it strikes after a time, so possibly before the first event; the others strike after some events."""
    possible: Callable[[ChaosStudy], bool] = lambda study: True
    weight: int = 2
    """How often it is drawn, relative to the others."""
    breaks: tuple[str, ...] = ()
    """Causes with which it may end a trial for good; `--retry-failed` then starts it again."""


def _kill_driver(scene: Scene, _: random.Random) -> bool:
    return scene.signal(signal.SIGKILL)


def _cut_power(scene: Scene, _: random.Random) -> bool:
    """Kill every process of the case at once."""
    scene.signal(signal.SIGKILL)
    processes = processes_of(scene.folder.name)
    for process in processes:
        _send(process.pid, signal.SIGKILL)
    return bool(processes)


def _interrupt(scene: Scene, _: random.Random) -> bool:
    return scene.signal(signal.SIGINT)


def _terminate(scene: Scene, _: random.Random) -> bool:
    return scene.signal(signal.SIGTERM)


def _pause_driver(scene: Scene, chance: random.Random) -> bool:
    if not scene.signal(signal.SIGSTOP):
        return False
    time.sleep(chance.uniform(0.5, 2.0))
    return scene.signal(signal.SIGCONT)


def _worker(scene: Scene, chance: random.Random) -> tuple[str, int] | None:
    """Draw a trial whose worker lives and may be killed once more."""
    pulses = {name: pulse["pid"] for name, pulse in scene.pulses().items() if scene.hurt[name] < _WORKER_KILLS}
    return (name := chance.choice(sorted(pulses)), pulses[name]) if pulses else None


def _kill_worker(scene: Scene, chance: random.Random) -> bool:
    found = _worker(scene, chance)
    if found is None or not _send(found[1], signal.SIGKILL):
        return False
    scene.hurt[found[0]] += 1
    return True


def _lose_node(scene: Scene, chance: random.Random) -> bool:
    """Lose the node of a worker, and add another one."""
    found = _worker(scene, chance)
    if found is None:
        return False
    try:
        raylet = psutil.Process(found[1]).ppid()
    except psutil.Error:
        return False
    if raylet not in scene.servers.nodes.disks:
        return False
    for name, pulse in scene.pulses().items():
        scene.hurt[name] += psutil.pid_exists(pulse["pid"]) and psutil.Process(pulse["pid"]).ppid() == raylet
    scene.servers.nodes.lose(raylet)
    scene.servers.nodes.add()
    return True


def _restarts(server: str, *, away: tuple[float, float]) -> Act:
    """Return the fault that kills a server and starts it again after a random time between the two of `away`."""

    def kill(scene: Scene, chance: random.Random) -> bool:
        killed = getattr(scene.servers, server)
        killed.kill()
        time.sleep(chance.uniform(*away))
        killed.start()
        return True

    return kill


def _hold_s3(scene: Scene, chance: random.Random) -> bool:
    """Let the server accept connections and answer nothing."""
    scene.servers.ceph.signal(signal.SIGSTOP)
    time.sleep(chance.uniform(1.0, 4.0))
    scene.servers.ceph.signal(signal.SIGCONT)
    return True


def _fill(pid: int, seconds: float) -> bool:
    """Let a process write no file of more than 100 bytes for a while, as if its disk was full."""
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, hard))
        time.sleep(seconds)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _fill_worker(scene: Scene, chance: random.Random) -> bool:
    found = _worker(scene, chance)
    return found is not None and _fill(found[1], chance.uniform(0.2, 1.5))


def _fill_driver(scene: Scene, chance: random.Random) -> bool:
    assert scene.process is not None
    return scene.process.poll() is None and _fill(scene.process.pid, chance.uniform(0.2, 1.5))


def _dies_writing(chance: random.Random) -> Inner:
    return Inner(dies_at=chance.randint(1, 120), dies=chance.choice(("before", "within", "after")))


def _refuses(chance: random.Random) -> Inner:
    return Inner(fails_at=chance.randint(2, 100), fails_for=chance.randint(1, 4))


def _is_slow(chance: random.Random) -> Inner:
    return Inner(slow=chance.uniform(0.01, 0.08), seed=chance.randrange(1 << 30))


def _clock_is_off(chance: random.Random) -> Inner:
    return Inner(clock=chance.uniform(-24 * _HOUR, 24 * _HOUR))


def _clock_jumps(chance: random.Random) -> Inner:
    return Inner(jump=chance.choice((-1, 1)) * chance.uniform(1.0, 2 * _HOUR), jumps_after=chance.uniform(0.5, 4.0))


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        psutil.Process(pid).send_signal(number)
    except psutil.Error:
        return False
    return True


def _inline(study: ChaosStudy) -> bool:
    return study.where == "inline"


def _on_ray(study: ChaosStudy) -> bool:
    return study.where != "inline"


def _own_ray(study: ChaosStudy) -> bool:
    return study.where == "ray"


def _local(study: ChaosStudy) -> bool:
    return study.store == "file"


def _inline_local(study: ChaosStudy) -> bool:
    return _inline(study) and _local(study)


_OTHER: dict[str, Any] = {"possible": _on_ray, "weight": 3}
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("driver_killed", _kill_driver, kills=True, ends=True),
        Fault("driver_killed_early", _kill_driver, kills=True, ends=True, early=True),
        Fault("driver_dies_writing", inner=_dies_writing, kills=True, ends=True, possible=_local, weight=6),
        Fault("power_cut", _cut_power, kills=True, ends=True, possible=_own_ray),
        Fault("driver_interrupted", _interrupt, ends=True, weight=1),
        Fault("driver_terminated", _terminate, ends=True, weight=1),
        Fault("store_refuses", inner=_refuses, ends=True, possible=_local, weight=1, breaks=("STORE_LOST",)),
        Fault("driver_disk_full", _fill_driver, ends=True, possible=_local, breaks=("DISK_FULL",)),
        Fault("driver_paused", _pause_driver, weight=1),
        Fault("worker_killed", _kill_worker, kills=True, **_OTHER | {"weight": 8}),
        Fault("worker_disk_full", _fill_worker, **_OTHER | {"weight": 1}, breaks=("DISK_FULL",)),
        Fault("node_lost", _lose_node, kills=True, possible=lambda study: study.where == "nodes", weight=6),
        Fault(
            "s3_killed",
            _restarts("ceph", away=(0.5, 4.0)),
            kills=True,
            possible=lambda study: study.store == "s3",
            weight=6,
        ),
        Fault("s3_silent", _hold_s3, possible=lambda study: study.store == "s3"),
        *(
            Fault(
                f"{server}_killed",
                _restarts(server, away=(0.0, 2.0)),
                kills=True,
                possible=lambda study: study.tracking == "server",
                weight=5,
            )
            for server in ("mlflow", "postgres")
        ),
        Fault("store_slow", inner=_is_slow, possible=_local, weight=1),
        Fault("clock_off", inner=_clock_is_off, weight=2),
        Fault("clock_jumps", inner=_clock_jumps, possible=_inline_local, weight=2),
    )
}
