"""Large objects to and from S3 in parts: several at a time, each tried again by itself, uploads resumable.

An upload that was interrupted stays on the server. The next put of the same key asks which parts are there, and sends
only the missing ones if those there are equal to the file's (their ETag is the MD5 that S3 gives a part; where a
server encrypts with a key of its own it is not, and all is sent again). So no two contents are ever mixed: a part that
another writer replaced in between makes the server refuse the completion, and the upload begins anew. Uploads that
nobody continues are removed by `python -m storage.gc`.
"""

import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping
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
"""Bytes of a part, and the size up to which an object goes in one request."""
_MOST_PARTS = 10_000
_AT_A_TIME = 8
_CHUNK = 256 << 10  # of a megabyte, the processor spends as long on fresh pages of memory as on all else
_FACTS = ("PartNumber", "ETag", "ChecksumCRC32")  # what the completion repeats of each part


@dataclass(frozen=True)
class _Upload:
    """One multipart upload of `path` to `key`."""

    bucket: Bucket
    key: str
    path: Path
    id: str
    kept: Mapping[int, Mapping[str, Any]]
    """The parts that the server holds already, by number from 1."""

    @property
    def where(self) -> dict[str, Any]:
        return {**self.bucket.where(self.key), "UploadId": self.id}


def put_parts(bucket: Bucket, key: str, path: Path, *, once: bool) -> None:
    """Upload a file that is larger than a part; `once`: raise `ExistsError` if `key` holds something."""
    for _ in range(3):
        _require_absent(bucket, key, once=once)
        upload = _continued(bucket, key, path) or _begun(bucket, key, path)
        try:
            parts = list(ordered(partial(_sent, upload), _numbers(path), _AT_A_TIME))
            _require_absent(bucket, key, once=once)
            _complete(upload, parts, once=once)
        except NotFoundError:
            continue  # another writer completed, changed or removed this upload: look again
        except ExistsError:
            _abort(upload)
            raise
        return
    raise UnavailableError(f"cannot write {key} in {bucket.uri}: other writers ended three uploads of it")


def fetch_parts(bucket: Bucket, key: str, target: Path) -> None:
    """Write what `key` holds to the new file `target`: a small object in one request, a large one part by part."""
    with open(target, "wb") as file:
        size, etag = bucket.call("read", key, lambda _: _fetch_start(bucket, key, file.fileno()))
        fetch = partial(_fetch_part, bucket, key, file.fileno(), etag)
        for _ in ordered(fetch, range(PART, size, PART), _AT_A_TIME):
            pass


def unfinished(bucket: Bucket) -> Iterator[Leftover]:
    """Yield the uploads below the bucket's prefix that were begun and not completed; see `Store.leftovers`."""
    for page in bucket.pages("list_multipart_uploads", "", Prefix=bucket.prefix):
        for found in page.get("Uploads", ()):
            upload = _Upload(bucket, found["Key"].removeprefix(bucket.prefix), Path(), found["UploadId"], {})
            size = sum(part["Size"] for part in _held(upload))
            age = seconds_since(found["Initiated"], page)
            yield Leftover(f"upload of {upload.key}", size, age, partial(_abort, upload))


def _require_absent(bucket: Bucket, key: str, *, once: bool) -> None:
    if not once:
        return
    try:
        bucket.call("read", key, lambda _: bucket.client.head_object(**bucket.where(key)))
    except NotFoundError:
        return
    raise ExistsError(f"{key} in {bucket.uri} was written before")


def _begun(bucket: Bucket, key: str, path: Path) -> _Upload:
    answer = bucket.call("write", key, lambda _: bucket.client.create_multipart_upload(**bucket.where(key)))
    return _Upload(bucket, key, path, answer["UploadId"], {})


def _continued(bucket: Bucket, key: str, path: Path) -> _Upload | None:
    """Return an unfinished upload all of whose parts are equal to the file's, or None."""
    full = bucket.where(key)["Key"]
    try:
        found = [
            upload["UploadId"]
            for page in bucket.pages("list_multipart_uploads", key, Prefix=full)
            for upload in page.get("Uploads", ())
            if upload["Key"] == full
        ]
    except UnavailableError:
        return None  # not everybody may list uploads; who may write can begin a new one
    for identifier in found:
        upload = _Upload(bucket, key, path, identifier, {})
        try:
            held = {part["PartNumber"]: part for part in _held(upload)}
        except NotFoundError:
            continue  # ended since it was listed
        if held and all(_is_equal(path, part) for part in held.values()):
            return replace(upload, kept=held)
    return None


def _held(upload: _Upload) -> Iterator[Mapping[str, Any]]:
    """Yield the parts that the server holds."""
    for page in upload.bucket.pages("list_parts", upload.key, **upload.where):
        yield from page.get("Parts", ())


def _is_equal(path: Path, part: Mapping[str, Any]) -> bool:
    if part["PartNumber"] not in _numbers(path):
        return False
    with _mapped(path, part["PartNumber"]) as data:
        return bool(part["ETag"].strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest())


def _sent(upload: _Upload, number: int) -> dict[str, Any]:
    """Upload one part, unless the server holds it, and return what the completion must say of it."""
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
    """Make the object appear. A completion whose answer was lost finds its own work when it is repeated."""
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
    """Tell whether `key` holds what these parts make: S3 names a multipart object by the MD5 of its parts' MD5s."""
    digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    expected = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
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
        return  # ended already


def _fetch_start(bucket: Bucket, key: str, file: int) -> tuple[int, str]:
    """Copy the first part of an object to the open file; return the size of all of it and its ETag."""
    try:
        answer = bucket.client.get_object(**bucket.where(key), Range=f"bytes=0-{PART - 1}")
    except ClientError as error:
        if code(error) in ("InvalidRange", "416"):
            return 0, ""  # even its first byte is not there
        raise
    _copy(answer["Body"], file, 0)
    whole = answer["ContentRange"].rpartition("/")[2] if "ContentRange" in answer else answer["ContentLength"]
    return int(whole), answer["ETag"]


def _fetch_part(bucket: Bucket, key: str, file: int, etag: str, start: int) -> None:
    """Copy the part of an object that begins at byte `start` to the same place of the open file."""
    where = {**bucket.where(key), "Range": f"bytes={start}-{start + PART - 1}", "IfMatch": etag}
    with bucket.parts:
        try:
            bucket.call("read", key, lambda _: _copy(bucket.client.get_object(**where)["Body"], file, start))
        except ExistsError as error:  # the condition failed
            raise UnavailableError(f"{key} in {bucket.uri} was replaced while it was read") from error


def _copy(body: Any, file: int, place: int) -> None:
    with closing(body):
        for chunk in body.iter_chunks(_CHUNK):
            place += os.pwrite(file, chunk, place)


def _numbers(path: Path) -> range:
    """Return the numbers of a file's parts."""
    size = path.stat().st_size
    return range(1, -(-size // _part_size(size)) + 1)


def _part_size(size: int) -> int:
    return max(PART, -(-size // _MOST_PARTS // _CHUNK) * _CHUNK)


@contextmanager
def _mapped(path: Path, number: int) -> Iterator[mmap.mmap]:
    """Give the bytes of one part of a file without reading them into memory."""
    size = path.stat().st_size
    start = (number - 1) * _part_size(size)
    with open(path, "rb") as file:
        length = min(_part_size(size), size - start)
        with mmap.mmap(file.fileno(), length, offset=start, access=mmap.ACCESS_READ) as data:
            yield data
