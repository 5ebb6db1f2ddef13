"""The cache: bounded, oldest out, never what is in use, shared by processes that may be killed."""

import mmap
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.cache import Cache
from storage.content import File, file_at
from storage.local import LocalStore
from storage.memory import MemoryStore
from tests.programs import ROOT, program

SIZE = 10_000


def content(number: int) -> bytes:
    return bytes([number]) * SIZE


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for number in range(20):
        store.put(f"blobs/{number}", content(number))
    return store


@pytest.fixture
def fetch(store: MemoryStore, tmp_path: Path) -> Callable[[Cache, int], Path]:
    files: dict[int, File] = {}
    for number in range(20):
        (tmp_path / "content").write_bytes(content(number))
        files[number] = file_at(tmp_path / "content")
    return lambda cache, number: cache.fetch(store, f"blobs/{number}", files[number])


Fetch = Callable[[Cache, int], Path]


def held(folder: Path) -> set[int]:
    return {int(path.name) for path in (folder / "blobs").iterdir() if not path.name.startswith(".")}


def opened(folder: Path, files: float) -> Cache:
    return Cache(folder, limit=int(files * SIZE))


def test_what_was_used_longest_ago_goes(tmp_path: Path, fetch: Fetch) -> None:
    for number in (0, 1, 2, 3, 0):  # each by a process that is then gone
        assert fetch(opened(tmp_path / "cache", 4.0), number).read_bytes() == content(number)
        time.sleep(0.01)
    assert held(tmp_path / "cache") == {0, 1, 2, 3}
    fetch(opened(tmp_path / "cache", 4.0), 4)
    assert held(tmp_path / "cache") == {0, 3, 4}  # and a tenth of the limit is free
    assert fetch(opened(tmp_path / "cache", 4.0), 1).read_bytes() == content(1)


def test_what_this_process_uses_stays(tmp_path: Path, fetch: Fetch) -> None:
    cache = opened(tmp_path / "cache", 3.0)
    paths = [fetch(cache, number) for number in range(8)]
    assert [path.read_bytes() for path in paths] == [content(number) for number in range(8)]
    del cache
    fetch(opened(tmp_path / "cache", 3.0), 9)
    assert 9 in held(tmp_path / "cache")
    assert len(held(tmp_path / "cache")) <= 3


def test_a_mapped_file_survives_its_removal(tmp_path: Path, fetch: Fetch) -> None:
    cache = opened(tmp_path / "cache", 1.5)
    with open(fetch(cache, 0), "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    del cache
    time.sleep(0.01)
    fetch(opened(tmp_path / "cache", 1.5), 1)
    assert held(tmp_path / "cache") == {1}
    assert mapped[:] == content(0)


def test_a_damaged_copy_is_fetched_again(tmp_path: Path, fetch: Fetch) -> None:
    cache = opened(tmp_path / "cache", 4.0)
    path = fetch(cache, 0)
    path.write_bytes(b"damaged")
    assert fetch(cache, 0).read_bytes() == content(0)


def test_a_local_store_needs_no_cache(local: LocalStore, tmp_path: Path, fetch: Fetch) -> None:
    local.put("a", b"data")
    (tmp_path / "same").write_bytes(b"data")
    path = opened(tmp_path / "cache", 4.0).fetch(local, "a", file_at(tmp_path / "same"))
    assert path == tmp_path / "store" / "a"
    assert not (tmp_path / "cache").exists()


def test_without_a_limit_half_of_the_free_disk_is_left(
    tmp_path: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 3 * SIZE

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    for number in range(3):  # 1 + 3 free: 2 may stay; 2 + 3 free: 2.5; 3 + 3 free: 3, and a tenth less
        fetch(Cache(tmp_path / "cache"), number)
        time.sleep(0.01)
    assert held(tmp_path / "cache") == {0, 1, 2}
    Usage.free = SIZE
    fetch(Cache(tmp_path / "cache"), 3)
    assert held(tmp_path / "cache") == {2, 3}


def test_the_environment_of_a_machine_bounds_its_copies(
    tmp_path: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINDSWEEP_CACHE_GB", str(2.5 * SIZE / 1e9))
    for number in range(3):
        fetch(Cache(tmp_path / "cache"), number)
        time.sleep(0.01)
    assert held(tmp_path / "cache") == {1, 2}
    monkeypatch.setenv("MINDSWEEP_CACHE_GB", "")
    Cache(tmp_path / "cache")  # as if it were not set
    for wrong in ("0", "-1", "nan", "inf", "20G"):
        monkeypatch.setenv("MINDSWEEP_CACHE_GB", wrong)
        with pytest.raises(ValueError, match=f"number of gigabytes above 0, but is '{wrong}'"):
            Cache(tmp_path / "cache")


def test_a_download_that_was_killed_is_removed_a_day_later(tmp_path: Path, fetch: Fetch) -> None:
    (tmp_path / "cache" / "blobs").mkdir(parents=True)
    old, new = (tmp_path / "cache" / "blobs" / f".tmp-{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    fetch(opened(tmp_path / "cache", 4.0), 0)
    assert not old.exists()
    assert new.exists()


def process(folder: Path, *, files: int, numbers: list[int], hold: bool) -> subprocess.Popen[str]:
    command = program("cache_reader", folder, files * SIZE, ",".join(map(str, numbers)), *["hold"] * hold)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_what_another_process_uses_stays_until_it_dies(tmp_path: Path, fetch: Fetch) -> None:
    other = process(tmp_path / "cache", files=2, numbers=[0, 1, 2], hold=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "done\n"
    fetch(opened(tmp_path / "cache", 2.0), 3)
    fetch(opened(tmp_path / "cache", 2.0), 4)
    assert held(tmp_path / "cache") == {0, 1, 2, 4}
    other.kill()
    other.communicate()
    fetch(opened(tmp_path / "cache", 2.0), 5)
    assert held(tmp_path / "cache") == {5}
    assert len(list((tmp_path / "cache" / ".users").iterdir())) <= 2


def test_processes_that_crowd_each_other_out_read_what_they_asked_for(tmp_path: Path) -> None:
    numbers = [(7 * step) % 20 for step in range(50)]
    crowd = [process(tmp_path / "cache", files=3, numbers=numbers[start:], hold=False) for start in (0, 5)]
    outcomes = [(worker.communicate(), worker.returncode) for worker in crowd]
    assert [(out, err, status) for (out, err), status in outcomes] == [("done\n", "", 0)] * 2
    assert len(held(tmp_path / "cache")) <= 3 + 2
