"""Damage of every kind, in each store: `storage.verify` names it, nobody trusts it, and the stage run is done again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage import layout, verify
from storage.base import Store
from storage.runs import Manifest, RunStore
from trainables.config.trial import resolve
from trainables.execute import execute, missing_runs
from trainables.graph import stage_runs

Change = Callable[[bytes], bytes | None]
DAMAGES: dict[str, tuple[bool, Change, str]] = {
    "flipped byte": (False, lambda data: data[:-1] + bytes([data[-1] ^ 1]), "changed: expected SHA-256"),
    "truncated object": (False, lambda data: data[:-1], "truncated: 2 of 3 bytes"),
    "missing blob": (False, lambda _: None, "missing"),
    "half-written manifest": (True, lambda data: data[: len(data) // 2], "incomplete or changed"),
}
CONFIG = resolve({"noop.value": 0.5})
(RUN,) = stage_runs(CONFIG, seed=0, targets=["noop"])


def damaged(store: Store) -> list[verify.Damage]:
    keys = tuple(store.list(""))
    promised, damages = verify.promises(store, keys)
    found = (verify.check_object(store, key, file) for key, file in promised.items())
    return [*damages, *(damage for damage in found if damage is not None)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_the_run_done_again(store: Store, tmp_path: Path, damage: str) -> None:
    made: list[int] = []

    def executed(process: str) -> Manifest:
        """Ask for the stage run as a new process would, with a cache of its own."""
        runs = RunStore(store, cache=tmp_path / process)
        return execute(RUN, CONFIG, runs=runs, scratch=tmp_path, report=lambda epoch, _: made.append(epoch))

    first = executed("one")
    epochs = len(made)
    assert executed("two") == first
    assert len(made) == epochs
    assert damaged(store) == []

    in_manifest, change, told = DAMAGES[damage]
    key = layout.manifest(RUN.identity) if in_manifest else layout.blob(first.files["value.json"].digest)
    data = change(store.get(key))
    store.delete(key)
    if data is not None:
        store.put(key, data)
    (found,) = damaged(store)
    assert found.key == key
    assert found.what.startswith(told)

    again = executed("three")
    assert len(made) == 2 * epochs
    assert again.digest == first.digest
    assert damaged(store) == []
    assert missing_runs([RUN], RunStore(store, cache=tmp_path / "four")) == frozenset()
