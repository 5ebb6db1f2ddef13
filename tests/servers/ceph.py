"""A real S3 server for tests: Ceph's RADOS gateway over one monitor and one disk daemon, all on loopback.

`with running() as ceph:` starts it in about 5 s, as an unprivileged user even under root; keys and data are gone
afterwards. The servers are children of this process, stopped by their process ids, and die with it.
"""

import base64
import http.client
import os
import secrets
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.ports import free_ports

NEEDED = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "setpriv")
_NOBODY = 65534
_PATIENCE = 600.0
"""Seconds for each step of a start: a busy machine needs minutes."""
_ACCESS, _SECRET = "testkey", "planted-secret"
# One of everything, no copies. `paxos_propose_interval` makes each change of the cluster's map 20 times faster;
# authentication stays on, since radosgw hangs for minutes without it.
_CONFIG = """
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
keyring = {home}/keyring
auth_allow_insecure_global_id_reclaim = false
paxos_propose_interval = 0.05
mon_data_avail_warn = 2
mon_data_avail_crit = 1
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = {home}
pid_file =
admin_socket = {home}/$name.asok
log_file = {home}/$name.log
mon_cluster_log_file = {home}/cluster.log
crash_dir = {home}
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data = {home}/mon
osd_data = {home}/osd
osd_objectstore = bluestore
bluestore_block_size = 68719476736
bluestore_block_wal_size = 0
bluestore_block_db_size = 0
osd_memory_target = 1073741824
osd_class_update_on_start = false
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:{s3}
rgw_data = {home}/rgw
rgw_thread_pool_size = 32
rgw_num_rados_handles = 1
"""
_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    "client.rgw.a": {"mon": "allow rw", "osd": "allow rwx"},
}


@dataclass
class Ceph:
    """A running gateway. What was acknowledged survives `kill`; `start` serves it again."""

    home: Path
    port: int
    _launcher: Executor
    _gateway: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The URL of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs in its environment."""
        keys = {"AWS_ACCESS_KEY_ID": _ACCESS, "AWS_SECRET_ACCESS_KEY": _SECRET}
        return {**keys, "AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}

    @property
    def is_running(self) -> bool:
        """Whether the gateway's process lives."""
        return self._gateway is not None and self._gateway.poll() is None

    def start(self) -> None:
        """Start the gateway, which must not run, and wait until it answers."""
        assert not self.is_running, "of two gateways at one port, the second ends and the first is lost from sight"
        # In a thread that lives as long as we do: it is the thread that began a process whose death it dies with.
        self._gateway = self._launcher.submit(_spawn, self.home, "radosgw", "-f", "-n", "client.rgw.a").result()
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._gateway.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"radosgw did not start:\n{_tail(self.home / 'client.rgw.a.log')}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the gateway as a crash would: nothing is finished, every connection breaks."""
        self.signal(signal.SIGKILL)
        assert self._gateway is not None
        self._gateway.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the gateway a signal: SIGSTOP makes it accept connections and answer nothing, SIGCONT ends that."""
        assert self._gateway is not None
        self._gateway.send_signal(number)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        return False


@contextmanager
def running() -> Iterator[Ceph]:
    """Start a new, empty cluster and its gateway in a temporary folder, and stop all of it at the end."""
    with tempfile.TemporaryDirectory(prefix="mindsweep-ceph-") as name, ExitStack() as stack:
        home = Path(name)
        if os.geteuid() == 0:
            os.chown(home, _NOBODY, _NOBODY)
        s3, v2, v1 = free_ports(3)
        _prepare(home, _CONFIG.format(fsid=uuid.uuid4(), home=home, s3=s3, v2=v2, v1=v1))
        stack.enter_context(_server(home, "ceph-mon", "-f", "-i", "a"))
        _make_disk(home)
        stack.enter_context(_server(home, "ceph-osd", "-f", "-i", "0"))
        user = ("--uid=test", "--display-name=test", f"--access-key={_ACCESS}", f"--secret-key={_SECRET}")
        _run(home, "radosgw-admin", "user", "create", *user)
        ceph = Ceph(home, s3, stack.enter_context(ThreadPoolExecutor(1)))
        ceph.start()
        try:
            yield ceph
        finally:
            ceph.kill()


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """One Ceph for all tests, with the bucket `mindsweep`."""
    import boto3.session

    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        pytest.skip(f"needs Ceph's gateway (Debian: radosgw ceph-mon ceph-osd); not installed: {', '.join(absent)}")
    with running() as server:
        session = boto3.session.Session(_ACCESS, _SECRET, region_name="us-east-1")
        session.client("s3", endpoint_url=server.endpoint).create_bucket(Bucket="mindsweep")
        yield server


def _prepare(home: Path, config: str) -> None:
    """Write configuration and keys, and make the monitor's data."""
    files = {"ceph.conf": config, "keyring": "".join(_key(name, caps) for name, caps in _CAPS.items())}
    for name, text in files.items():
        (home / name).write_text(text, encoding="ascii")
    for name in ("mon", "osd", "rgw"):
        (home / name).mkdir()
    if os.geteuid() == 0:
        for path in home.iterdir():
            os.chown(path, _NOBODY, _NOBODY)
    settings = dict(line.split(" = ") for line in config.splitlines() if line.startswith(("fsid", "mon_host")))
    where = ("--fsid", settings["fsid"], "--addv", "a", settings["mon_host"])
    _run(home, "monmaptool", "--create", *where, str(home / "monmap"))
    _run(home, "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(home / "monmap"))


def _key(name: str, caps: Mapping[str, str]) -> str:
    """Return a section of a key ring: type 1 (AES), seconds, nanoseconds, length, 16 random bytes."""
    key = base64.b64encode(struct.pack("<HIIH", 1, int(time.time()), 0, 16) + secrets.token_bytes(16)).decode()
    lines = [f'caps {service} = "{what}"' for service, what in caps.items()]
    return "\n".join([f"[{name}]", f"key = {key}", *lines, ""])


def _make_disk(home: Path) -> None:
    """Register the one disk daemon and make its data."""
    disk = str(uuid.uuid4())
    _run(home, "ceph", "osd", "new", disk)
    _run(home, "ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h0")
    _run(home, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)


@contextmanager
def _server(home: Path, *command: str) -> Iterator[None]:
    process = _spawn(home, *command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _spawn(home: Path, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_unprivileged(home, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _run(home: Path, *command: str) -> None:
    done = subprocess.run(_unprivileged(home, command), capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")


def _unprivileged(home: Path, command: tuple[str, ...]) -> list[str]:
    """Return `command` run as nobody if we are root; it is killed when we end, however we end."""
    user = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=KILL", *user, command[0], "-c", str(home / "ceph.conf"), *command[1:]]


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-2000:] if path.exists() else "(no log)"
