"""Prepared data sets in a store: uploaded, fetched once, verified, and the same as in their folder."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from storage.s3 import S3Store
from tests.trainables.prepared.labs import edit_clips, edit_description, prepare_rows, rows_lab
from trainables import datasets
from trainables.config.trial import TrialConfig, resolve
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.read import ClipArray
from trainables.datasets.prepared.stored_set import local_folder, upload
from trainables.graph import stage_runs

URI = "s3://mindsweep/tests/contract"
Aws = Callable[[str], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    prepare_rows(rows_lab(folder / "lab"), folder / "set")
    return folder / "set"


@pytest.fixture
def s3(s3_store: S3Store, s3_endpoint: str, aws: Aws) -> Iterator[S3Store]:
    for key in s3_store.list(""):
        s3_store.delete(key)
    with aws(s3_endpoint):
        yield s3_store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mindsweep" / "datasets"


def prepared(location: object) -> TrialConfig:
    return resolve({"dataset.kind": "prepared", "dataset.path": location})


def identity(location: object) -> str:
    return stage_runs(prepared(location), seed=0, targets=["data"])[-1].identity


def test_a_stored_set_is_that_of_the_folder(s3: S3Store, sound: Path, cache: Path) -> None:
    digest = upload(sound, URI)
    assert identity(URI) == identity(sound)
    assert datasets.check(prepared(URI)).errors == ()
    here, there = (datasets.load(prepared(location).dataset) for location in (sound, URI))
    assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == [digest]
    assert isinstance(there.stimuli.clips, ClipArray)
    assert (here.stimuli.clips[:] == there.stimuli.clips[:]).all()
    assert (here.brains.subjects[1].bold[:] == there.brains.subjects[1].bold[:]).all()
    assert (cache / digest / "card.md").read_bytes() == (sound / "card.md").read_bytes()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are fetched from S3 during the test."""
    keys: list[str] = []
    fetch = S3Store.fetch

    def counted(store: S3Store, key: str, target: Path) -> Path:
        keys.append(key)
        return fetch(store, key, target)

    monkeypatch.setattr(S3Store, "fetch", counted)
    return keys


def test_it_is_fetched_once_and_again_only_if_the_store_holds_another(
    s3: S3Store, sound: Path, tmp_path: Path, fetched: list[str]
) -> None:
    upload(sound, URI)
    first = local_folder(URI)
    count = len(fetched)
    assert local_folder(URI) == first
    assert len(fetched) == count
    prepare_rows(rows_lab(tmp_path / "lab", subjects=1), tmp_path / "other")
    upload(tmp_path / "other", URI)
    assert local_folder(URI) != first
    assert identity(URI) == identity(tmp_path / "other")


def test_planning_downloads_tables_alone_and_the_stages_the_rest(
    s3: S3Store, sound: Path, cache: Path, fetched: list[str]
) -> None:
    digest = upload(sound, URI)
    for _ in range(2):  # the second plan asks for nothing more
        assert identity(URI) == identity(sound)
        assert datasets.check(prepared(URI)) == datasets.check(prepared(sound))
        assert [path.name for path in datasets.card_files(prepared(URI))] == ["card.md", "card.html"]
        assert sorted(fetched) == [
            "card.html",
            "card.md",
            "clips.parquet",
            "dataset.json",
            *(f"sub-0{subject}/{table}.parquet" for subject in (1, 2) for table in ("rows", "voxels")),
        ]
    assert not (cache / digest).exists()
    datasets.load(prepared(URI).dataset)
    assert {"clips/shard_00000.npy", "sub-01/rows.npy", "sub-02/rows.npy"} < {*fetched}
    count = len(fetched)
    assert datasets.check(prepared(URI)) == datasets.check(prepared(sound))
    assert len(fetched) == count, "a whole copy serves plans, too"


def wrong_split(s3: S3Store, sound: Path) -> None:
    copy = Path(shutil.copytree(sound, sound.parent / "untested", dirs_exist_ok=True))
    edit_clips(copy, lambda row: replace(row, split="train"))
    upload(copy, URI)


def missing_shard(s3: S3Store, sound: Path) -> None:
    s3.delete("clips/shard_00000.npy")


def short_array(s3: S3Store, sound: Path) -> None:
    s3.put("sub-01/rows.npy", b"short", replace=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_split, f"{URI}/clips.parquet, column split: no clip is 'validation'"),
        (missing_shard, f"{URI}/clips/shard_00000.npy: is missing; upload it again"),
        (short_array, f"{URI}/sub-01/rows.npy: has 5 bytes, but dataset.json says"),
    ],
)
def test_a_plan_tells_what_tables_and_listing_show(
    s3: S3Store, sound: Path, change: Callable[[S3Store, Path], None], message: str
) -> None:
    upload(sound, URI)
    change(s3, sound)
    assert message in str(datasets.check(prepared(URI)))


