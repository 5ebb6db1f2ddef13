"""Large objects on S3: interrupted uploads go on, contents are never mixed, put-once holds where the server lets it."""

import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ExistsError, UnavailableError
from storage.s3 import S3Store
from tests.programs import ROOT, program
from tests.servers.ceph import Ceph
from tests.storage.test_s3 import Client, failure, without_conditions

PART = 5 << 20  # the smallest that servers take
SIZE = 3 * PART + 12345


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.s3_parts.PART", PART)
    monkeypatch.setattr("storage.s3.PART", PART)


@pytest.fixture(params=["s3_store", "ceph_store"])
def remote(request: pytest.FixtureRequest) -> S3Store:
    return emptied(request.getfixturevalue(request.param))


@pytest.fixture
def real(ceph_store: S3Store) -> S3Store:
    """Where moto answers otherwise than servers do (500 for an upload that was ended), or is slow."""
    return emptied(ceph_store)


def emptied(store: S3Store) -> S3Store:
    for leftover in store.leftovers():
        leftover.remove()
    for key in store.list(""):
        store.delete(key)
    return store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(os.urandom(SIZE))
    return tmp_path / "source"


class Counted:
    """Counts the parts that are sent, and lets only some through."""

    def __init__(self, store: S3Store, monkeypatch: pytest.MonkeyPatch, *, allowed: int = 1000) -> None:
        self.numbers: list[int] = []
        self.allowed = allowed
        self._real = store._bucket.client
        monkeypatch.setattr(store._bucket, "client", Client(self._real, upload_part=self._upload))

    def _upload(self, **where: Any) -> Any:
        if where["PartNumber"] > self.allowed:
            raise failure("AccessDenied", 403)
        self.numbers.append(where["PartNumber"])
        return self._real.upload_part(**where)


def test_an_interrupted_upload_goes_on_where_it_was(
    remote: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(remote, monkeypatch, allowed=2)
    with pytest.raises(UnavailableError, match=r"cannot write a/big in s3://.*AccessDenied"):
        remote.put("a/big", source)
    assert not remote.exists("a/big")
    (leftover,) = remote.leftovers()
    assert (leftover.name, leftover.size) == ("upload of a/big", 2 * PART)
    counted.allowed = 1000
    counted.numbers.clear()
    remote.put("a/big", source)
    assert sorted(counted.numbers) == [3, 4]
    assert remote.fetch("a/big", source.with_name("target")).read_bytes() == source.read_bytes()
    assert list(remote.leftovers()) == []


def test_an_upload_is_as_old_as_its_server_says(real: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Counted(real, monkeypatch, allowed=1)
    with pytest.raises(UnavailableError):
        real.put("big", source)
    (leftover,) = real.leftovers()
    assert -2 < leftover.age < 60


@pytest.mark.parametrize("change", ["first part", "last part", "shorter"])
def test_an_upload_of_other_bytes_is_not_continued(
    real: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    counted = Counted(real, monkeypatch, allowed=3)
    with pytest.raises(UnavailableError):
        real.put("big", source)
    counted.allowed = 1000
    data = bytearray(source.read_bytes())
    if change == "shorter":
        del data[2 * PART :]
    else:
        data[0 if change == "first part" else 3 * PART - 1] ^= 1
    source.write_bytes(data)
    real.put("big", source)
    assert real.get("big") == bytes(data)
    (leftover,) = real.leftovers()
    leftover.remove()
    leftover.remove()
    assert list(real.leftovers()) == []


def lost_once(real: Callable[..., Any]) -> Callable[..., Any]:
    """Let the server do it, and lose its first answer."""
    calls = []

    def call(**where: Any) -> Any:
        answer = real(**where)
        calls.append(where)
        if len(calls) == 1:
            raise failure("InternalError", 500)
        return answer

    return call


def test_a_completion_whose_answer_was_lost(remote: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = remote._bucket.client
    client = Client(real, complete_multipart_upload=lost_once(real.complete_multipart_upload))
    monkeypatch.setattr(remote._bucket, "client", client)
    remote.put("big", source)
    assert remote.get("big") == source.read_bytes()
    with pytest.raises(ExistsError):
        remote.put("big", source)


@pytest.mark.long
def test_memory_is_bounded_however_large_the_object(ceph: Ceph, tmp_path: Path) -> None:
    with open(tmp_path / "source", "wb") as file:
        file.truncate(120 << 20)
    command = program("there_and_back", tmp_path / "source")
    environment = {**os.environ, **ceph.environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 << 20, "eight parts of 5 MB at a time, and what a client takes"


def test_who_completes_later_is_told(s3_store: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writes the key between our last look and our completion; needs a server with conditional completion."""
    s3_store.delete("raced")
    real = s3_store._bucket.client

    def complete(**where: Any) -> Any:
        real.put_object(Bucket=where["Bucket"], Key=where["Key"], Body=b"theirs")
        return real.complete_multipart_upload(**where)

    monkeypatch.setattr(s3_store._bucket, "client", Client(real, complete_multipart_upload=complete))
    with pytest.raises(ExistsError):
        s3_store.put("raced", source)
    assert s3_store.get("raced") == b"theirs"
    assert list(s3_store.leftovers()) == []


def test_a_server_that_knows_no_conditional_completion(
    s3_store: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_store.delete("big")
    client = without_conditions(s3_store._bucket.client, "complete_multipart_upload")
    monkeypatch.setattr(s3_store._bucket, "client", client)
    s3_store.put("big", source)
    assert s3_store.size("big") == SIZE
    with pytest.raises(ExistsError):
        s3_store.put("big", source)


def test_an_upload_that_was_removed_meanwhile_begins_anew(
    real: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = real._bucket.client
    removed: list[str] = []

    def upload(**where: Any) -> Any:
        if where["PartNumber"] == 4 and not removed:
            removed.append(where["UploadId"])
            client.abort_multipart_upload(Bucket=where["Bucket"], Key=where["Key"], UploadId=where["UploadId"])
        return client.upload_part(**where)

    monkeypatch.setattr(real._bucket, "client", Client(client, upload_part=upload))
    real.put("big", source)
    assert removed
    assert real.get("big") == source.read_bytes()


def test_writers_of_one_blob_do_not_harm_each_other(real: S3Store, source: Path) -> None:
    barrier = threading.Barrier(4)

    def write(_: int) -> bool:
        barrier.wait()
        try:
            real.put("big", source)
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert any(pool.map(write, range(4)))
    assert real.get("big") == source.read_bytes()


def test_who_may_not_list_uploads_can_still_write(real: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: Any) -> Any:
        raise failure("AccessDenied", 403)

    monkeypatch.setattr(real._bucket, "client", Client(real._bucket.client, list_multipart_uploads=refused))
    real.put("big", source)
    assert real.size("big") == SIZE


def test_an_object_replaced_while_it_is_read(real: S3Store, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real.put("big", source)
    client = real._bucket.client

    def get_object(**where: Any) -> Any:
        if where.get("Range", "").startswith(f"bytes={2 * PART}-"):
            client.put_object(Bucket=where["Bucket"], Key=where["Key"], Body=bytes(SIZE))
        return client.get_object(**where)

    monkeypatch.setattr(real._bucket, "client", Client(client, get_object=get_object))
    with pytest.raises(UnavailableError, match="replaced while it was read"):
        real.fetch("big", source.with_name("target"))
    assert not source.with_name("target").exists()
