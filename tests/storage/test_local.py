import builtins
import errno
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.content import put_sealed, unsealed
from storage.errors import ExistsError, UnavailableError
from storage.local import LocalStore
from storage.retry import RetryPolicy
from storage.uri import open_store
from tests.programs import ROOT, program


def test_fetch_gives_the_stores_own_file(local: LocalStore, tmp_path: Path) -> None:
    local.put("a", b"shared")
    first, second = (local.fetch("a", tmp_path / name) for name in ("one", "two"))
    assert first.stat().st_ino == second.stat().st_ino
    assert not (tmp_path / "one").exists()


def test_files_are_read_only_and_obey_the_umask(local: LocalStore, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        local.put("a", b"")
    finally:
        os.umask(old)
    assert local.fetch("a", tmp_path).stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize("link", ["blobs", "key"])
def test_a_symbolic_link_is_no_way_out(local: LocalStore, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_bytes(b"private")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / link).symlink_to(outside if link == "blobs" else outside / "key")
    key = "blobs/key" if link == "blobs" else "key"
    for verb in (local.get, local.exists, local.size, local.delete):
        with pytest.raises(ValueError, match="symbolic link"):
            verb(key)
    with pytest.raises(ValueError, match="symbolic link"):
        local.put(key, b"", replace=True)
    with pytest.raises(ValueError, match="symbolic link"):
        local.fetch(key, tmp_path / "target")
    assert list(local.list("")) == []
    assert (outside / "key").read_bytes() == b"private"


def test_the_root_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    LocalStore(tmp_path / "store").put("a/b", b"x")
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"x"


def test_a_root_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = LocalStore(tmp_path / "file")
    with pytest.raises(UnavailableError, match=r"a/b in file://.*/file: Not a directory"):
        store.put("a/b", b"")
    with pytest.raises(UnavailableError, match=r"/file"):
        store.put("a", b"")


@contextmanager
def _without_root_rights() -> Iterator[None]:
    """Root may write everywhere: for a while, be nobody."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_folder_is_unavailable() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o555)
        with _without_root_rights(), pytest.raises(UnavailableError, match=r"file://.*: Permission denied"):
            LocalStore(Path(name)).put("a/b", b"")


def test_a_full_disk_is_unavailable_and_leaves_nothing(
    local: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(UnavailableError, match=r"cannot write a/b in .*: No space left on device"):
        local.put("a/b", b"data")
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_missing_source_is_not_a_missing_key(local: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        local.put("a", tmp_path / "missing")


def test_a_killed_writer_leaves_nothing_half(local: LocalStore, tmp_path: Path) -> None:
    for delay in (0.05, 0.11, 0.17):
        writer = subprocess.Popen(program("endless_writer", local.uri), cwd=ROOT, stderr=subprocess.DEVNULL)
        while not local.exists("replaced"):
            time.sleep(0.01)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        keys = list(local.list(""))
        assert len(keys) > 1
        for key in keys:
            data = local.get(key)
            assert len(data) == 3_000_000
            assert len(set(data)) == 1
            local.delete(key)


def test_uri_round_trip(tmp_path: Path) -> None:
    folder = tmp_path / "with space %41"
    LocalStore(folder).put("a", b"x")
    assert open_store(LocalStore(folder).uri).get("a") == b"x"


def _without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def test_a_file_system_without_hard_links_will_do(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """exFAT, SMB and many FUSE mounts have none."""
    _without_links(monkeypatch)
    local.put("a/b", b"first")
    with pytest.raises(ExistsError):
        local.put("a/b", b"second")
    assert local.get("a/b") == b"first"
    assert list(local.leftovers()) == []
    local.put("a/b", b"third", replace=True)
    assert local.get("a/b") == b"third"


def test_without_links_one_of_several_writers_wins(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_links(monkeypatch)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)  # all of them look before one has written

    def put(number: int) -> int:
        try:
            local.put("key", str(number).encode() * 1000)
        except ExistsError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(put, range(1, 9))) == 1
    assert len(local.get("key")) == 1000


def test_without_links_a_killed_writer_leaves_what_counts_as_not_written(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_links(monkeypatch)

    def kill(source: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            put_sealed(local, "event", {"kind": "proposed"})
    assert local.get("event") == b""
    put_sealed(local, "event", {"kind": "started"})
    assert unsealed("event", local.get("event")) == {"kind": "started"}


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO])
def test_what_a_network_disk_refuses_for_a_moment_is_tried_again(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    local = LocalStore(tmp_path, policy=RetryPolicy(patience=5.0, sleep=waits.append, clock=lambda: sum(waits)))
    _fails_first(monkeypatch, os, "link", code)
    local.put("a/b", b"x")
    for where, name in ((os, "stat"), (os, "unlink"), (os, "scandir"), (builtins, "open")):
        _fails_first(monkeypatch, where, name, code)
    assert (local.get("a/b"), local.size("a/b"), list(local.list(""))) == (b"x", 1, ["a/b"])
    local.delete("a/b")
    assert not local.exists("a/b")
    assert len(waits) == 5, "each was tried once more"

    def broken(*given: object, **named: object) -> None:
        raise OSError(code, "broken")

    monkeypatch.setattr(os, "stat", broken)
    with pytest.raises(UnavailableError, match="broken"):
        local.size("a")


def _fails_first(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, code: int) -> None:
    usual, failed = getattr(where, name), list[bool]()

    def once(*given: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise OSError(code, "stale")
        return usual(*given, **named)

    monkeypatch.setattr(where, name, once)


def test_a_link_that_was_made_although_it_failed_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalStore(tmp_path, policy=RetryPolicy(sleep=lambda seconds: None))
    usual, failed = os.link, list[bool]()

    def link(source: str, target: str) -> None:
        usual(source, target)
        if not failed:
            failed.append(True)
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", link)
    local.put("a", b"x")
    assert local.get("a") == b"x"
    with pytest.raises(ExistsError):
        local.put("a", b"y")
