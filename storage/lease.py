"""Leases: one holder at a time for a piece of work, across processes and machines. Only a store is needed.

Each acquisition writes the next *generation* of the lease, once. The highest generation is the holder. So if several
processes find a dead holder, exactly one succeeds, and no process removes the record of a newer holder. A released
lease leaves a small record, so that generations continue to count up.

Clocks of different machines are not compared. On the holder's machine, its process decides whether it is alive.
On another machine, the record is watched for `ttl` seconds of the local monotonic clock: a heartbeat changes it three
times in a `ttl`. The times in a record are for people only.

A holder that stops for longer than `ttl` (a suspended laptop, an unreachable store) can lose the lease to another
machine. It continues until its next heartbeat detects this (`lost`). Its writes are put-once and content-addressed, so
the work is done twice but nothing is damaged.
"""

import json
import logging
import os
import re
import shlex
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, NotRequired

import psutil
from pydantic import Field

from storage import layout
from storage.base import Store
from storage.clock import REAL, Clock
from storage.errors import ExistsError, IntegrityError, LeaseHeldError, NotFoundError, StoreError, UnavailableError
from storage.typed import check_mapping

_log = logging.getLogger(__name__)


class Lease:
    """The right to work on `name`, as a context manager. A daemon thread writes a heartbeat every `ttl` / 3 seconds.

    Example:
        >>> from storage.memory import MemoryStore
        >>> with Lease(MemoryStore(), "study") as lease:
        ...     lease.lost
        False
    """

    def __init__(self, store: Store, name: str, *, ttl: float = 30.0, clock: Clock = REAL) -> None:
        """Create the lease without acquiring it.

        Args:
            store: Where the lease is recorded.
            name: What the lease is for.
            ttl: Seconds without a heartbeat after which a holder on another machine counts as dead.
            clock: Measures these seconds.
        """
        self._store = store
        self._name = layout.checked(name)
        self._ttl = ttl
        self._clock = clock
        self._generation = -1
        self._record: dict[str, Any] = {}
        self._lost = False
        self._seen: tuple[int, bytes, float] | None = None
        """Generation and record of a holder on another machine, and the time since which the record has not changed."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> bool:
        """Whether another process took the lease over. The work should then stop."""
        return self._lost

    def acquire(self) -> None:
        """Become the holder: at once if there is none or if it died on this machine, otherwise after `ttl` seconds.

        Raises:
            LeaseHeldError: The holder is alive. On this machine this is known at once, on another machine at its next
                heartbeat. The message shows the holder.
        """
        has_warned = False
        while not self.attempt():
            if not has_warned and self._seen is not None:
                holder, has_warned = _description(_decoded(self._seen[1])), True
                _log.warning("%s is held by %s; waiting for its next heartbeat", self._name, holder)
            self._clock.sleep(min(1.0, self._ttl / 10))

    def attempt(self) -> bool:
        """Become the holder if no waiting is needed, and return whether this succeeded. If not, call it again later.

        Raises:
            LeaseHeldError: The holder is alive, as in `acquire`.
            StoreError: The store cannot be reached. A record that was written none the less is released later, as in
                `release`: it would count as held for as long as this process runs.
        """
        while True:
            generation, data = self._latest()
            if data is not None and not self._is_free(generation, data):
                return False
            self._generation = generation + 1
            self._record = {
                "token": uuid.uuid4().hex,
                "beat": 0,
                "released": False,
                "ttl": self._ttl,
                **_this_process(),
            }
            try:
                if self._is_written():
                    break
            except ExistsError:
                continue  # another process was faster
            except StoreError:
                self._repeat(partial(self._withdraw, self._key(), {**self._record, "released": True}))
                raise
        self._remove_older()
        self._lost, self._seen = False, None
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{self._name}", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Give up the lease and stop the heartbeats. Nothing happens if this process is not the holder.

        If the store cannot be reached, the release is written later, as long as this process runs.
        """
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        self._record["released"] = True
        write_release = partial(self._write_release, self._generation, self._encoded())
        try:
            self._lost = not write_release()
        except StoreError as error:
            _log.warning("lease %s could not be released yet; other processes may have to wait: %s", self._name, error)
            self._repeat(write_release)

    def __enter__(self) -> "Lease":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _is_written(self) -> bool:
        """Write our record. Return False, with the record removed, if there are later generations already."""
        self._store.put(self._key(), self._encoded())
        newest = self._latest()[0]
        if newest < self._generation:
            raise UnavailableError(f"{self._store.uri} does not show {self._key()}, which was written a moment ago")
        if newest > self._generation:  # an outdated listing was seen before
            self._store.delete(self._key())
        return newest == self._generation

    def _withdraw(self, key: str, released: Mapping[str, Any]) -> None:
        """Write `released` to `key`, unless the record there is of another process."""
        record = json.dumps(released, sort_keys=True).encode()
        try:
            self._store.put(key, record)  # a store that is away looks empty: only writing shows that it is back
        except ExistsError:
            if _decoded(self._store.get(key)).get("token") == released["token"]:
                self._store.put(key, record, replace=True)

    def _repeat(self, write: Callable[[], object]) -> None:
        """Call `write` in a thread until the store can be reached."""
        name, arguments = f"release-{self._name}", [write, self._clock]
        threading.Thread(target=_repeat_until_written, args=arguments, name=name, daemon=True).start()

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

    def _write_release(self, generation: int, record: bytes) -> bool:
        """Mark the lease as released, unless another process took it over. Return whether it was still ours."""
        ours = self._latest()[0] <= generation  # lower if an unreachable store looks empty: the write then fails
        if ours:
            self._store.put(layout.lease(self._name, generation), record, replace=True)
        return ours

    def _is_lost(self) -> bool:
        self._lost = self._latest()[0] > self._generation
        return self._lost

    def _is_free(self, generation: int, data: bytes) -> bool:
        """Return True if the lease can be acquired, False while this is unknown. Raises `LeaseHeldError`."""
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
        raise LeaseHeldError(f"{self._name} in {self._store.uri} is held by {_description(record)}")

    def _latest(self) -> tuple[int, bytes | None]:
        """Return the highest generation and its record, or (-1, None)."""
        for generation in sorted(self._generations(), reverse=True):
            try:
                return generation, self._store.get(layout.lease(self._name, generation))
            except NotFoundError:
                continue  # removed after the listing
        return -1, None

    def _generations(self) -> tuple[int, ...]:
        return tuple(
            int(stem) for key in self._store.list(layout.leases(self._name)) if (stem := Path(key).stem).isdecimal()
        )

    def _remove_older(self) -> None:
        for generation in self._generations():
            if generation < self._generation:
                self._store.delete(layout.lease(self._name, generation))

    def _key(self) -> str:
        return layout.lease(self._name, self._generation)

    def _encoded(self) -> bytes:
        return json.dumps(self._record, sort_keys=True).encode()


