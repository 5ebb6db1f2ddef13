"""MLflow as a view of a study: the study is a parent run, its trials are nested runs. The only importer of mlflow.

MLflow takes seconds to import and is slow per call, so one background thread writes, in batches. All it writes follows
from the events, time stamps included, and runs are found again by their tags: after a crash the same events give the
same runs, without doubles.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform.definition.study import Study
from platform.events import TrialEvent
from platform.views.background import BackgroundWriter
from platform.views.conclusion import Conclusion, conclude
from platform.views.mirror import Entries, TrialMirror, milliseconds, params, readable
from platform.views.provenance import git_tags, user, version_tags
from platform.views.results import Result, absorb
from platform.views.saved_view import EXPERIMENTS, saved_view
from platform.views.tracking_uri import sqlite_path, without_secrets
from storage import layout
from storage.errors import StoreError
from storage.runs import RunStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_log = logging.getLogger(__name__)
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Quiet, and failing soon: events wait with us, not in MLflow's own retries."""
_REPORT = "report"
"""Folder of an ablation's report among the artifacts of its run."""
_PAGES = ("page.html", "contact.png")
"""What an evaluate stage run leaves for people to look at."""
_REFUSED = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""MLflow's error codes that sending again would not change."""
_LARGE = 100_000
"""Characters of params from which they are sent by themselves."""
_STUDY, _TRIAL, _KIND, _EVENTS = "mindsweep.study", "mindsweep.trial", "mindsweep.kind", "mindsweep.events"
"""Tags by which runs are found again. The last one holds how many events made a finished trial, or a summary."""

_NOTE = (
    "Each run is a study: description, tags and artifacts (`figures.html`) hold what it came to; the plus sign opens "
    "its trials. Views (top right) lists them best first. Metrics under `epochs/` are curves, all others final."
)


class Tracking:
    """Mirrors the events of one study into MLflow. On resume it must be given all stored events again."""

    def __init__(self, study: Study, *, home: Path, uri: str, store: str, stage_runs: RunStore | None = None) -> None:
        """Return at once; MLflow is imported and reached by a thread.

        Args:
            study: What is mirrored.
            home: Where a local database's artifacts lie.
            uri: Of the tracking server or database.
            store: URI of the object store, named as the source of data and models.
            stage_runs: Those of the store; without them no model and no page is named.
        """
        self._study, self._home, self._uri, self._store, self._stage_runs = study, home, uri, store, stage_runs
        self._runs: _StudyRuns | None = None
        self._mirrors: dict[str, TrialMirror] = defaultdict(TrialMirror)
        self._results: dict[str, Result] = {}
        self._waiting: dict[str, TrialEvent] = {}
        self._seen = 0
        self._began = 0.0
        self._writer: BackgroundWriter[TrialEvent] = BackgroundWriter(self._write, name="MLflow")

    def see(self, event: TrialEvent) -> None:
        """Take in one event, in order within its trial.

        A trial gets its run when it starts, not when it is proposed, so that MLflow shows how long it took.
        """
        self._results[event.trial] = absorb(self._results.get(event.trial, Result(event.trial)), event)
        self._began = event.time if self._seen == 0 else self._began
        self._seen += 1
        if event.kind == "proposed":
            self._waiting[event.trial] = event
            return
        if event.trial in self._waiting:
            self._writer.put(self._waiting.pop(event.trial))
        self._writer.put(event)

    def close(self) -> None:
        """Write what is pending, then figures, best values and status onto the study's run."""
        missing = self._writer.close()
        lack = f"{len(missing)} events of {len({event.trial for event in missing})} trials" if missing else ""
        if not missing:
            try:
                self._conclude()
            except Exception as error:  # a view must not fail a study whose results are in the store
                lack = f"the summary of the study ({without_secrets(str(error))})"
        if lack:
            again = f"python -m platform.sweep {self._study.path}"
            _log.warning("MLflow lacks %s. The store holds all of it, and this writes it: %s", lack, again)

    def _write(self, events: list[TrialEvent]) -> None:
        by_trial: dict[str, list[TrialEvent]] = defaultdict(list)
        for event in events:
            by_trial[event.trial].append(event)
        try:
            runs = self._connected()
            for trial, seen in by_trial.items():
                runs.write(trial, seen, self._mirrors[trial], partial(self._pages, trial))
        except Exception as error:
            self._runs = None  # a run may have been made whose answer was lost: look for it before making another
            raise ConnectionError(without_secrets(f"{type(error).__name__}: {error}")) from None

    def _pages(self, trial: str, folder: Path) -> None:
        """Put the pages of a trial's evaluate stage run, if it has one, into `folder`."""
        identity = self._results[trial].identities.get("evaluate")
        if identity is None or self._stage_runs is None or self._stage_runs.find(identity) is None:
            return
        try:
            artifacts = self._stage_runs.open(identity)
            for name in artifacts.manifest.files.keys() & set(_PAGES):
                shutil.copyfile(artifacts.path(name), folder / name)
        except StoreError as error:
            _log.warning("MLflow lacks the page of trial %s: %s", trial, without_secrets(str(error)))

    def _connected(self) -> _StudyRuns:
        if self._runs is None:
            client = connected(self._uri)
            artifacts = artifact_folder(self._uri, home=self._home)
            self._runs = _StudyRuns(client, self._study, artifacts=artifacts, store=self._store, began=self._began)
        return self._runs

    def _conclude(self) -> None:
        if self._seen == 0:
            return
        runs = self._connected()
        if runs.concluded == self._seen:
            return
        results = tuple(self._results[trial] for trial in sorted(self._results))
        with tempfile.TemporaryDirectory() as folder:
            find = self._stage_runs.find if self._stage_runs is not None else lambda _: None
            conclusion = conclude(self._study, results, folder=Path(folder), store=self._store, find=find)
            conclusion.tags[_EVENTS] = str(self._seen)
            runs.conclude(conclusion, Path(folder))


