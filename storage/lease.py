"""Leases: one holder at a time for a piece of work, across processes and machines, with nothing but a store.

Every acquisition writes the next *generation* of the lease, put-once; the highest generation is the holder. So of
several that find a dead holder exactly one succeeds, and nobody ever removes a newer holder's record. A released lease
stays as a small record, from which the next generation counts on.

Whether a holder lives is judged without comparing clocks: on the holder's own machine by its process, elsewhere by
watching its record for `ttl` seconds of our own monotonic clock. So no clock need be right, nor two of them agree; all
that is trusted is that a second takes about as long on both machines (heartbeats come three times in a `ttl`). Times in
a record are for people. The limits: a holder that is stopped for longer than `ttl` (a suspended laptop, an unreachable
store) can be taken over by another machine, and works on until its next heartbeat notices (`lost`). What it writes is
put-once and content-addressed, so the work is done twice, not damaged.
"""

import json
import logging
import os
import re
import shlex
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import psutil

from storage import layout
from storage.base import Store
from storage.clock import REAL, Clock
from storage.errors import ExistsError, LeaseHeldError, NotFoundError, StoreError

_log = logging.getLogger(__name__)


class Lease:
    """The right to work on `name`, as a context manager. Heartbeats come from a daemon thread every `ttl` / 3."""

    def __init__(self, store: Store, name: str, *, ttl: float = 30.0, clock: Clock = REAL) -> None:
        """Take nothing yet; `clock` is the one by which the silence of another machine's holder is measured."""
        self._store = store
        self._name = layout.checked(name)
        self._ttl = ttl
        self._clock = clock
        self._generation = -1
        self._record: dict[str, Any] = {}
        self._lost = False
        self._seen: tuple[int, bytes, float] | None = None
        """A record of another machine, by its generation, and since when we see it unchanged."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> bool:
        """Whether another took the lease over while we held it; work should stop then."""
        return self._lost

    def acquire(self) -> None:
        """Become the holder, at once if there is none or a dead one of this machine.

        Raises `LeaseHeldError`, naming the holder, as soon as it is seen alive: at once on this machine, at its next
        heartbeat on another. One of another machine that stays silent for `ttl` is taken over after that time.
        """
        told = False
        while not self.attempt():
            if not told and self._seen is not None:
                holder, told = _described(_decoded(self._seen[1])), True
                _log.warning("%s is held by %s; waiting for a sign of life", self._name, holder)
            self._clock.sleep(min(1.0, self._ttl / 10))

    def attempt(self) -> bool:
        """Become the holder if that needs no waiting, and tell whether we are; to be called again later if not.

        Raises `LeaseHeldError` if the holder is alive, as `acquire` does. False means that only time can tell.
        """
        while True:
            generation, data = self._latest()
            if data is not None and not self._is_free(generation, data):
                return False
            self._generation = generation + 1
            self._record = {"token": uuid.uuid4().hex, "beat": 0, "released": False, "ttl": self._ttl, **_myself()}
            try:
                self._store.put(self._key(), self._encoded())
            except ExistsError:
                continue  # another was faster
            if self._latest()[0] == self._generation:
                break
            self._store.delete(self._key())  # what we saw was old: later generations came and cleaned up
        self._remove_older()
        self._lost, self._seen = False, None
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{self._name}", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Let the next one in. Nothing happens if we are not the holder (any more).

        If the store cannot be reached, the release is sent later, while this process lives. Heartbeats end now.
        """
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        self._record["released"] = True
        let_go = partial(self._let_go, self._generation, self._encoded())
        try:
            self._lost = not let_go()
        except StoreError as error:
            _log.warning("lease %s could not be released yet; others may have to wait: %s", self._name, error)
            threading.Thread(
                target=_until_told, args=[let_go, self._clock], name=f"release-{self._name}", daemon=True
            ).start()

    def __enter__(self) -> "Lease":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._stop.wait(self._ttl / 3):
            try:
                if self._is_lost():
                    _log.warning("lease %s was taken over by another process", self._name)
                    return
                self._record["beat"] += 1
                self._store.put(self._key(), self._encoded(), replace=True)
            except StoreError as error:
                _log.warning("a heartbeat of lease %s failed: %s", self._name, error)

    def _let_go(self, generation: int, record: bytes) -> bool:
        """Write the record of a released lease, unless another took it over; tell whether it was still ours."""
        ours = self._latest()[0] <= generation  # less where a store that went away seems empty: writing then tells
        if ours:
            self._store.put(layout.lease(self._name, generation), record, replace=True)
        return ours

    def _is_lost(self) -> bool:
        self._lost = self._latest()[0] > self._generation
        return self._lost

    def _is_free(self, generation: int, data: bytes) -> bool:
        """Return True if the lease may be taken, False while that is unknown. Raises `LeaseHeldError`."""
        record = _decoded(data)
        state = _state(record)
        if state == "unknown":
            now = self._clock.now()
            if self._seen is not None and self._seen[:2] == (generation, data):
                return now - self._seen[2] >= max(self._ttl, float(record.get("ttl", 0.0)))
            changed, self._seen = self._seen is not None, (generation, data, now)
            if not changed:
                return False
        elif state == "free":
            return True
        raise LeaseHeldError(f"{self._name} in {self._store.uri} is held by {_described(record)}")

    def _latest(self) -> tuple[int, bytes | None]:
        """Return the highest generation and its record, or (-1, None)."""
        for generation in sorted(self._generations(), reverse=True):
            try:
                return generation, self._store.get(layout.lease(self._name, generation))
            except NotFoundError:
                continue  # removed since it was listed
        return -1, None

    def _generations(self) -> tuple[int, ...]:
        return tuple(int(Path(key).stem) for key in self._store.list(layout.leases(self._name)))

    def _remove_older(self) -> None:
        for generation in self._generations():
            if generation < self._generation:
                self._store.delete(layout.lease(self._name, generation))

    def _key(self) -> str:
        return layout.lease(self._name, self._generation)

    def _encoded(self) -> bytes:
        return json.dumps(self._record, sort_keys=True).encode()


