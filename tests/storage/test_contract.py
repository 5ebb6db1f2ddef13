"""What every backend promises. Runs over each entry of `tests/stores.py's STORES`."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.base import Store
from storage.errors import ExistsError, NotFoundError
from storage.uri import check_store

BAD_KEYS = (
    "",
    "/a",
    "a/",
    "a//b",
    "..",
    "a/../b",
    "../a",
    "a/./b",
    ".hidden",
    "a/.b",
    "a..b",
    "ä",
    "a b",
    "a\0",
    "a\n",
    "-a",
    "a" * 129,
)
VERBS: dict[str, Callable[[Store, str, Path], object]] = {
    "put": lambda store, key, _: store.put(key, b""),
    "get": lambda store, key, _: store.get(key),
    "fetch": lambda store, key, folder: store.fetch(key, folder / "target"),
    "exists": lambda store, key, _: store.exists(key),
    "size": lambda store, key, _: store.size(key),
    "delete": lambda store, key, _: store.delete(key),
}


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
def test_gives_back_what_was_put(store: Store, tmp_path: Path, data: bytes) -> None:
    store.put("a/b.bin", data)
    assert store.get("a/b.bin") == data
    assert store.size("a/b.bin") == len(data)
    assert store.exists("a/b.bin")
    assert store.fetch("a/b.bin", tmp_path / "new" / "target").read_bytes() == data


def test_a_file_is_streamed_in(store: Store, tmp_path: Path) -> None:
    data = os.urandom(17 << 20)  # above the threshold for parts
    (tmp_path / "source").write_bytes(data)
    store.put("big", tmp_path / "source")
    assert store.size("big") == len(data)
    assert store.fetch("big", tmp_path / "target").read_bytes() == data
    with pytest.raises(ExistsError):
        store.put("big", tmp_path / "source")


@pytest.mark.parametrize("as_file", [False, True])
def test_a_key_is_written_once(store: Store, tmp_path: Path, as_file: bool) -> None:
    (tmp_path / "source").write_bytes(b"second")
    second = tmp_path / "source" if as_file else b"second"
    store.put("key", b"first")
    with pytest.raises(ExistsError, match="key"):
        store.put("key", second)
    with pytest.raises(ExistsError, match="key"):
        store.put("key", b"first")
    assert store.get("key") == b"first"
    store.put("key", second, replace=True)
    assert store.get("key") == b"second"
    store.put("new", second, replace=True)
    assert store.get("new") == b"second"


def test_check_store_leaves_nothing(store: Store) -> None:
    check_store(store)
    assert list(store.list("")) == []


@pytest.mark.parametrize("verb", ["get", "fetch", "size"])
def test_what_is_not_there_is_not_found(store: Store, tmp_path: Path, verb: str) -> None:
    store.put("a/b", b"")
    for key in ("missing", "a/missing", "missing/b"):
        with pytest.raises(NotFoundError, match=key):
            VERBS[verb](store, key, tmp_path)
    assert not store.exists("missing")
    assert not store.exists("a")
    assert not (tmp_path / "target").exists()


def test_a_folder_is_no_key(store: Store, tmp_path: Path) -> None:
    store.put("a/b", b"")
    for verb in ("get", "fetch", "size"):
        with pytest.raises(NotFoundError, match="a"):
            VERBS[verb](store, "a", tmp_path)


def test_delete(store: Store) -> None:
    store.put("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/there")
    assert not store.exists("a/b")
    store.put("a/b", b"2")
    assert store.get("a/b") == b"2"


def test_list_is_in_lexical_order(store: Store) -> None:
    keys = ["a/b", "a/b-c", "a-b/c", "a.b", "a0", "b/c/d", "b/c.d", "b/c-d/e", "B", "a/b0/c"]
    for key in keys:
        if key != "a/b":  # would be the folder of another
            store.put(key, b"")
    keys.remove("a/b")
    assert list(store.list("")) == sorted(keys)
    for prefix in ("a", "a/", "a/b", "a/b-", "b/c", "b/c/", "z", "z/", "b/c/d", "a/b-c/x"):
        assert list(store.list(prefix)) == sorted(key for key in keys if key.startswith(prefix)), prefix


def test_list_of_many(store: Store) -> None:
    keys = [f"n/{number:05d}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert list(store.list("n/")) == keys


def test_what_is_listed_may_be_removed(store: Store) -> None:
    for number in range(5):
        store.put(f"n/{number}", b"")
    for key in store.list("n/"):
        store.delete(key)
    assert list(store.list("")) == []


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys_are_refused(store: Store, tmp_path: Path, key: str) -> None:
    for verb in VERBS.values():
        with pytest.raises(ValueError, match="name in the store"):
            verb(store, key, tmp_path)
    assert list(store.list("")) == []


@pytest.mark.parametrize("prefix", ["/", "..", "../", "a/../", "a//", "ä", ".", "a/."])
def test_bad_prefixes_are_refused(store: Store, prefix: str) -> None:
    with pytest.raises(ValueError, match="store"):
        list(store.list(prefix))


@pytest.mark.parametrize("store", ["ceph", "file", "memory"], indirect=True)
def test_one_of_many_writers_wins(store: Store) -> None:
    """Not on moto, which looks for the key and writes it in two steps."""
    barrier = threading.Barrier(8)

    def write(number: int) -> int | None:
        barrier.wait()
        try:
            store.put("contended", str(number).encode())
        except ExistsError:
            return None
        return number

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            winners = [number for number in pool.map(write, range(8)) if number is not None]
        assert winners == [int(store.get("contended"))]
        store.delete("contended")


def test_a_replaced_key_is_never_half(store: Store) -> None:
    store.put("key", b"a" * 100_000)
    done = threading.Event()

    def replace() -> None:
        for number in range(40):
            store.put("key", (b"a" if number % 2 else b"b") * 100_000, replace=True)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(replace)
        while not done.is_set() and not writing.done():
            data = store.get("key")
            assert len(data) == 100_000
            assert len(set(data)) == 1
        writing.result()


def test_the_uri_holds_no_secret(store: Store) -> None:
    assert "planted-secret" not in store.uri
    assert "testkey" not in store.uri


def test_entries_are_what_is_listed_with_size_and_age(store: Store) -> None:
    for number in range(3):
        store.put(f"n/{number}", b"x" * number)
    store.put("other", b"")
    entries = list(store.entries("n/"))
    assert [(entry.key, entry.size) for entry in entries] == [("n/0", 0), ("n/1", 1), ("n/2", 2)]
    assert all(-2 < entry.age < 60 for entry in entries)
    assert list(store.leftovers()) == []


def test_what_a_key_holds_is_told_without_moving_it(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    assert store.holds("a", file) is False
    store.put("a", file)
    assert store.holds("a", file) in (True, None)
    for other in (b"longer content", b"Content"):
        store.put("a", other, replace=True)
        assert store.holds("a", file) in (False, None)
