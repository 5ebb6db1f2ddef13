"""Documents that are almost right: JSON with values of other types, keys removed, renamed and added (hypothesis)."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

ODD_TEXTS = ("", " ", ".", "..", "a/b", "nan", "1e999", "\x00", "\u202e", "e\u0301", "\U0001f9e0", "null", "x" * 300)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20),
    st.sampled_from([-1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6) | st.sampled_from(ODD_TEXTS),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
Path = tuple[str | int, ...]


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the path of every part of `value`, the whole excluded."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*at, key)
        yield from paths(part, (*at, key))


@st.composite
def mutations(draw: st.DrawFn, document: Any, values: st.SearchStrategy[Any] = VALUES, most: int = 2) -> Any:
    """Return `document` with between 1 and `most` parts replaced by any of `values`, removed, renamed or added."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        every = list(paths(changed))
        if not every:
            return draw(values)
        *above, key = draw(st.sampled_from(every))
        parent = changed
        for step in above:
            parent = parent[step]
        _change(draw, parent, key, values)
    return changed


def _change(draw: st.DrawFn, parent: Any, key: Any, values: st.SearchStrategy[Any]) -> None:
    how = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
    if how == "replace" or (isinstance(parent, list) and how == "rename"):
        parent[key] = draw(values)
    elif how == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(draw(values))
    else:
        name = draw(st.text(max_size=4) | st.sampled_from([f"{key}s", str(key)[:-1], *ODD_TEXTS]))
        parent[name] = parent.pop(key) if how == "rename" else draw(values)
