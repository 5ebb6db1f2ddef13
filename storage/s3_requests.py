"""Requests to one S3 bucket, with retries and with the errors of `storage.errors`."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as AwsConnectionError

from storage.errors import ExistsError, NotFoundError, StoreError, UnavailableError
from storage.layout import checked_key
from storage.retry import RetryPolicy

Result = TypeVar("Result")

_ERRORS: Mapping[str, type[StoreError]] = {
    "404": NotFoundError,
    "NotFound": NotFoundError,
    "NoSuchKey": NotFoundError,
    "NoSuchUpload": NotFoundError,
    "InvalidPart": NotFoundError,  # another writer has replaced the part
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
_MARKERS: Mapping[str, tuple[str, ...]] = {
    "list_objects_v2": ("ContinuationToken",),
    "list_multipart_uploads": ("KeyMarker", "UploadIdMarker"),
    "list_parts": ("PartNumberMarker",),
}
"""The arguments of each listing that select its next page. The page returns them as `Next...`."""


class Bucket:
    """A prefix of one bucket, with a client whose own retries are off."""

    def __init__(self, client: Any, name: str, prefix: str, *, retry: RetryPolicy) -> None:
        self.client = client
        self.name = name
        self.prefix = prefix
        self.parts = threading.BoundedSemaphore(8)
        """Held during the transfer of a part of a large object. Bounds memory and connections over all callers."""
        self._retry = retry

    @property
    def uri(self) -> str:
        """Bucket and prefix. Endpoint and credentials stay in the environment."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def where(self, key: str) -> dict[str, Any]:
        """Return the arguments of a request for the object of `key`."""
        return {"Bucket": self.name, "Key": self.prefix + checked_key(key)}

    def call(self, action: str, key: str, request: Callable[[int], Result]) -> Result:
        """Return `request(attempt)`. It is retried while the server is unreachable, busy or broken.

        Raises:
            NotFoundError: The key, upload or part does not exist.
            ExistsError: The condition of the request failed.
            UnavailableError: Any other error of the server or connection. All messages show `action`, `key` and store.
        """
        try:
            return self._retry.call(request, transient=_is_transient)
        except (ClientError, BotoCoreError) as error:
            kind = _ERRORS.get(code(error), UnavailableError)
            raise kind(f"cannot {action} {key} in {self.uri}: {error}") from error

    def pages(self, operation: str, key: str, **where: Any) -> Iterator[Mapping[str, Any]]:
        """Yield all pages of the listing `operation` of the client, in order. Raises the same errors as `call`."""
        request = {"Bucket": self.name, **where}
        while True:
            page: Mapping[str, Any] = self.call("list", key, partial(self._page, operation, request))
            yield page
            if not page.get("IsTruncated"):
                return
            request |= {name: page[f"Next{name}"] for name in _MARKERS[operation]}

    def _page(self, operation: str, request: Mapping[str, Any], _: int) -> Any:
        return getattr(self.client, operation)(**request)


def code(error: BaseException | None) -> str:
    """Return the error code of the server's answer; empty for any other error."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def seconds_since(then: datetime, response: Mapping[str, Any]) -> float:
    """Return the seconds from `then` to the response, by the clock of the server if the response shows it."""
    date = response["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    now = datetime.now(UTC) if date is None else parsedate_to_datetime(date)
    return (now - then).total_seconds()


def _is_transient(error: Exception) -> bool:
    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return code(error) in _TRANSIENT or (status >= 500 and status != 501)
    return isinstance(error, AwsConnectionError | HTTPClientError | IncompleteReadError)
