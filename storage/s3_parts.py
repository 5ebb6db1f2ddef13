"""Large objects to and from S3 in parts. Several parts are sent at a time, each with its own retries.

An interrupted upload stays on the server. The next put of the same key asks for its parts. If they equal the parts of
the file, only the missing ones are sent. Parts are compared by their ETag, which is their MD5. On servers that encrypt
with their own key it is not, and all parts are sent again.

Contents are never mixed: if another writer replaces a part, the server refuses the completion and the upload starts
again. `python -m storage.gc` removes uploads that are never continued.
"""

import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from storage.base import Leftover
from storage.errors import ExistsError, NotFoundError, UnavailableError
from storage.parallel import ordered
from storage.s3_requests import Bucket, code, seconds_since

PART = 16 << 20
"""Bytes of a part. Objects up to this size take one request."""
_MOST_PARTS = 10_000
_AT_A_TIME = 8
_CHUNK = 256 << 10  # with 1 MB, allocating memory takes as much CPU time as all else
_FACTS = ("PartNumber", "ETag", "ChecksumCRC32")  # fields of each part that the completion repeats


@dataclass(frozen=True)
class _Upload:
    """One multipart upload of `path` to `key`."""

    bucket: Bucket
    key: str
    path: Path
    id: str
    kept: Mapping[int, Mapping[str, Any]]
    """The parts that the server has already, by number from 1."""

    @property
    def where(self) -> dict[str, Any]:
        return {**self.bucket.where(self.key), "UploadId": self.id}


def put_parts(bucket: Bucket, key: str, path: Path, *, once: bool) -> None:
    """Upload a file that is larger than a part.

    Raises:
        ExistsError: `once` is True and `key` holds something.
        UnavailableError: The server cannot be reached, or other writers ended three uploads of `key`.
    """
    for _ in range(3):
        _require_absent(bucket, key, once=once)
        upload = _resumed_upload(bucket, key, path) or _new_upload(bucket, key, path)
        try:
            parts = list(ordered(partial(_ensure_part, upload), _numbers(path), _AT_A_TIME))
            _require_absent(bucket, key, once=once)
            _complete(upload, parts, once=once)
        except NotFoundError:
            continue  # another writer completed, changed or removed this upload: start again
        except ExistsError:
            _abort(upload)
            raise
        return
    raise UnavailableError(f"cannot write {key} in {bucket.uri}: other writers ended three uploads of it")


def holds_file(bucket: Bucket, key: str, path: Path) -> bool | None:
    """Return whether `key` holds the bytes of a file, by its length and ETag; None if the ETag does not tell.

    What is trusted: the ETag is the MD5 of the bytes that the server received, or of the MD5s of their parts. So a
    damaged transfer is noticed, and so are other bytes, but not a disk that damages an object later: servers check
    that themselves, `storage.verify` reads every byte, and so does whoever uses the object. Encrypted with a key of
    its owner, or written in parts of another size, an object has another ETag, which tells nothing.
    """
    try:
        stored = bucket.call("read", key, lambda _: bucket.client.head_object(**bucket.where(key)))
    except NotFoundError:
        return False
    if stored["ContentLength"] != path.stat().st_size:
        return False
    return True if stored["ETag"].strip('"') == _etag(path) else None


def _etag(path: Path) -> str:
    """Return the ETag that a file gets when it is stored."""
    if path.stat().st_size <= PART:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return _joined_etag([_part_md5(path, number) for number in _numbers(path)])


def _joined_etag(parts: Sequence[str]) -> str:
    """Return the ETag of an object of several parts: the MD5 of their MD5s."""
    digests = b"".join(map(bytes.fromhex, parts))
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _part_md5(path: Path, number: int) -> str:
    with _mapped(path, number) as data:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()


def fetch_parts(bucket: Bucket, key: str, target: Path) -> None:
    """Write the bytes of `key` to the new file `target`: a small object in one request, a large one in parts."""
    with open(target, "wb") as file:
        size, etag = bucket.call("read", key, lambda _: _fetch_start(bucket, key, file.fileno()))
        fetch = partial(_fetch_part, bucket, key, file.fileno(), etag)
        for _ in ordered(fetch, range(PART, size, PART), _AT_A_TIME):
            pass


def incomplete_uploads(bucket: Bucket) -> Iterator[Leftover]:
    """Yield the uploads below the bucket's prefix that are not complete; see `Store.leftovers`."""
    for page in bucket.pages("list_multipart_uploads", "", Prefix=bucket.prefix):
        for item in page.get("Uploads", ()):
            upload = _Upload(bucket, item["Key"].removeprefix(bucket.prefix), Path(), item["UploadId"], {})
            size = sum(part["Size"] for part in _stored_parts(upload))
            age = seconds_since(item["Initiated"], page)
            yield Leftover(f"upload of {upload.key}", size, age, partial(_abort, upload))


def _require_absent(bucket: Bucket, key: str, *, once: bool) -> None:
    if not once:
        return
    try:
        bucket.call("read", key, lambda _: bucket.client.head_object(**bucket.where(key)))
    except NotFoundError:
        return
    raise ExistsError(f"{key} in {bucket.uri} was written before")


def _new_upload(bucket: Bucket, key: str, path: Path) -> _Upload:
    answer = bucket.call("write", key, lambda _: bucket.client.create_multipart_upload(**bucket.where(key)))
    return _Upload(bucket, key, path, answer["UploadId"], {})


