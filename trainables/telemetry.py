"""Telemetry of a worker: heartbeats in the store, samples of resource use, and a split of the time.

Nothing here may change a result or end a run. A heartbeat that cannot be written is left out.
"""

import json
import logging
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Literal

import psutil

from storage import layout
from storage.base import Store
from storage.environment import without_secrets
from storage.errors import IntegrityError, NotFoundError, StoreError
from storage.typed import check_mapping

_log = logging.getLogger(__name__)
Spending = Literal["data", "checkpoint", "report"]
"""Parts of a trial's time other than computing: verifying inputs, saving checkpoints, and reporting to the driver."""
PERIOD = 5.0
"""Seconds between two heartbeats. Each is one small write to the store."""
_FIRST = 1.0
"""Seconds before the first heartbeat. Work that ends earlier writes none."""
_WARNINGS = 10
"""Maximum number of warnings that are kept."""
_MEGA = 1e6
"""Bytes per megabyte, as MLflow counts."""


class Telemetry:
    """Monitors the work on one trial or shared stage run, as a context manager around it.

    Inside the context, a thread samples this process and writes a heartbeat (a *pulse*) to the store: host and process,
    stage, running time, latest metrics, and the seconds since the last progress. At the end the pulse is deleted.
    """

    def __init__(
        self, store: Store | None = None, *, study: str = "", name: str = "", node: str = "", period: float = PERIOD
    ) -> None:
        """Monitor `name` of `study` on the cluster's `node`. Without a store, only the time split is recorded."""
        self._store, self._node, self._period = store, node, period
        self._key = layout.pulse(study, name) if store is not None else ""
        self._began = self._moved = time.monotonic()
        self._at: dict[str, Any] = {"stage": None, "epoch": 0, "metrics": {}}
        self._spent: dict[str, float] = defaultdict(float)
        self._samples: list[dict[str, Any]] = []
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.warnings: list[str] = []
        """Problems that did not end the work, each once; only the first ones are kept."""

    @property
    def stage(self) -> str | None:
        """The current stage, or the last one."""
        return None if self._at["stage"] is None else str(self._at["stage"])

    def begins(self, stage: str) -> None:
        """Record that the execution of `stage` begins."""
        self._at, self._moved = {"stage": stage, "epoch": 0, "metrics": {}}, time.monotonic()

    def reached(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record that the stage reached `epoch`."""
        self._at, self._moved = {**self._at, "epoch": epoch, "metrics": dict(metrics)}, time.monotonic()

    def warn(self, text: str) -> None:
        """Record and log a problem that does not end the work."""
        _log.warning("%s", text)
        self.hear(text)

    def hear(self, text: str) -> None:
        """Record a problem that was logged."""
        line = " ".join(without_secrets(text).split())
        if line not in self.warnings and len(self.warnings) < _WARNINGS:
            self.warnings.append(line)

    @contextmanager
    def spending(self, part: Spending) -> Iterator[None]:
        """Count the time inside the context as spent on `part`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._spent[part] += time.monotonic() - started

    def split(self) -> dict[str, float]:
        """Return the seconds since the work began, split into parts. The remaining time is `compute`."""
        parts = {part: self._spent[part] for part in ("data", "checkpoint", "report")}
        return {**parts, "compute": max(0.0, time.monotonic() - self._began - sum(parts.values()))}

    def take(self) -> list[dict[str, Any]]:
        """Return the samples since the last call: {time, metrics}, with MLflow's names for system metrics."""
        samples, self._samples = self._samples, []
        return samples

    def __enter__(self) -> "Telemetry":
        if self._store is not None:
            self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        assert self._store is not None
        self._process.cpu_percent()  # later calls count from here
        pause, beats = min(_FIRST, self._period), 0
        while not self._stop.wait(pause):
            pause, beats = self._period, beats + 1
            sample = {"time": time.time(), "metrics": usage(self._process)}
            self._samples.append(sample)
            with suppress(StoreError):
                self._store.put(self._key, json.dumps(self._pulse(sample, beats)).encode(), replace=True)
        if beats > 0:
            with suppress(StoreError):
                self._store.delete(self._key)

    def _pulse(self, sample: Mapping[str, Any], beat: int) -> dict[str, Any]:
        now = time.monotonic()
        return {
            **self._at,
            "beat": beat,
            "time": sample["time"],
            "seconds": now - self._began,
            "idle": now - self._moved,
            "host": os.uname().nodename,
            "node": self._node,
            "pid": os.getpid(),
            "usage": sample["metrics"],
        }


def usage(process: psutil.Process) -> dict[str, float]:
    """Return the current resource use of `process`, this process, with MLflow's names for system metrics.

    CPU: percent of one core since the last call. Resident memory: 10^6 bytes, and percent of the machine's memory. For
    each GPU that torch uses: the memory and, if NVML is installed, the utilisation.
    """
    with process.oneshot():
        memory = process.memory_info().rss
        values = {
            "cpu_utilization_percentage": process.cpu_percent(),
            "system_memory_usage_megabytes": memory / _MEGA,
            "system_memory_usage_percentage": process.memory_percent("rss"),
        }
    return {f"system/{name}": round(value, 1) for name, value in (values | _gpu_usage()).items()}


def _gpu_usage() -> dict[str, float]:
    cuda: Any = sys.modules.get("torch.cuda")
    # While the main thread imports torch, the module exists but is empty.
    if cuda is None or not getattr(cuda, "is_initialized", bool)():
        return {}
    values = {}
    for number in range(cuda.device_count()):
        reserved = cuda.memory_reserved(number)
        values[f"gpu_{number}_memory_usage_megabytes"] = reserved / _MEGA
        total = cuda.get_device_properties(number).total_memory
        values[f"gpu_{number}_memory_usage_percentage"] = 100 * reserved / total
        with suppress(Exception):  # NVML is absent, or its own error says that a part of a GPU has no such figure (MIG)
            values[f"gpu_{number}_utilization_percentage"] = float(cuda.utilization(number))
    return values


def read_pulse(store: Store, study: str, name: str) -> dict[str, Any] | None:
    """Return the last heartbeat of `name`, or None if there is none that can be read.

    Raises:
        storage.errors.StoreError: The store does not answer.
    """
    try:
        pulse: dict[str, Any] = json.loads(store.get(layout.pulse(study, name)))
        check_mapping(
            pulse, beat=int, idle=float, time=float, epoch=int, metrics=Mapping[str, Any], usage=Mapping[str, Any]
        )
    except (NotFoundError, ValueError, RecursionError, IntegrityError):
        return None
    return pulse


def read_pulses(store: Store, study: str) -> dict[str, dict[str, Any]]:
    """Return the pulses of `study`: trial, or identity of a shared stage run, to its last heartbeat."""
    names = [key.removeprefix(layout.pulses(study)).removesuffix(".json") for key in store.list(layout.pulses(study))]
    pulses = {name: read_pulse(store, study, name) for name in names}
    return {name: pulse for name, pulse in pulses.items() if pulse is not None}


def delete_pulse(store: Store, study: str, name: str) -> None:
    """Delete the last heartbeat of `name`, if there is one. Raises `storage.errors.StoreError`."""
    store.delete(layout.pulse(study, name))


def delete_pulses(store: Store, study: str) -> None:
    """Delete the pulses that killed workers left. Only the holder of the study's lease calls it, before any work."""
    for key in list(store.list(layout.pulses(study))):
        store.delete(key)
