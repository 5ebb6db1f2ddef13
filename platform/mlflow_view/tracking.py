"""MLflow as a view of a study: the study is a parent run, its trials are nested runs.

MLflow takes seconds to import and is slow per call, so a background thread writes, in batches; to a server those of
several trials at a time. All it writes follows from the events, time stamps included, and runs are found again by their
tags: after a crash the same events give the same runs, without doubles. The store's records are all that it is made
from, so what MLflow lacks after an outage is written by the next driver of the study, or by `python -m
platform.rebuild`.
"""

import logging
import shlex
import shutil
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

from platform.events import Proposed, TrialEvent
from platform.mlflow_view.background_writer import BackgroundWriter
from platform.mlflow_view.client import artifact_folder, connected
from platform.mlflow_view.mirror import TrialMirror
from platform.mlflow_view.registry import save_decoders
from platform.mlflow_view.runs import Provenance, StudyRuns
from platform.mlflow_view.summary import conclude
from platform.record.provenance import tags_here
from platform.record.results import Result, results_of
from platform.record.trial_record import TrialRecord
from platform.study.study import Study
from platform.tracking_uri import is_server, without_secrets
from storage.errors import StoreError
from storage.parallel import ordered
from storage.runs import RunStore

_log = logging.getLogger(__name__)
"""Folder of an ablation's report among the artifacts of its run."""
_PAGES = ("page.html", "contact.png")
"""What an evaluate stage run leaves for people to look at."""
AT_A_TIME = 4
"""Trials that are written to a server at once. A request may hold two of the 15 connections that a server has to its
database unless told otherwise, and waits for ever when all are held by others that wait for their second."""


class Tracking:
    """Mirrors the events of one study into MLflow. On resume it must be given all stored events again."""

    def __init__(
        self,
        study: Study,
        *,
        home: Path,
        uri: str,
        store: str,
        stage_runs: RunStore | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        """Return at once; MLflow is imported and reached by a thread.

        Args:
            study: What is mirrored.
            home: Where a local database's artifacts lie.
            uri: Of the tracking server or database.
            store: URI of the object store, named as the source of data and models.
            stage_runs: Those of the store; without them no model and no page is named.
            provenance: Who made what began at a time (seconds since 1970), from which code, as tags; without it this
                process does.
        """
        self._study, self._home, self._uri, self._store, self._stage_runs = study, home, uri, store, stage_runs
        self._runs: StudyRuns | None = None
        self._mirrors: dict[str, TrialMirror] = {}
        self._records: dict[str, TrialRecord] = {}
        self._waiting: dict[str, TrialEvent] = {}
        self._seen = 0
        self._began = 0.0
        self._provenance = provenance
        self.lack = ""
        """What MLflow lacks, known once this is closed."""
        self._writer: BackgroundWriter[TrialEvent] = BackgroundWriter(self._write, name="MLflow")

    def see(self, event: TrialEvent) -> None:
        """Take in one event, in order within its trial.

        A trial gets its run when it starts, not when it is proposed, so that MLflow shows how long it took.
        """
        self._records.setdefault(event.trial, TrialRecord(event.trial)).absorb(event)
        self._began = event.time if self._seen == 0 else self._began
        self._seen += 1
        if isinstance(event, Proposed):
            self._waiting[event.trial] = event
            return
        if event.trial in self._waiting:
            self._writer.put(self._waiting.pop(event.trial))
        self._writer.put(event)

    def drain(self) -> list[TrialEvent]:
        """Write what is pending; return the events that MLflow did not take. None may be seen after this."""
        return self._writer.close()

    def close(self) -> None:
        """Write what is pending, then figures, best values and status onto the study's run."""
        missing = self.drain()
        self.lack = f"{len(missing)} events of {len({event.trial for event in missing})} trials" if missing else ""
        if not missing:
            try:
                self._conclude()
            except Exception as error:  # a view must not fail a study whose results are in the store
                self.lack = f"the summary of the study ({without_secrets(str(error))})"
        if self.lack:
            places = ["--home", str(self._home), "--store", self._store, "--tracking", without_secrets(self._uri)]
            again = shlex.join(["python", "-m", "platform.rebuild", self._study.id, *places])
            _log.warning("MLflow lacks %s. The store holds all of it, and this writes it: %s", self.lack, again)

    def _write(self, events: list[TrialEvent]) -> None:
        by_trial: dict[str, list[TrialEvent]] = defaultdict(list)
        for event in events:
            by_trial[event.trial].append(event)
        try:
            runs = self._connected()
            mirrors = {trial: self._mirrors.setdefault(trial, TrialMirror(trial)) for trial in by_trial}
            batches = [(trial, seen, mirrors[trial], partial(self._pages, trial)) for trial, seen in by_trial.items()]
            for _ in ordered(lambda batch: runs.write(*batch), batches, AT_A_TIME if is_server(self._uri) else 1):
                pass
        except Exception as error:
            self._runs = None  # a run may have been made whose answer was lost: look for it before making another
            raise ConnectionError(without_secrets(f"{type(error).__name__}: {error}")) from None

    def _pages(self, trial: str, folder: Path) -> None:
        """Put the pages of a trial's evaluate stage run, if it has one, into `folder`."""
        proposed = self._records[trial].proposed
        identity = None if proposed is None else proposed.identities.get("evaluate")
        if identity is None or self._stage_runs is None or self._stage_runs.find(identity) is None:
            return
        try:
            artifacts = self._stage_runs.open(identity)
            for name in artifacts.manifest.files.keys() & set(_PAGES):
                shutil.copyfile(artifacts.path(name), folder / name)
        except StoreError as error:
            _log.warning("MLflow lacks the page of trial %s: %s", trial, without_secrets(str(error)))

    def _connected(self) -> StudyRuns:
        if self._runs is None:
            client = connected(self._uri)
            artifacts = artifact_folder(self._uri, home=self._home)
            self._runs = StudyRuns(client, self._study, artifacts=artifacts, store=self._store, began=self._began)
            self._runs.provenance = _made_here() if self._provenance is None else self._provenance
        return self._runs

    def _conclude(self) -> None:
        if self._seen == 0:
            return
        runs = self._connected()
        if runs.concluded == self._seen:
            return
        results = results_of(self._records.values())
        with tempfile.TemporaryDirectory() as folder:
            find = self._stage_runs.find if self._stage_runs is not None else lambda _: None
            conclusion = conclude(self._study, results, folder=Path(folder), store=self._store, find=find)
            if conclusion.status == "FINISHED" and conclusion.best is not None:
                self._register(runs, conclusion.best)
            runs.conclude(conclusion, Path(folder), events=self._seen)

    def _register(self, runs: StudyRuns, best: Result) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if self._stage_runs is not None and save_decoders(self._stage_runs, best, Path(folder)):
                runs.register(best, Path(folder))


def _made_here() -> Provenance:
    tags = tags_here()
    return lambda _: tags
