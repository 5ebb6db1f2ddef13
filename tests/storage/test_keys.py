"""No key from any input leaves its prefix."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from storage import layout
from storage.local import LocalStore

_PARTS = st.sampled_from(
    ["..", ".", "", "a", "b.c", "-", "~", "C:", "\\", "%2e%2e", "\x00", "..a", "a..", "\u2024\u2024", " "]
)
_NASTY = st.lists(_PARTS, max_size=6).map("/".join) | st.text(max_size=30)


@given(key=_NASTY)
def test_no_key_leaves_the_folder(key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "outer" / "store"
        store = LocalStore(root)
        try:
            store.put(key, b"data")
        except ValueError:
            assert list(Path(folder).rglob("*")) == []
        else:
            written = [path for path in Path(folder).rglob("*") if path.is_file()]
            assert written == [root / key]
            assert list(store.list("")) == [key]
            assert store.get(key) == b"data"


@given(name=_NASTY)
def test_names_cannot_leave_their_place_in_the_layout(name: str) -> None:
    for make, prefix in (
        (layout.manifest, "stages/"),
        (layout.blob, "blobs/sha256/"),
        (layout.study, "studies/"),
        (layout.leases, "leases/"),
        (layout.checkpoints, "checkpoints/"),
    ):
        try:
            key = make(name)
        except ValueError:
            continue
        assert layout.checked_prefix(key) == key
        assert key.startswith(prefix)
        assert "/" not in name
        assert name in key.split("/")


@given(key=st.from_regex(r"[a-z0-9]{1,3}(/[a-z0-9._-]{1,4}){0,3}", fullmatch=True), cut=st.integers(0, 20))
def test_every_beginning_of_a_key_is_a_prefix(key: str, cut: int) -> None:
    try:
        layout.checked_key(key)
    except ValueError:
        return
    prefix = key[:cut]
    assert layout.checked_prefix(prefix) == prefix
