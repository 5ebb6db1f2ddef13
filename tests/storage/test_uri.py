from pathlib import Path

import pytest

from storage.base import Store
from storage.errors import UnavailableError
from storage.memory import MemoryStore
from storage.uri import check_store, open_store


def test_a_relative_file_uri_is_resolved_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("file://runs/store").uri == (tmp_path / "runs" / "store").as_uri()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["s4://a/b", "gcs://a", "S3://a", "://a"])
def test_unknown_schemes_list_the_known_ones(uri: str) -> None:
    with pytest.raises(ValueError, match="known: file, memory, s3"):
        open_store(uri)


@pytest.mark.parametrize("path", ["runs/store", "/runs/store", "", "file:/a"])
def test_a_plain_path_is_told_its_uri(path: str) -> None:
    with pytest.raises(ValueError, match="file:///"):
        open_store(path)


@pytest.mark.parametrize("uri", ["file://", "memory://name", "s3://", "s3://key:secret@bucket/a", "s3://bucket/../a"])
def test_malformed_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"must match|has no folder|no name|without credentials"):
        open_store(uri)


def test_a_store_that_forgets_put_once_is_found_out() -> None:
    class Careless(MemoryStore):
        def put(self, key: str, data: bytes | Path, *, replace: bool = False) -> None:
            super().put(key, data, replace=True)

    store: Store = Careless()
    with pytest.raises(UnavailableError, match="overwrites existing keys"):
        check_store(store)
    assert list(store.list("")) == []
