"""The attempt that a command continues or begins, for sweeps and ablations alike."""

from dataclasses import replace

import pytest

from platform.errors import UserError
from platform.study.attempts import find_attempt
from platform.study.registration import Amendment, amend
from platform.study.study import Study
from storage.base import Store
from storage.memory import MemoryStore
from storage.studies import save_study
from tests.platform import noop_ablations, study_texts


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def save(study: Study, store: Store) -> None:
    save_study(store, study.id, {"id": study.id, "definition": study.definition})


@pytest.mark.parametrize(
    "study", [study_texts.build(study_texts.NOOP), noop_ablations.build()], ids=["sweep", "ablation"]
)
def test_the_latest_attempt_is_continued_and_a_new_one_follows_it(study: Study, store: Store) -> None:
    assert find_attempt(study, store, new=False) == study
    assert find_attempt(study, store, new=True) == study
    save(study, store)
    assert find_attempt(study, store, new=False) == study
    second = find_attempt(study, store, new=True)
    assert second == replace(study, attempt=2)
    save(second, store)
    assert find_attempt(study, store, new=False) == second
    assert find_attempt(study, store, new=True).attempt == 3


def test_a_changed_sweep_is_another_study(store: Store) -> None:
    study = study_texts.build(study_texts.NOOP)
    save(study, store)
    changed = study_texts.build(study_texts.NOOP, "seed=1")
    assert find_attempt(changed, store, new=False) == changed


def test_an_ablation_continues_the_attempt_that_has_its_design(store: Store) -> None:
    study = noop_ablations.build()
    changed = noop_ablations.build(noop_ablations.NOOP.replace("0.5", "0.7"))
    save(study, store)
    with pytest.raises(UserError, match=r"(?s)test was registered with another design.*-.*0\.5.*\+.*0\.7.*--fork"):
        find_attempt(changed, store, new=False)
    save(find_attempt(changed, store, new=True), store)
    assert find_attempt(study, store, new=False) == study
    assert find_attempt(changed, store, new=False) == replace(changed, attempt=2)


def test_an_ablation_is_continued_with_the_seeds_that_were_added(store: Store) -> None:
    study = noop_ablations.build()
    save(study, store)
    amend(store, study.id, Amendment(6, 8, 1000.0))
    continued = find_attempt(study, store, new=False)
    assert continued.repeats == 8
    assert [amendment.text for amendment in continued.amendments] == ["seeds 6 -> 8"]
