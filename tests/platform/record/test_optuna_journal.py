"""The Optuna journal mirrors every finished point once, as what it was."""

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from platform.errors import UserError
from platform.events import Epochs, Finished, Proposed, TrialEvent
from platform.record.optuna_journal import OptunaView
from platform.record.trial_log import Records
from platform.study.study import Study
from tests.platform.noop_studies import end, noop_study
from tests.servers.postgres import Postgres

SPACE = """
space:
  noop.epochs: {choice: [2, 4]}
  noop.value: {log_uniform: [0.01, 1.0], when: {noop.epochs: 4}}
"""


def events(study: Study) -> list[TrialEvent]:
    records = Records(study)
    values = ({"noop.epochs": 4, "noop.value": 0.5}, {"noop.epochs": 2}, {"noop.epochs": 4, "noop.value": 0.1})
    for point, (chosen, outcome) in enumerate(zip(values, ("COMPLETED", "FAILED", "PRUNED"), strict=True)):
        trial = study.trial_name(point, 0)
        body = {"point": point, "repeat": 0, "seed": 0, "values": chosen, "config": {}, "runs": []}
        records.new(Proposed, trial, body)
        rows = [{"stage": "noop", "epoch": e, "metrics": {"value": 2.0 - e / 4}, "time": 0.0} for e in (1, 2)]
        records.new(Epochs, trial, {"rows": rows})
        records.new(Finished, trial, end({"noop.value": 0.5} if outcome == "COMPLETED" else {}, outcome))
    return records.events


def stored(study: Study, home: Path) -> optuna.Study:
    backend = JournalFileBackend(str(home / "optuna" / f"{study.id}.log"))
    return optuna.load_study(study_name=study.id, storage=JournalStorage(backend))


def test_points_are_added_once_as_what_they_were(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 3", space=SPACE)
    for _ in range(2):  # the second time as after a restart
        view = OptunaView(study, home=tmp_path)
        for event in [*events(study), *events(study)]:
            view.see(event)
        view.close()
    done, failed, pruned = stored(study, tmp_path).trials
    assert [trial.state for trial in (done, failed, pruned)] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.PRUNED,
    ]
    assert (done.value, done.params) == (0.5, {"noop.epochs": 4, "noop.value": 0.5})
    assert failed.params == {"noop.epochs": 2}
    assert (pruned.last_step, pruned.value, pruned.intermediate_values) == (2, 1.5, {1: 1.75, 2: 1.5})
    assert [trial.user_attrs["point"] for trial in (done, failed, pruned)] == [0, 1, 2]


def test_a_lab_copies_it_into_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    """As the module's text says; Optuna's own command, to which our journal is a study like any other."""
    study = noop_study(tmp_path, "trials: 3", space=SPACE)
    view = OptunaView(study, home=tmp_path)
    for event in events(study):
        view.see(event)
    storage = postgres.create("optuna").replace("postgresql:", "postgresql+psycopg2:")
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "optuna" / f"{study.id}.log")))
    optuna.copy_study(from_study_name=study.id, from_storage=journal, to_storage=storage)
    copied = optuna.load_study(study_name=study.id, storage=storage)
    told = [(trial.state, trial.params, trial.user_attrs, trial.intermediate_values) for trial in copied.trials]
    mine = stored(study, tmp_path).trials
    assert told == [(trial.state, trial.params, trial.user_attrs, trial.intermediate_values) for trial in mine]
    assert (copied.directions, copied.best_value) == (stored(study, tmp_path).directions, 0.5)


def test_two_studies_are_never_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = noop_study(tmp_path, "trials: 3", space=SPACE)
    OptunaView(study, home=tmp_path)
    other = noop_study(tmp_path, "trials: 3\nseed: 1", space=SPACE)
    monkeypatch.setitem(other.__dict__, "id", study.id)
    with pytest.raises(UserError, match=study.id):
        OptunaView(other, home=tmp_path)


def test_a_prolonged_study_goes_on_in_its_journal(tmp_path: Path) -> None:
    study = noop_study(tmp_path, "trials: 3", space=SPACE)
    OptunaView(study, home=tmp_path)
    longer = noop_study(tmp_path, "trials: 30", space=SPACE)
    assert longer.id == study.id
    OptunaView(longer, home=tmp_path)
