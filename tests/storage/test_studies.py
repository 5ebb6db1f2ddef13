"""Records of a study that a power cut emptied: they count as not written."""

import pytest

from storage import layout
from storage.base import Store
from storage.errors import ExistsError
from storage.studies import load_calls, load_definition, save_call, save_study


def test_an_emptied_definition_is_written_anew_and_an_intact_one_is_not(store: Store) -> None:
    save_study(store, "study", {"id": "study", "definition": {"trials": 4}})
    store.put(layout.study("study"), b"", replace=True)
    save_study(store, "study", {"id": "study", "definition": {"trials": 4}})
    assert load_definition(store, "study") == {"id": "study", "definition": {"trials": 4}}
    with pytest.raises(ExistsError, match="another study named study"):
        save_study(store, "study", {"id": "study", "trials": 5})


@pytest.mark.parametrize("damage", [b"", b'{"sha256":"00'])
def test_an_emptied_call_is_replaced_by_the_next(store: Store, damage: bytes) -> None:
    for number, text in enumerate(("one", "two"), start=1):
        save_call(store, "study", {"file": text}, time=float(number))
    store.put(layout.call("study", 2), damage, replace=True)
    assert [call["file"] for call in load_calls(store, "study")] == ["one"]
    save_call(store, "study", {"file": "three"}, time=3.0)
    assert [(call["file"], call["time"]) for call in load_calls(store, "study")] == [("one", 1.0), ("three", 3.0)]
    save_call(store, "study", {"file": "three"}, time=4.0)
    assert len(load_calls(store, "study")) == 2


def test_a_call_with_a_tuple_equals_what_json_has_of_it(store: Store) -> None:
    for time in (1.0, 2.0):
        save_call(store, "study", {"settings": ("trials=3",)}, time=time)
    assert len(load_calls(store, "study")) == 1


@pytest.mark.parametrize("wrong", [{"trials": None}, {"trials": -1}, {"fields": 3}])
def test_a_call_that_cannot_be_read_is_left_out(store: Store, wrong: dict[str, object]) -> None:
    save_call(store, "study", {"trials": 2, "fields": ["noop.value"]}, time=1.0)
    save_call(store, "study", {"trials": 2, "fields": ["noop.value"], **wrong}, time=2.0)
    assert [call["time"] for call in load_calls(store, "study")] == [1.0]
