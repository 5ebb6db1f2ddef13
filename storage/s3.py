"""`s3://bucket/prefix`: any server that speaks S3, found and signed in to by the standard AWS chain.

The endpoint comes from `AWS_ENDPOINT_URL` (or `AWS_ENDPOINT_URL_S3`, or the profile), credentials from environment,
profile or machine; none of them is in the URI. A put-once is `If-None-Match: *`. Where the server does not know that
header (501), and for files above 16 MB (sent in parts, whose completion some servers do not make conditional), it is a
look before the write instead: two writers may then both win, which harms no content-addressed key.
`storage.uri.check_store` finds servers that silently ignore the header.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import boto3.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as AwsConnectionError

from storage.base import Store
from storage.content import write_file
from storage.errors import ExistsError, NotFoundError, StoreError, UnavailableError
from storage.layout import checked_key, checked_prefix
from storage.retry import Retry

Result = TypeVar("Result")

_PART = 16 << 20
_TRANSFER = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=8)
# Requests are tried twice by botocore, which repeats only the part that failed; `Retry` then repeats the whole call.
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 2},
)
_ERRORS: Mapping[str, type[StoreError]] = {
    "404": NotFoundError,
    "NotFound": NotFoundError,
    "NoSuchKey": NotFoundError,
    "412": ExistsError,
    "PreconditionFailed": ExistsError,
}
_TRANSIENT = frozenset(
    (
        "SlowDown",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "ConditionalRequestConflict",
        "OperationAborted",
    )
)


class S3Store:
    """Keys as objects below one prefix of one bucket, which must exist."""

    concurrency = 16

    def __init__(self, bucket: str, prefix: str = "", *, retry: Retry | None = None) -> None:
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", bucket) is None:
            raise ValueError(
                f"an S3 store is s3://bucket/prefix without credentials or port, but got bucket {bucket!r}"
            )
        self._bucket = bucket
        self._prefix = f"{checked_key(prefix)}/" if prefix else ""
        self._retry = Retry() if retry is None else retry
        self._client: Any = boto3.session.Session().client("s3", config=_CONFIG)

    @property
    def uri(self) -> str:
        """Bucket and prefix; the endpoint and credentials are the environment's."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        """Write in one request, or in parallel parts if large; see `Store.put`."""
        if isinstance(data, Path) and data.stat().st_size > _PART:
            if not replace and self.exists(key):
                raise ExistsError(f"{key} in {self.uri} was written before")
            where = (str(data), self._bucket, self._full(key))
            self._call("write", key, lambda _: self._client.upload_file(*where, Config=_TRANSFER))
        else:
            self._call("write", key, lambda attempt: self._put_object(key, data, replace=replace, attempt=attempt))

    def get(self, key: str) -> bytes:
        """Return the bytes; see `Store.get`."""
        where = {"Bucket": self._bucket, "Key": self._full(key)}
        data: bytes = self._call("read", key, lambda _: self._client.get_object(**where)["Body"].read())
        return data

    def fetch(self, key: str, target: Path) -> Path:
        """Stream to `target`, large objects in parallel parts; see `Store.fetch`."""
        with write_file(target) as temporary:
            where = (self._bucket, self._full(key), str(temporary))
            self._call("read", key, lambda _: self._client.download_file(*where, Config=_TRANSFER))
        return target

    def exists(self, key: str) -> bool:
        """Tell whether `key` holds something."""
        try:
            self.size(key)
        except NotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        """Return the length in bytes; see `Store.size`."""
        where = {"Bucket": self._bucket, "Key": self._full(key)}
        return int(self._call("read", key, lambda _: self._client.head_object(**where)["ContentLength"]))

    def list(self, prefix: str) -> Iterator[str]:
        """Yield keys in lexical order, a page at a time; see `Store.list`."""
        where = {"Bucket": self._bucket, "Prefix": self._prefix + checked_prefix(prefix)}
        while True:
            page = self._call("list", prefix, lambda _: self._client.list_objects_v2(**where))
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):  # what consoles leave to show an empty folder
                    yield entry["Key"].removeprefix(self._prefix)
            if not page["IsTruncated"]:
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """Remove the object; see `Store.delete`."""
        where = {"Bucket": self._bucket, "Key": self._full(key)}
        self._call("remove", key, lambda _: self._client.delete_object(**where))

    def _full(self, key: str) -> str:
        return self._prefix + checked_key(key)

    def _put_object(self, key: str, data: bytes | Path, *, replace: bool, attempt: int) -> None:
        where = {"Bucket": self._bucket, "Key": self._full(key)}
        condition = {} if replace else {"IfNoneMatch": "*"}
        body = data.read_bytes() if isinstance(data, Path) else data
        try:
            self._client.put_object(Body=body, **where, **condition)
        except ClientError as error:
            if _code(error) == "NotImplemented" and condition:
                if self.exists(key):
                    raise ExistsError(f"{key} in {self.uri} was written before") from error
                self._client.put_object(Body=body, **where)
                return
            # A request whose answer was lost finds its own work when it is repeated.
            repeated = attempt > 0 or error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            if _code(error) in ("412", "PreconditionFailed") and repeated and self.get(key) == body:
                return
            raise

    def _call(self, action: str, key: str, request: Callable[[int], Result]) -> Result:
        try:
            return self._retry.call(request, transient=_is_transient)
        except (ClientError, BotoCoreError, Boto3Error) as error:
            kind = _ERRORS.get(_code(error), UnavailableError)
            raise kind(f"cannot {action} {key} in {self.uri}: {error}") from error


def _code(error: Exception) -> str:
    """Return the server's error code, also of an error that boto3's transfers have wrapped; empty without one."""
    cause = error if isinstance(error, ClientError) else error.__context__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else ""


def _is_transient(error: Exception) -> bool:
    cause = error.__context__ if isinstance(error, Boto3Error) and error.__context__ is not None else error
    if isinstance(cause, ClientError):
        status = int(cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _code(cause) in _TRANSIENT or (status >= 500 and status != 501)
    return isinstance(cause, AwsConnectionError | HTTPClientError | IncompleteReadError)


if TYPE_CHECKING:
    _: Store = S3Store("")
