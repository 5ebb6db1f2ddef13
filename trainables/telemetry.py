"""What a worker tells of itself while it works: signs of life in the store, what it uses, and where its time goes.

Nothing here may change a result or end a run: a sign of life that cannot be written is left out.
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
from storage.errors import NotFoundError, StoreError

_log = logging.getLogger(__name__)
Spending = Literal["data", "checkpoint", "report"]
"""What a trial's time goes to, beside computing: making sure of its inputs, saving, and telling the driver."""
PERIOD = 5.0
"""Seconds between two signs of life, each of which is one small write to the store."""
_FIRST = 1.0
"""Seconds before the first: what is over by then was no burden to anyone."""
_WARNINGS = 10
"""Most warnings that are kept."""
_MEGA = 1e6
"""Bytes of MLflow's megabyte."""


class Telemetry:
    """Watches the work on one trial or shared stage run, as a context manager around it.

    While it is entered, a thread samples this process and writes a *pulse* to the store: where, in which stage, since
    when, the last values, and for how many seconds nothing has moved. The pulse goes when the work is over.
    """

    def __init__(
        self, store: Store | None = None, *, study: str = "", name: str = "", node: str = "", period: float = PERIOD
    ) -> None:
        """Watch `name` of `study`, on the cluster's `node`. Without a store only the time is split."""
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
        """What went wrong without ending the work; the first of many."""

    @property
    def stage(self) -> str | None:
        """The stage that is being executed, or was last."""
        return None if self._at["stage"] is None else str(self._at["stage"])

    def begins(self, stage: str) -> None:
        """Note that `stage` is being executed."""
        self._at, self._moved = {"stage": stage, "epoch": 0, "metrics": {}}, time.monotonic()

    def reached(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note that the stage reached `epoch`."""
        self._at, self._moved = {**self._at, "epoch": epoch, "metrics": dict(metrics)}, time.monotonic()

    def warn(self, text: str) -> None:
        """Note what went wrong without ending the work."""
        _log.warning("%s", text)
        if len(self.warnings) < _WARNINGS:
            self.warnings.append(text)

    @contextmanager
    def spending(self, part: Spending) -> Iterator[None]:
        """Count the time within as spent on `part`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._spent[part] += time.monotonic() - began

    def split(self) -> dict[str, float]:
        """Return the seconds since the work began, by what they were spent on; what is left is `compute`."""
        parts = {part: self._spent[part] for part in ("data", "checkpoint", "report")}
        return {**parts, "compute": max(0.0, time.monotonic() - self._began - sum(parts.values()))}

    def take(self) -> list[dict[str, Any]]:
        """Return the samples since the last call: {time, metrics}, the metrics named as MLflow names its own."""
        taken, self._samples = self._samples, []
        return taken

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
        self._process.cpu_percent()  # counts from here on
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
    """Return what `process`, this one, uses now, under MLflow's names for system metrics; its own share only.

    CPU in percent of one core since the last call, memory resident in 10^6 bytes and percent of the machine's, and for
    each GPU that torch uses here its memory and, where NVML is installed, its utilisation.
    """
    with process.oneshot():
        memory = process.memory_info().rss
        found = {
            "cpu_utilization_percentage": process.cpu_percent(),
            "system_memory_usage_megabytes": memory / _MEGA,
            "system_memory_usage_percentage": process.memory_percent("rss"),
        }
    return {f"system/{name}": round(value, 1) for name, value in (found | _gpu_usage()).items()}


def _gpu_usage() -> dict[str, float]:
    cuda: Any = sys.modules.get("torch.cuda")
    # While the main thread imports torch, the module is there and empty.
    if cuda is None or not getattr(cuda, "is_initialized", bool)():
        return {}
    found = {}
    for number in range(cuda.device_count()):
        reserved = cuda.memory_reserved(number)
        found[f"gpu_{number}_memory_usage_megabytes"] = reserved / _MEGA
        total = cuda.get_device_properties(number).total_memory
        found[f"gpu_{number}_memory_usage_percentage"] = 100 * reserved / total
        with suppress(ModuleNotFoundError, RuntimeError):  # without NVML nobody knows
            found[f"gpu_{number}_utilization_percentage"] = float(cuda.utilization(number))
    return found


def read_pulse(store: Store, study: str, name: str) -> dict[str, Any] | None:
    """Return the last sign of life of `name`, or None. Raises `storage.errors.StoreError` if the store is away."""
    try:
        return dict(json.loads(store.get(layout.pulse(study, name))))
    except (NotFoundError, ValueError):
        return None


def read_pulses(store: Store, study: str) -> dict[str, dict[str, Any]]:
    """Return the pulses of `study`: trial, or identity of a shared stage run, to its last sign of life."""
    names = [key.removeprefix(layout.pulses(study)).removesuffix(".json") for key in store.list(layout.pulses(study))]
    found = {name: read_pulse(store, study, name) for name in names}
    return {name: pulse for name, pulse in found.items() if pulse is not None}


def forget_pulses(store: Store, study: str) -> None:
    """Remove the pulses that killed workers left; only for the holder of the study's lease, before it starts any."""
    for key in list(store.list(layout.pulses(study))):
        store.delete(key)