def _repeat_until_written(write_release: Callable[[], object], clock: Clock) -> None:
    while True:
        clock.sleep(1.0)
        try:
            write_release()
        except StoreError:
            continue
        return


def holder(store: Store, name: str) -> dict[str, Any] | None:
    """Return the holder of the lease `name` without waiting: host, pid, since, command and state; None if it is free.

    The state is `alive` on this machine. It is `unknown` on another machine, since only its next heartbeat can show it.
    """
    record = _decoded(Lease(store, name)._latest()[1] or b'{"released": true}')
    state = _state(record)
    facts = {key: record.get(key) for key in ("host", "pid", "since", "command")}
    return None if state == "free" else {**facts, "state": state}


_TYPES: Mapping[str, Any] = {
    "pid": NotRequired[Annotated[int, Field(gt=0, lt=2**31)]],
    "started": NotRequired[float],
    "ttl": NotRequired[float],
}
"""Of the values of a record that are computed with."""


def _decoded(data: bytes) -> dict[str, Any]:
    """Return a lease's record; empty if it is damaged, so that only its changes count."""
    try:
        record: dict[str, Any] = json.loads(data)
        check_mapping(record, **_TYPES)
    except (ValueError, RecursionError, IntegrityError):
        return {}
    return record


def _this_process() -> dict[str, Any]:
    process = psutil.Process()
    command = re.sub(r"//[^/@\s]+@", "//***@", shlex.join(sys.argv))  # a URI may contain a password
    return {
        "host": os.uname().nodename,
        "machine": _machine(),
        "pid": process.pid,
        "started": process.create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def _machine() -> str:
    """Return what a process id refers to: host name, boot id and process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    parts = [os.uname().nodename, boot.read_text().strip() if boot.exists() else ""]
    return "/".join([*parts, os.readlink(namespace) if namespace.is_symlink() else ""])


def _state(record: dict[str, Any]) -> Literal["free", "alive", "unknown"]:
    """Return the state of a holder. It is unknown on another machine, and if its process id may have been reused."""
    if record.get("released") is True:
        return "free"
    if record.get("machine") != _machine() or not {"pid", "started"} <= record.keys():
        return "unknown"
    try:
        process = psutil.Process(record["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return "free"
        # Setting the clock changes the start time, so a difference alone does not prove that the process is dead.
        return "alive" if abs(process.create_time() - record["started"]) < 2.0 else "unknown"
    except psutil.NoSuchProcess:
        return "free"
    except psutil.AccessDenied:
        return "unknown"


def _description(record: dict[str, Any]) -> str:
    return f"process {record.get('pid')} on {record.get('host')} since {record.get('since')}: {record.get('command')}"
