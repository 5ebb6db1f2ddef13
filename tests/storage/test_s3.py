"""What only the S3 backend does: pages, servers without conditions, lost answers, outages, translated errors."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from storage.errors import ExistsError, UnavailableError
from storage.retry import RetryPolicy
from storage.s3 import S3Store

Aws = Callable[[str], AbstractContextManager[None]]


class Client:
    """Stands before the real client; a test replaces one method."""

    def __init__(self, real: Any, **methods: Any) -> None:
        self._real = real
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def s3(s3_store: S3Store) -> S3Store:
    for key in s3_store.list(""):
        s3_store.delete(key)
    return s3_store


def failure(code: str, status: int) -> ClientError:
    metadata = {"HTTPStatusCode": status}
    response: Any = {"Error": {"Code": code, "Message": "from the server"}, "ResponseMetadata": metadata}
    return ClientError(response, "Any")


def without_conditions(client: Any, name: str) -> Client:
    """Return a client whose server knows no conditions in the method `name`."""

    def call(**where: Any) -> Any:
        if "IfNoneMatch" in where:
            raise failure("NotImplemented", 501)
        return getattr(client, name)(**where)

    return Client(client, **{name: call})


def test_pages(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"a/{number}" for number in range(8)]
    for key in keys:
        s3.put(key, b"")
    real = s3._bucket.client
    client = Client(real, list_objects_v2=lambda **where: real.list_objects_v2(MaxKeys=3, **where))
    monkeypatch.setattr(s3._bucket, "client", client)
    assert list(s3.list("a/")) == keys


def test_a_server_without_conditional_put(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3._bucket, "client", without_conditions(s3._bucket.client, "put_object"))
    s3.put("a", b"first")
    with pytest.raises(ExistsError):
        s3.put("a", b"second")
    assert s3.get("a") == b"first"


@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_an_answer_that_was_lost_does_not_look_like_another_writer(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "data").write_bytes(b"mine")
    data = tmp_path / "data" if kind == "file" else b"mine"
    real, calls = s3._bucket.client, []

    def put_object(**where: Any) -> Any:
        calls.append(where)
        answer = real.put_object(**where)
        if len(calls) == 1:
            raise failure("InternalError", 500)
        return answer

    monkeypatch.setattr(s3._bucket, "client", Client(real, put_object=put_object))
    s3.put("a", data)
    assert len(calls) == 2
    with pytest.raises(ExistsError):
        s3.put("a", data)


def test_another_writer_during_an_outage_is_still_another(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = s3._bucket.client, []

    def put_object(**where: Any) -> Any:
        calls.append(where)
        if len(calls) == 1:
            real.put_object(Bucket=where["Bucket"], Key=where["Key"], Body=b"theirs")
            raise failure("SlowDown", 503)
        return real.put_object(**where)

    monkeypatch.setattr(s3._bucket, "client", Client(real, put_object=put_object))
    with pytest.raises(ExistsError):
        s3.put("a", b"mine")
    assert s3.get("a") == b"theirs"


@pytest.mark.parametrize(
    "error",
    [failure("SlowDown", 503), failure("InternalError", 500), EndpointConnectionError(endpoint_url="http://127.0.0.1")],
)
def test_outages_are_retried_a_bounded_number_of_times(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    calls = []

    def get_object(**where: Any) -> Any:
        calls.append(where)
        if len(calls) < outages + 1:
            raise error
        return {"Body": io.BytesIO(b"there")}

    monkeypatch.setattr(s3._bucket, "client", Client(s3._bucket.client, get_object=get_object))
    outages = 3
    assert s3.get("a") == b"there"
    calls.clear()
    outages = 99
    with pytest.raises(UnavailableError, match=r"cannot read a in s3://mindsweep/tests/contract: ") as caught:
        s3.get("a")
    assert 5 <= len(calls) <= 12  # in a second
    assert caught.value.__cause__ is error


def test_refusals_are_not_retried(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def get_object(**where: Any) -> Any:
        calls.append(where)
        raise failure("AccessDenied", 403)

    monkeypatch.setattr(s3._bucket, "client", Client(s3._bucket.client, get_object=get_object))
    with pytest.raises(UnavailableError, match="AccessDenied"):
        s3.get("a")
    assert len(calls) == 1


def test_a_missing_bucket_is_unavailable(s3_endpoint: str, aws: Aws) -> None:
    with aws(s3_endpoint):
        store = S3Store("no-such-bucket")
    with pytest.raises(UnavailableError, match=r"NoSuchBucket.*"):
        store.put("a", b"")
    with pytest.raises(UnavailableError, match=r"NoSuchBucket.*"):
        list(store.list(""))


def test_nobody_listens(tmp_path: Path, aws: Aws) -> None:
    with aws("http://127.0.0.1:9"):
        store = S3Store("bucket", retry=RetryPolicy(patience=0.3))
    (tmp_path / "large").write_bytes(bytes(17 << 20))
    for data in (b"small", tmp_path / "large"):
        with pytest.raises(UnavailableError, match=r"cannot write a in s3://bucket: .*127.0.0.1:9") as caught:
            store.put("a", data, replace=True)
        assert "planted-secret" not in str(caught.value)


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch, s3_endpoint: str, aws: Aws) -> None:
    with aws(s3_endpoint):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        store = S3Store("mindsweep")
        with pytest.raises(UnavailableError, match="Unable to locate credentials"):
            store.get("a")
