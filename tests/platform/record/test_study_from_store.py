"""A study told from the store's records alone: every one of the project's own files comes back as it was run."""

from pathlib import Path

import pytest

from platform.record.study_from_store import call_of, recorded_study
from platform.study.ablation_file import load_ablation
from platform.study.study import Study
from platform.study.sweep_file import load_study
from storage.local import LocalStore
from storage.studies import save_call, save_study

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted([*ROOT.glob("ablations/*.yaml"), *ROOT.glob("search_spaces/*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_comes_back_as_it_was_run(path: Path, tmp_path: Path) -> None:
    study: Study = load_ablation(path) if path.parent.name == "ablations" else load_study(path)
    store = LocalStore(tmp_path / "store")
    save_study(store, study.id, {"id": study.id, "definition": study.definition})
    save_call(store, study.id, call_of(study), time=0.0)
    again = recorded_study(store, study.id)
    assert (again.id, again.definition) == (study.id, study.definition)
    assert [target.name for target in again.targets] == [target.name for target in study.targets]
    assert (again.trials, again.repeats, again.trial_count) == (study.trials, study.repeats, study.trial_count)