def _until_told(let_go: Callable[[], object], clock: Clock) -> None:
    while True:
        clock.sleep(1.0)
        try:
            let_go()
        except StoreError:
            continue
        return


def holder(store: Store, name: str) -> dict[str, Any] | None:
    """Return who holds the lease `name`, without waiting: host, pid, since, command; None if it is free.

    Its `state` is `alive` on this machine, and `unknown` on another: only its next heartbeat can tell.
    """
    record = _decoded(Lease(store, name)._latest()[1] or b'{"released": true}')
    state = _state(record)
    told = {key: record.get(key) for key in ("host", "pid", "since", "command")}
    return None if state == "free" else {**told, "state": state}


def _decoded(data: bytes) -> dict[str, Any]:
    """Return a lease's record; a damaged one is empty, and so judged by whether it changes."""
    try:
        record = json.loads(data)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _myself() -> dict[str, Any]:
    process = psutil.Process()
    command = re.sub(r"//[^/@\s]+@", "//***@", shlex.join(sys.argv))  # a URI may carry a password
    return {
        "host": os.uname().nodename,
        "machine": _machine(),
        "pid": process.pid,
        "started": process.create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def _machine() -> str:
    """Return what tells whether a process id means the same here: host name, boot, and space of process ids."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    parts = [os.uname().nodename, boot.read_text().strip() if boot.exists() else ""]
    return "/".join([*parts, os.readlink(space) if space.is_symlink() else ""])


def _state(record: dict[str, Any]) -> Literal["free", "alive", "unknown"]:
    """Judge a holder. Unknown: only time can tell (another machine, or its process id seems to be in use again)."""
    if record.get("released") is True:
        return "free"
    if record.get("machine") != _machine():
        return "unknown"
    try:
        process = psutil.Process(record["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return "free"
        # A start time moves when the clock is set, so a difference alone is no proof of death.
        return "alive" if abs(process.create_time() - record["started"]) < 2.0 else "unknown"
    except psutil.NoSuchProcess:
        return "free"
    except psutil.AccessDenied:
        return "unknown"


def _described(record: dict[str, Any]) -> str:
    return f"process {record.get('pid')} on {record.get('host')} since {record.get('since')}: {record.get('command')}"