def _resumed_upload(bucket: Bucket, key: str, path: Path) -> _Upload | None:
    """Return an incomplete upload whose parts all equal those of the file, or None."""
    full = bucket.where(key)["Key"]
    try:
        identifiers = [
            upload["UploadId"]
            for page in bucket.pages("list_multipart_uploads", key, Prefix=full)
            for upload in page.get("Uploads", ())
            if upload["Key"] == full
        ]
    except UnavailableError:
        return None  # the account may not list uploads, but may start a new one
    for identifier in identifiers:
        upload = _Upload(bucket, key, path, identifier, {})
        try:
            parts = {part["PartNumber"]: part for part in _stored_parts(upload)}
        except NotFoundError:
            continue  # ended after the listing
        if parts and all(_is_equal(path, part) for part in parts.values()):
            return replace(upload, kept=parts)
    return None


def _stored_parts(upload: _Upload) -> Iterator[Mapping[str, Any]]:
    """Yield the parts that the server has."""
    for page in upload.bucket.pages("list_parts", upload.key, **upload.where):
        yield from page.get("Parts", ())


def _is_equal(path: Path, part: Mapping[str, Any]) -> bool:
    if part["PartNumber"] not in _numbers(path):
        return False
    return bool(part["ETag"].strip('"') == _part_md5(path, part["PartNumber"]))


def _ensure_part(upload: _Upload, number: int) -> dict[str, Any]:
    """Upload one part, unless the server has it. Return the fields that the completion repeats."""
    part = upload.kept.get(number)
    if part is None:
        with upload.bucket.parts:
            part = upload.bucket.call("write", upload.key, lambda _: _send(upload, number))
    return {name: part[name] for name in _FACTS if name in part}


def _send(upload: _Upload, number: int) -> dict[str, Any]:
    with _mapped(upload.path, number) as data:
        answer = upload.bucket.client.upload_part(**upload.where, PartNumber=number, Body=data)
    return {**answer, "PartNumber": number}


def _complete(upload: _Upload, parts: list[dict[str, Any]], *, once: bool) -> None:
    """Complete the upload, which makes the object visible. If an answer is lost, the retry finds it complete."""
    client = upload.bucket.client
    where = {**upload.where, "MultipartUpload": {"Parts": parts}}
    condition = {"IfNoneMatch": "*"} if once else {}
    tries = []

    def attempt(number: int) -> None:
        tries.append(number)
        client.complete_multipart_upload(**where, **condition)

    try:
        upload.bucket.call("write", upload.key, attempt)
    except (NotFoundError, ExistsError):
        if len(tries) == 1 or not _is_there(upload, parts):
            raise
    except UnavailableError as error:
        if code(error.__cause__) != "NotImplemented":
            raise
        upload.bucket.call("write", upload.key, lambda _: client.complete_multipart_upload(**where))


def _is_there(upload: _Upload, parts: list[dict[str, Any]]) -> bool:
    """Return whether `key` holds exactly these parts."""
    expected = _joined_etag([part["ETag"].strip('"') for part in parts])
    where = upload.bucket.where(upload.key)
    try:
        answer = upload.bucket.call("read", upload.key, lambda _: upload.bucket.client.head_object(**where))
    except NotFoundError:
        return False
    return bool(answer["ETag"].strip('"') == expected)


def _abort(upload: _Upload) -> None:
    try:
        client = upload.bucket.client
        upload.bucket.call("end the upload of", upload.key, lambda _: client.abort_multipart_upload(**upload.where))
    except NotFoundError:
        return  # it ended already


def _fetch_start(bucket: Bucket, key: str, file: int) -> tuple[int, str]:
    """Copy the first part of an object to the open file. Return the size of the whole object and its ETag."""
    try:
        answer = bucket.client.get_object(**bucket.where(key), Range=f"bytes=0-{PART - 1}")
    except ClientError as error:
        if code(error) in ("InvalidRange", "416"):
            return 0, ""  # the object is empty
        raise
    _copy(answer["Body"], file, 0)
    size = answer["ContentRange"].rpartition("/")[2] if "ContentRange" in answer else answer["ContentLength"]
    return int(size), answer["ETag"]


def _fetch_part(bucket: Bucket, key: str, file: int, etag: str, start: int) -> None:
    """Copy the part of an object that starts at byte `start` to the same offset of the open file."""
    where = {**bucket.where(key), "Range": f"bytes={start}-{start + PART - 1}", "IfMatch": etag}
    with bucket.parts:
        try:
            bucket.call("read", key, lambda _: _copy(bucket.client.get_object(**where)["Body"], file, start))
        except ExistsError as error:  # the ETag differs
            raise UnavailableError(f"{key} in {bucket.uri} was replaced while it was read") from error


def _copy(body: Any, file: int, offset: int) -> None:
    with closing(body):
        for chunk in body.iter_chunks(_CHUNK):
            offset += os.pwrite(file, chunk, offset)


def _numbers(path: Path) -> range:
    """Return the numbers of a file's parts."""
    size = path.stat().st_size
    return range(1, -(-size // _part_size(size)) + 1)


def _part_size(size: int) -> int:
    return max(PART, -(-size // _MOST_PARTS // _CHUNK) * _CHUNK)


@contextmanager
def _mapped(path: Path, number: int) -> Iterator[mmap.mmap]:
    """Yield the bytes of one part of a file, memory-mapped."""
    size = path.stat().st_size
    start = (number - 1) * _part_size(size)
    with open(path, "rb") as file:
        length = min(_part_size(size), size - start)
        with mmap.mmap(file.fileno(), length, offset=start, access=mmap.ACCESS_READ) as data:
            yield data
