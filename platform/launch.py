"""Runs a study with the views of the command line: Optuna journal, Parquet tables, MLflow, progress on the terminal."""

import threading
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol

from platform.events import View
from platform.mlflow_view.tracking_process import Places, TrackingProcess
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


class MlflowView(View, AbstractContextManager["MlflowView"], Protocol):
    """MLflow as a view of one study. Leaving its block waits until MLflow has everything."""

    def start(self) -> None:
        """Begin to import MLflow, before the first event."""

    def attach(self, page: Path) -> None:
        """Log the study's report, whose page is `page`. Called after `close`."""


_TUNE = "platform.run.ray.trials"
"""Needed once Ray has started."""


def launch(study: Study, options: Options, mlflow: MlflowView | None = None, held: ExitStack | None = None) -> Summary:
    """Run the unfinished trials of `study` with all views; raises as `run_study`.

    With `mlflow`, which `mlflow_view` made, the caller waits for MLflow and then ends `held`: the study's lease, since
    the views of another driver would write the same entries. Without them, this function does.
    """
    if mlflow is None:
        with ExitStack() as own, mlflow_view(study, options) as view:
            return launch(study, options, view, own)
    later = partial(_begin_early, mlflow)
    return run_study(study, options, views=lambda: default_views(study, options, mlflow), meanwhile=later, held=held)


def mlflow_view(study: Study, options: Options) -> MlflowView:
    """Return MLflow as a view of `study`: in another process if trials run on Ray, else in a thread of this one."""
    if options.inline:
        from platform.mlflow_view.tracking import Tracking

        store = open_store(options.store)
        runs = RunStore(store, cache=options.home / "scratch" / "cache")
        return Tracking(study, home=options.home, uri=options.tracking, store=store.uri, stage_runs=runs)
    return TrackingProcess(Places(study.id, str(options.home), options.store, options.tracking))


def _begin_early(mlflow: MlflowView) -> None:
    """Begin what takes seconds while Ray starts: MLflow's process, and the import of Ray Tune."""
    mlflow.start()
    threading.Thread(target=import_module, args=(_TUNE,), daemon=True).start()


def default_views(study: Study, options: Options, mlflow: MlflowView) -> list[View]:
    """Return the views: Optuna journal of a sweep, tables, MLflow, and progress on the terminal, which closes last."""
    journal: list[View] = [OptunaView(study, home=options.home)] if study.has_optuna_journal else []
    tables = RecordTables(open_store(options.store), study.id)
    ui = ui_command(options.home, options.tracking)
    return [*journal, tables, mlflow, Progress(study, ui=ui, live=not options.inline)]
