"""`s3://bucket/prefix`: any server with the S3 protocol. Endpoint and credentials come from the standard AWS chain.

The endpoint is `AWS_ENDPOINT_URL` (or `AWS_ENDPOINT_URL_S3`, or the profile's). Credentials come from environment,
profile or machine. None of them is in the URI.

A put-once uses `If-None-Match: *`. For files above 16 MB, which are sent in parts, the key is also checked before the
upload and before its completion. Some servers (Ceph 16) ignore the header at a completion. If two clients complete the
same key there within milliseconds, both succeed and the later one stays. This does not harm blobs, whose key is the
digest of their content. Manifests, events and leases take one request each. For a server that does not support the
header (status 501), the key is checked before each write. `storage.uri.check_store` detects servers that silently
ignore the header.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from storage.base import Entry, Leftover, Store
from storage.content import write_file
from storage.environment import without_empty
from storage.errors import ExistsError, NotFoundError
from storage.layout import checked_key, checked_prefix
from storage.retry import RetryPolicy
from storage.s3_parts import PART, fetch_parts, holds_file, incomplete_uploads, put_parts
from storage.s3_requests import Bucket, code, seconds_since

# One attempt, since `storage.retry` has the retry loop. Reads are verified by SHA-256, so no CRC is needed.
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=32,
    retries={"total_max_attempts": 1},
    response_checksum_validation="when_required",
)


class S3Store:
    """Keys as objects below a prefix of a bucket. The bucket must exist."""

    concurrency = 16

    def __init__(self, bucket: str, prefix: str = "", *, retry: RetryPolicy | None = None) -> None:
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", bucket) is None:
            raise ValueError(
                f"{bucket.rpartition('@')[2]!r} is not a bucket; use s3://bucket/prefix without credentials or port"
            )
        try:
            with without_empty("AWS_"):
                client: Any = boto3.session.Session().client("s3", config=_CONFIG)
        except (BotoCoreError, ValueError) as error:  # an absent profile, a damaged file, an endpoint that is no URL
            names = ", ".join(sorted(name for name in os.environ if name.startswith("AWS_"))) or "none of them"
            settings = "the settings for S3 (AWS_... and their files)"
            raise ValueError(f"{settings} cannot be used: {error}; your environment sets {names}") from error
        if "@" in urlsplit(client.meta.endpoint_url).netloc:  # botocore shows the endpoint in its errors
            raise ValueError(
                "the S3 endpoint contains a user or password; set credentials as the AWS tools do, not in the endpoint"
            )
        folder = f"{checked_key(prefix)}/" if prefix else ""
        self._bucket = Bucket(client, bucket, folder, retry=RetryPolicy() if retry is None else retry)

    @property
    def uri(self) -> str:
        """Bucket and prefix. Endpoint and credentials stay in the environment."""
        return self._bucket.uri

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Write in one request, or in parallel parts if large; see `Store.put`."""
        if isinstance(data, Path) and data.stat().st_size > PART:
            put_parts(self._bucket, key, data, once=not replace)
        else:
            body = data.read_bytes() if isinstance(data, Path) else data
            self._bucket.call("write", key, lambda attempt: self._put(key, body, replace=replace, attempt=attempt))

    def get(self, key: str) -> bytes:
        """Return the bytes; see `Store.get`."""
        where = self._bucket.where(key)
        data: bytes = self._bucket.call("read", key, lambda _: self._bucket.client.get_object(**where)["Body"].read())
        return data

    def fetch(self, key: str, target: Path) -> Path:
        """Stream to `target`, large objects in parallel parts; see `Store.fetch`."""
        with write_file(target) as temporary:
            fetch_parts(self._bucket, key, temporary)
        return target

    def exists(self, key: str) -> bool:
        """Return whether `key` holds something."""
        try:
            self.size(key)
        except NotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        """Return the length in bytes; see `Store.size`."""
        where = self._bucket.where(key)
        return int(self._bucket.call("read", key, lambda _: self._bucket.client.head_object(**where)["ContentLength"]))

    def holds(self, key: str, file: Path) -> bool | None:
        """Compare length and ETag, which the server made of the bytes that it received; see `storage.s3_parts`."""
        return holds_file(self._bucket, key, file)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys in lexical order, a page at a time; see `Store.list`."""
        for entry in self.entries(prefix):
            yield entry.key

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield keys with sizes and ages; see `Store.entries`."""
        for page in self._bucket.pages("list_objects_v2", prefix, Prefix=self._bucket.prefix + checked_prefix(prefix)):
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):  # web consoles create such keys for empty folders
                    key = item["Key"].removeprefix(self._bucket.prefix)
                    yield Entry(key, item["Size"], seconds_since(item["LastModified"], page))

    def delete(self, key: str) -> None:
        """Remove the object; see `Store.delete`."""
        where = self._bucket.where(key)
        self._bucket.call("remove", key, lambda _: self._bucket.client.delete_object(**where))

    def leftovers(self) -> Iterator[Leftover]:
        """Yield the uploads that are not complete; see `Store.leftovers`."""
        return incomplete_uploads(self._bucket)

    def _put(self, key: str, body: bytes, *, replace: bool, attempt: int) -> None:
        where = self._bucket.where(key)
        condition = {} if replace else {"IfNoneMatch": "*"}
        try:
            self._bucket.client.put_object(Body=body, **where, **condition)
        except ClientError as error:
            if code(error) == "NotImplemented" and condition:
                if self.exists(key):
                    raise ExistsError(f"{key} in {self.uri} was written before") from error
                self._bucket.client.put_object(Body=body, **where)
                return
            # If the answer to a successful request was lost, its retry finds the key written.
            if code(error) in ("412", "PreconditionFailed") and attempt > 0 and self.get(key) == body:
                return
            raise


if TYPE_CHECKING:
    _: Store = S3Store("")
