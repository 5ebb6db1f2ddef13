"""Requests to one S3 bucket: each is tried again through an outage, and each error becomes one of `storage.errors`."""

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
    "InvalidPart": NotFoundError,  # another writer's part lies there now
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
"""What tells each listing where its next page begins; the page calls it `Next...`."""


class Bucket:
    """A prefix of one bucket, by a client that does not retry by itself."""

    def __init__(self, client: Any, name: str, prefix: str, *, retry: RetryPolicy) -> None:
        self.client = client
        self.name = name
        self.prefix = prefix
        self.parts = threading.BoundedSemaphore(8)
        """Held while a part of a large object is under way: bounds memory and connections over all callers."""
        self._retry = retry

    @property
    def uri(self) -> str:
        """Bucket and prefix; the endpoint and credentials are the environment's."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def where(self, key: str) -> dict[str, Any]:
        """Return the arguments that name the object of `key`."""
        return {"Bucket": self.name, "Key": self.prefix + checked_key(key)}

    def call(self, action: str, key: str, request: Callable[[int], Result]) -> Result:
        """Return `request(attempt)`, tried again while the server is unreachable, busy or broken.

        Raises `NotFoundError`, `ExistsError` or `UnavailableError`, with `action`, `key` and the store.
        """
        try:
            return self._retry.call(request, transient=_is_transient)
        except (ClientError, BotoCoreError) as error:
            kind = _ERRORS.get(code(error), UnavailableError)
            raise kind(f"cannot {action} {key} in {self.uri}: {error}") from error

    def pages(self, operation: str, key: str, **where: Any) -> Iterator[Mapping[str, Any]]:
        """Yield all pages of the listing `operation` of the client, in order; raises what `call` does."""
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
    """Return the server's error code; empty for an error that is not an answer of a server."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def seconds_since(then: datetime, response: Mapping[str, Any]) -> float:
    """Return how old something was when the server answered, by the server's clock if it tells the time."""
    date = response["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    now = datetime.now(UTC) if date is None else parsedate_to_datetime(date)
    return (now - then).total_seconds()


def _is_transient(error: Exception) -> bool:
    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return code(error) in _TRANSIENT or (status >= 500 and status != 501)
    return isinstance(error, AwsConnectionError | HTTPClientError | IncompleteReadError)
