"""A persistent Optuna study as a view, for optuna-dashboard and notebooks. No code reads it, so it can be deleted.

It is a file on the driver's machine, so no database is needed. This copies it to a database:

    optuna.copy_study(from_study_name=ID, from_storage=JournalStorage(JournalFileBackend("HOME/optuna/ID.log")),
                      to_storage="postgresql+psycopg2://USER@HOST/NAME")
"""

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from platform.errors import UserError
from platform.events import Finished, TrialEvent
from platform.record.optuna_study import directions, distributions, quiet, set_constraints, state_of
from platform.record.trial_log import PointResult, Records
from platform.study.domains import sampled_values
from platform.study.study import Study
from trainables.identity import digest

_POINT, _DEFINITION = "point", "definition"
_Added = tuple[int, TrialState]
"""A point and how it ended: one that failed and was started again is added once more."""


class OptunaView:
    """Adds every finished point once to the Optuna study that is named by the study's id.

    A point that failed, was started again and then succeeded is in it twice, as a failed and as a complete trial.
    """

    def __init__(self, study: Study, *, home: Path) -> None:
        """Open or create the journal `<home>/optuna/<study id>.log`.

        Raises:
            UserError: The journal holds a study of that name with another definition.
        """
        self._study = study
        self._records = Records(study)
        path = home / "optuna" / f"{study.id}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            self._optuna = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name=study.id,
                directions=directions(study.targets),
                load_if_exists=True,
            )
        definition = digest(study.definition, length=64)
        if self._optuna.user_attrs.setdefault(_DEFINITION, definition) != definition:
            raise UserError(f"{path} holds a study named {study.id} with another definition; move the file away")
        self._optuna.set_user_attr(_DEFINITION, definition)
        trials = self._optuna.get_trials(deepcopy=False)
        self._added: set[_Added] = {(trial.user_attrs[_POINT], trial.state) for trial in trials}

    def see(self, event: TrialEvent) -> None:
        """Add the point of a finished trial, if all its repeats are finished and it was not added before."""
        record = self._records.absorb(event)
        if not isinstance(event, Finished) or record.proposed is None:
            return
        result = self._records.result(record.proposed.point)
        if result is not None and (result.point, state_of(result)) not in self._added:
            self._optuna.add_trial(_frozen(self._study, result))
            self._added.add((result.point, state_of(result)))

    def close(self) -> None:
        """Do nothing: each point is written when it is seen."""


def _frozen(study: Study, result: PointResult) -> FrozenTrial:
    state = state_of(result)
    curve = dict(result.intermediate) if len(study.targets) == 1 else {}
    values = list(result.values) if state is TrialState.COMPLETE else None
    if state is TrialState.PRUNED and curve:
        values = [curve[max(curve)]]  # as Optuna itself does for a pruned trial
    trial = create_trial(
        state=state,
        params=sampled_values(result.swept),
        distributions=distributions(study.space.domains, result.swept),
        values=values,
        intermediate_values=curve,
        user_attrs={_POINT: result.point},
    )
    set_constraints(trial, result.excesses)
    return trial