def test_an_interrupted_upload_and_download_go_on(
    s3: S3Store, sound: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, sent = S3Store.put, []

    def breaks(store: S3Store, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        if key.startswith("sub-02"):
            raise KeyboardInterrupt
        sent.append(key)
        put(store, key, data, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", breaks)
        with pytest.raises(KeyboardInterrupt):
            upload(sound, URI)
    with pytest.raises(DatasetError, match=r"s3://mindsweep/tests/contract: holds no dataset\.json; give the URI"):
        local_folder(URI)
    before = len(sent)

    def counts(store: S3Store, key: str, data: bytes | Path, *, replace: bool = False) -> None:
        sent.append(key)
        put(store, key, data, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", counts)
        digest = upload(sound, URI)
    assert not set(sent[:before]) & set(sent[before:]), "what is there is not sent again"
    (cache / f".{digest}.partial" / "clips").mkdir(parents=True)
    (cache / f".{digest}.partial" / "clips" / "shard_00000.npy").write_bytes(b"half")
    assert local_folder(URI) == cache / digest


def damaged(s3: S3Store, sound: Path) -> None:
    data = bytearray((sound / "sub-01" / "rows.npy").read_bytes())
    data[-1] ^= 1
    s3.put("sub-01/rows.npy", bytes(data), replace=True)


def missing(s3: S3Store, sound: Path) -> None:
    s3.delete("sub-01/rows.npy")


def without_digests(s3: S3Store, sound: Path) -> None:
    copy = Path(shutil.copytree(sound, sound.parent / "bare", dirs_exist_ok=True))
    edit_description(copy, files={}, digest="")
    s3.put("dataset.json", (copy / "dataset.json").read_bytes(), replace=True)


def no_json(s3: S3Store, sound: Path) -> None:
    s3.put("dataset.json", b"{", replace=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, r"sub-01/rows.npy in s3://.* is damaged: expected .*; upload it again"),
        (missing, r"sub-01/rows.npy.*; upload it again"),
        (without_digests, r"dataset.json: does not name its files and their digests; upload the data set with"),
        (no_json, r"contract/dataset.json.*see docs/data-format.md"),
    ],
)
def test_what_cannot_be_used_is_refused(
    s3: S3Store, sound: Path, cache: Path, change: Callable[[S3Store, Path], None], message: str
) -> None:
    upload(sound, URI)
    change(s3, sound)
    with pytest.raises(DatasetError, match=message):
        datasets.load(prepared(URI).dataset)
    assert not [path for path in cache.glob("*") if not path.name.startswith(".")], "nothing half is used"


def test_an_escaping_name_is_refused(s3: S3Store, sound: Path, cache: Path) -> None:
    from trainables.datasets.prepared.description import FileFacts, read_description
    from trainables.datasets.prepared.digest import set_digest

    upload(sound, URI)
    files = {**read_description(sound).files, "../../evil": FileFacts(bytes=1, sha256="0" * 64)}
    about = read_description(sound).model_copy(update={"files": files, "digest": set_digest(files)})
    s3.put("dataset.json", about.model_dump_json().encode(), replace=True)
    with pytest.raises(DatasetError, match="cannot be a name in the store"):
        local_folder(URI)


def test_a_store_that_does_not_answer_is_named(sound: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    from storage.retry import RetryPolicy
    from trainables.datasets.prepared import stored_set

    with aws("http://127.0.0.1:9"):
        away = S3Store("mindsweep", "away", retry=RetryPolicy(patience=0.2))
    monkeypatch.setattr(stored_set, "_store", lambda uri: away)
    with pytest.raises(
        DatasetError, match=r"s3://mindsweep/away: cannot read dataset.json .*see that the store can be"
    ):
        local_folder("s3://mindsweep/away")


def test_a_file_uri_is_a_folder(sound: Path, tmp_path: Path, cache: Path) -> None:
    target = tmp_path / "shared disk"
    upload(sound, f"file://{target}")
    config = prepared(target.as_uri())
    assert config.dataset.path == str(target)  # type: ignore[union-attr]
    assert identity(target.as_uri()) == identity(sound)
    assert datasets.check(config).errors == ()
    assert not cache.exists(), "used where it lies"


@pytest.mark.parametrize("location", ["memory://", "http://host/x", "s3://", "s3://user:secret@bucket/x", 3])
def test_other_locations_are_refused(location: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        prepared(location)
    assert caught.value.errors()[0]["loc"][-1] == "path"
    assert "without credentials" in str(caught.value) or location == 3


def test_a_set_of_a_lab_without_digests_gets_them_on_upload(s3: S3Store, sound: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sound, tmp_path / "own"))
    edit_description(copy, files={}, digest="")
    upload(copy, URI)
    assert identity(URI) == identity(sound)
