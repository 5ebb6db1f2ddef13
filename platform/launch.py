"""Runs a study with the views of the command line: Optuna journal, Parquet tables, MLflow, progress on the terminal."""

import threading
from functools import partial
from importlib import import_module

from platform.events import View
from platform.mlflow_view.tracking import Tracking
from platform.mlflow_view.ui_command import ui_command
from platform.options import Options
from platform.record.optuna_journal import OptunaView
from platform.record.tables import RecordTables
from platform.record.trial_log import Summary
from platform.run.driver import run_study
from platform.screen.progress import Progress
from platform.study.study import Study
from storage.runs import RunStore
from storage.uri import open_store
from trainables.stage_table import STAGES

_TORCH = "trainables.saved"
"""Saves the best decoders in MLflow's model registry."""
_PLOTS = "optuna.visualization"
"""Draws a sweep's figures; `import optuna` does not load it."""
_NEEDED_LATER = (
    "platform.run.ray.trials",
    "mlflow",
    "platform.figures.page",
    "platform.reporting.contents",
    "platform.reporting.sweep_report",
)


def launch(study: Study, options: Options) -> Summary:
    """Run the unfinished trials of `study` with all views; raises as `run_study`.

    It is called in the same way.
    """
    later = partial(_import_for_later, study)
    return run_study(study, options, views=lambda: default_views(study, options), meanwhile=later)


def _import_for_later(study: Study) -> None:
    """Begin to import, in a thread, what takes seconds to import and is needed once Ray has started, in this order."""
    trains = any(STAGES[stage].is_decoder for stage in study.own_stages())
    plots = (_PLOTS,) if study.has_optuna_journal else ()
    names = (*_NEEDED_LATER, *plots, *((_TORCH,) if trains and study.has_best else ()))
    threading.Thread(target=lambda: [import_module(name) for name in names], daemon=True).start()


def default_views(study: Study, options: Options) -> list[View]:
    """Return the views: Optuna journal of a sweep, tables, MLflow, and progress on the terminal, which closes last."""
    home, store = options.home, open_store(options.store)
    runs = RunStore(store, cache=home / "scratch" / "cache")
    journal: list[View] = [OptunaView(study, home=home)] if study.has_optuna_journal else []
    mlflow = Tracking(study, home=home, uri=options.tracking, store=store.uri, stage_runs=runs)
    tables = RecordTables(store, study.id)
    return [*journal, tables, mlflow, Progress(study, ui=ui_command(home, options.tracking), live=not options.inline)]