class _StudyRuns:
    """The runs of one study in MLflow: found if they exist, else made."""

    def __init__(self, client: MlflowClient, study: Study, *, artifacts: str | None, store: str, began: float) -> None:
        self._client, self._study, self._store, self._began = client, study, store, began
        commit = git_tags()
        self._common = {
            _STUDY: study.id,
            "mlflow.user": user(),
            "mlflow.source.name": study.path,
            "mlflow.source.type": "LOCAL",
            **commit,
            **version_tags(),
        }
        if "git.commit" in commit:
            self._common["mlflow.source.git.commit"] = commit["git.commit"]
        self._experiment = find_experiment(client, study.name, artifacts=artifacts, note=_NOTE)
        self._parent: str | None = None
        self.concluded = 0
        """How many events the summary on the study's run was made from."""
        self._children: dict[str, str] = {}
        self._complete: dict[str, int] = {}
        for run in self._search():
            tags = run.data.tags
            if tags.get(_KIND) == "study":
                self._parent, self.concluded = run.info.run_id, int(tags.get(_EVENTS, 0))
            elif _TRIAL in tags:
                self._children[tags[_TRIAL]] = run.info.run_id
                self._complete[tags[_TRIAL]] = int(tags.get(_EVENTS, 0))
        self._open = False

    def write(
        self, trial: str, events: Sequence[TrialEvent], mirror: TrialMirror, pages: Callable[[Path], None]
    ) -> None:
        """Write events of one trial; what its run has already stays as it is.

        `pages` puts into a folder what there is to look at once the trial is finished.
        """
        fresh = [event for event in events if event.sequence >= self._complete.get(trial, 0)]
        if not fresh:
            return
        parent = self._open_parent()
        entries = mirror.entries(fresh)
        if trial not in self._children:
            started = next((event.time for event in fresh if event.kind != "proposed"), fresh[0].time)
            tags = {**self._common, _KIND: "trial", _TRIAL: trial, "mlflow.parentRunId": parent}
            run = self._client.create_run(self._experiment, milliseconds(started), tags, run_name=trial)
            self._children[trial] = run.info.run_id
        if fresh[0].kind == "proposed":
            entries.params.update(params({"study": self._shared()}))
        if entries.status is not None:
            entries.tags[_EVENTS] = str(fresh[-1].sequence + 1)
            with tempfile.TemporaryDirectory() as folder:
                pages(Path(folder))
                for page in sorted(Path(folder).iterdir()):
                    self._client.log_artifact(self._children[trial], str(page))
        log(self._client, self._children[trial], entries, store=self._store)

    def conclude(self, conclusion: Conclusion, folder: Path) -> None:
        """Write what the whole study came to onto its run."""
        parent = self._open_parent()
        self._client.log_artifacts(parent, str(folder))
        points, tags = list(conclusion.points), conclusion.tags
        entries = Entries(points=points, tags=tags, status=conclusion.status, ended=conclusion.ended)
        log(self._client, parent, entries)

    def _open_parent(self) -> str:
        """Return the study's run, made or opened again for more trials."""
        if self._parent is None:
            tags = {**self._common, _KIND: "study"}
            run = self._client.create_run(self._experiment, milliseconds(self._began), tags, run_name=self._study.id)
            self._parent = run.info.run_id
        if not self._open:
            self._client.update_run(self._parent, status="RUNNING")
            self._client.set_experiment_tag(self._experiment, *saved_view(self._study, began=self._began))
            definition = {name: value for name, value in self._study.definition.items() if name not in self._shared()}
            space = {name: readable(domain) for name, domain in definition.pop("space", {}).items()}
            written = params({"study": self._shared(), "space": space, **definition})
            log(self._client, self._parent, Entries(params=written, tags=dict(self._study.tags)))
            self._open = True
        return self._parent

    def _shared(self) -> dict[str, Any]:
        """Return the parameters of the study that every trial gets too: MLflow's filters do not look at parents."""
        names = ("targets", "sampler", "scheduler", "seed", "repeats")
        return {name: self._study.definition[name] for name in names if name in self._study.definition}

    def _search(self) -> Iterator[Run]:
        token: str | None = None
        while True:
            query = f"tags.`{_STUDY}` = '{self._study.id}'"
            page = self._client.search_runs([self._experiment], query, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def log(client: MlflowClient, run_id: str, entries: Entries, *, store: str = "") -> None:
    """Write `entries`, the status last. What MLflow will never take is reported and left out.

    `store` is the URI of the object store that holds the data set.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    metrics = [Metric(*point) for point in entries.points]
    tags = [RunTag(name, value) for name, value in entries.tags.items()]
    parameters = [Param(name, value) for name, value in entries.params.items()]
    try:
        if sum(map(len, entries.params.values())) > _LARGE:  # a request may have 1 MB
            client.log_batch(run_id, params=parameters)
            parameters = []
        client.log_batch(run_id, metrics, parameters, tags)
        for name, text in entries.texts.items():
            client.log_text(run_id, text, name)
        if entries.dataset is not None:
            name, identity = entries.dataset
            source = json.dumps({"uri": f"{store.rstrip('/')}/{layout.manifest(identity)}"})
            dataset = Dataset(name=name, digest=identity[:36], source_type="mindsweep", source=source)
            client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        if entries.status is not None:
            client.set_terminated(run_id, entries.status, entries.ended)
    except MlflowException as error:
        if error.error_code not in _REFUSED:
            raise
        _log.warning("MLflow refuses entries of run %s: %s", run_id, without_secrets(str(error)))


def attach_report(folder: Path, study: Study, *, uri: str) -> None:
    """Make the files of `folder` artifacts of the study's run, under `report`; what prevents it is only told."""
    try:
        client = connected(uri)
        experiment = client.get_experiment_by_name(f"{EXPERIMENTS}{study.name}")
        if experiment is None:
            raise LookupError(f"there is no experiment {EXPERIMENTS}{study.name}")
        query = f"tags.`{_STUDY}` = '{study.id}' and tags.`{_KIND}` = 'study'"
        for run in client.search_runs([experiment.experiment_id], query, max_results=1):
            client.log_artifacts(run.info.run_id, str(folder), _REPORT)
    except Exception as error:  # a view must not fail a study whose results are in the store
        _log.warning("MLflow lacks the report %s: %s", folder, without_secrets(str(error)))


def find_experiment(client: MlflowClient, name: str, *, artifacts: str | None, note: str) -> str:
    """Return the ID of our experiment `name`, made or restored if need be; `note` tells people how to read it."""
    from mlflow.exceptions import MlflowException

    full = f"{EXPERIMENTS}{name}"
    found = client.get_experiment_by_name(full)
    if found is None:
        try:
            place = None if artifacts is None else f"{artifacts}/{name}"
            tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": note}
            return client.create_experiment(full, artifact_location=place, tags=tags)
        except MlflowException:  # another driver made it meanwhile, or else this raises again
            found = client.get_experiment_by_name(full)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def artifact_folder(uri: str, *, home: Path) -> str | None:
    """Return where the artifacts of a local database lie, as URI; None where a server decides."""
    return None if sqlite_path(uri) is None else (home / "mlartifacts").resolve().as_uri()


def connected(uri: str) -> MlflowClient:
    """Import mlflow and return a client whose database, if it is a local file, has its tables."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # a library that imported them earlier decided otherwise
        logging.getLogger(name).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=uri)
    path = sqlite_path(uri)
    if path is None:
        return client
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that make the tables of one file at once break them
        client.search_experiments(max_results=1)
    return client
