"""Names of studies and trials on the command line, and the messages for names that do not exist."""

from pathlib import Path

import pytest

from platform.errors import UserError
from platform.record.study_names import resolve_study, resolve_trial, short_name
from storage.events import EventLog
from storage.local import LocalStore
from storage.studies import save_study


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Return a store with one attempt at `cmg`, two at `paper`, and the ablation `table6`."""
    store = LocalStore(tmp_path)
    for study in ("cmg-3f6d6ab0", "paper-00aa11bb", "paper-00aa11bb.2", "table6"):
        save_study(store, study, {"name": study})
    EventLog(store, "cmg-3f6d6ab0").append("t0000", 0, {"kind": "proposed"})
    return store


@pytest.mark.parametrize(
    ("study", "short"), [("cmg-1a2b3c4d.2", "cmg"), ("cmg-1a2b3c4d", "cmg"), ("table6.2", "table6"), ("cmg", "cmg")]
)
def test_a_short_name_has_no_hash_and_no_attempt(study: str, short: str) -> None:
    assert short_name(study) == short


@pytest.mark.parametrize("name", ["cmg", "cmg-3f6d6ab0", "search_spaces/cmg.yaml"])
def test_a_study_has_a_name_an_id_and_a_file(store: LocalStore, name: str) -> None:
    assert resolve_study(store, name) == "cmg-3f6d6ab0"


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("cmgg", "did you mean cmg? "),
        ("cmg-3f6d6ab1", "did you mean cmg? "),
        ("papers", "did you mean paper-00aa11bb or paper-00aa11bb.2? "),
        ("zzz", ""),
    ],
)
def test_a_message_lists_each_study_once(store: LocalStore, name: str, question: str) -> None:
    listed = "there are: cmg, paper-00aa11bb, paper-00aa11bb.2, table6"
    with pytest.raises(UserError) as error:
        resolve_study(store, name)
    assert str(error.value).endswith(f"holds no study {name}; {question}{listed}")


def test_of_a_name_that_may_be_a_trial_the_trials_are_listed_too(store: LocalStore) -> None:
    with pytest.raises(UserError, match=r"no study or trial t0001; did you mean t0000\? there are: cmg, .*t0000"):
        resolve_trial(store, "t0001")
    with pytest.raises(UserError, match=r"has no trial t0001; did you mean t0000\? there are: t0000$"):
        resolve_trial(store, "cmg/t0001")


def test_of_many_studies_the_first_eight_are_listed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number in range(10):
        save_study(store, f"study{number}-0000000{number}", {"name": number})
    with pytest.raises(UserError, match=r"; there are: study0, study1, .*study7 and 2 more$"):
        resolve_study(store, "zzz")
