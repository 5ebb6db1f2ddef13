"""MLflow as a view of a study: the study is a parent run, its trials are nested runs.

MLflow takes seconds to import and its calls are slow, so a background thread writes in batches. To a server it writes
several trials at a time. All entries, including time stamps, follow from the events, and tags identify the runs. After
a crash the same events therefore give the same runs without duplicates. Entries that are missing after an outage are
written by the next driver of the study or by `python -m platform.rebuild`.
"""

import logging
import shutil
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

from platform.errors import UserError
from platform.events import Proposed, TrialEvent
from platform.figures.map_stages import MAPS, has_maps
from platform.mlflow_view.attached_report import attach_report
from platform.mlflow_view.background_writer import BackgroundWriter
from platform.mlflow_view.client import TEMPORARY, artifact_folder, connected
from platform.mlflow_view.clip_pictures import write_clip_pictures
from platform.mlflow_view.mirror import TrialMirror
from platform.mlflow_view.missing_entries import warn_of_missing
from platform.mlflow_view.registry import save_decoders
from platform.mlflow_view.runs import Provenance, StudyRuns
from platform.mlflow_view.summary import conclude
from platform.record.data_card import write_data_card
from platform.record.provenance import tags_here
from platform.record.results import Result, results_of
from platform.record.study_from_store import provenance_by_time
from platform.record.trial_record import TrialRecord
from platform.study.study import Study
from platform.tracking_uri import is_server
from storage.base import Store
from storage.environment import without_secrets
from storage.errors import StoreError
from storage.owned_folders import owned_folder
from storage.parallel import ordered
from storage.runs import RunStore
from storage.studies import load_calls
from trainables.datasets.errors import DatasetError
from trainables.metrics.clip_metrics import EVALUATE

_log = logging.getLogger(__name__)
_PAGES = ("page.html", "contact.png")
"""Artifacts of an evaluate stage run that are shown in MLflow."""
AT_A_TIME = 4
"""Number of trials that are written to a server at the same time. By default a server has 15 connections to its
database, and a request may need two. With more requests, all connections could be held by requests that wait for their
second one: a deadlock."""


class Tracking:
    """Mirrors the events of one study to MLflow. On resume it must receive all stored events again."""

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
        """Start a thread that imports MLflow and connects to it; return at once.

        Args:
            study: The study that is mirrored.
            home: Home folder; artifacts of a local database are stored there.
            uri: URI of the tracking server or database.
            store: URI of the object store, logged as the source of data and models.
            stage_runs: The stage runs of the store; without them no models and pages are logged.
            provenance: Function from a start time (seconds since 1970) to the tags for user and code; by default the
                tags of this process.
        """
        self._study, self._home, self._uri, self._store, self._stage_runs = study, home, uri, store, stage_runs
        self._runs: StudyRuns | None = None
        self._mirrors: dict[str, TrialMirror] = {}
        self._records: dict[str, TrialRecord] = {}
        self._waiting: dict[str, TrialEvent] = {}
        self._seen = 0
        self._began = 0.0
        self._provenance = provenance
        self.missing = ""
        """The entries that are missing in MLflow, as text; set by `close`."""
        self._writer: BackgroundWriter[TrialEvent] = BackgroundWriter(self._write, name="MLflow")

    def __enter__(self) -> Self:
        """Return this view."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing to wait for: `close` and `attach` have waited."""

    def start(self) -> None:
        """Do nothing: the thread imports MLflow with the first event."""

    def see(self, event: TrialEvent) -> None:
        """Queue one event. The events of a trial must be in order.

        The run of a trial is created when the trial starts, not when it is proposed, so that MLflow shows its duration.
        """
        self._records.setdefault(event.trial, TrialRecord(event.trial)).absorb(event)
        self._began = event.time if self._seen == 0 else self._began
        self._seen += 1
        if isinstance(event, Proposed):
            self._waiting[event.trial] = event
            return
        # Together: the run of a batch that ends with the proposal would begin with it, not with the start.
        proposed = [self._waiting.pop(event.trial)] if event.trial in self._waiting else []
        self._writer.put(*proposed, event)

    def drain(self) -> list[TrialEvent]:
        """Write the pending events; return those that could not be written. `see` must not be called after this."""
        return self._writer.close()

    def close(self) -> None:
        """Write the pending events, then figures, best values and status to the study's run."""
        missing = self.drain()
        self.missing = f"{len(missing)} events of {len({event.trial for event in missing})} trials" if missing else ""
        if not missing:
            try:
                self._conclude()
            except Exception as error:  # the results are stored: a view must not fail the study
                self.missing = f"the summary of the study ({without_secrets(str(error))})"
        if self.missing:
            places = {"home": str(self._home), "store": self._store, "tracking": self._uri}
            warn_of_missing(self.missing, study=self._study.id, **places)

    def attach(self, page: Path) -> None:
        """Log the study's report, whose page is `page`, to the study's run. Called after `close`."""
        attach_report(page, self._study, uri=self._uri)

    def _write(self, events: list[TrialEvent]) -> None:
        by_trial: dict[str, list[TrialEvent]] = defaultdict(list)
        for event in events:
            by_trial[event.trial].append(event)
        try:
            runs = self._connected()
            mirrors = {trial: self._mirrors.setdefault(trial, TrialMirror(trial)) for trial in by_trial}
            batches = [
                (trial, trial_events, mirrors[trial], self._pages_of(trial)) for trial, trial_events in by_trial.items()
            ]
            for _ in ordered(lambda batch: runs.write(*batch), batches, AT_A_TIME if is_server(self._uri) else 1):
                pass
        except Exception as error:
            self._runs = None  # a run may exist although the call failed: search for it before the next attempt
            raise ConnectionError(without_secrets(f"{type(error).__name__}: {error}")) from None

    def _pages_of(self, trial: str) -> Callable[[Path], None] | None:
        """Return what writes into a folder what a trial shows; None if it has nothing to show."""
        proposed = self._records[trial].proposed
        if proposed is None or self._stage_runs is None:
            return None
        if not has_maps(proposed.identities) and EVALUATE not in proposed.identities:
            return None
        return partial(self._write_pages, trial, proposed, self._stage_runs)

    def _write_pages(self, trial: str, proposed: Proposed, stage_runs: RunStore, folder: Path) -> None:
        """Write the pages of a trial's evaluate stage run, pictures of clips, and maps."""
        if has_maps(proposed.identities):
            self._maps(trial, proposed, folder)
        identity = proposed.identities.get(EVALUATE)
        if identity is None or stage_runs.find(identity) is None:
            return
        try:
            artifacts = stage_runs.open(identity)
            for name in artifacts.manifest.files.keys() & set(_PAGES):
                shutil.copyfile(artifacts.path(name), folder / name)
            write_clip_pictures(stage_runs, proposed.identities, proposed.config, folder)
        except (StoreError, DatasetError, ValueError, OSError) as error:
            _log.warning("pages of trial %s are not in MLflow: %s", trial, without_secrets(str(error)))

    def _maps(self, trial: str, proposed: Proposed, folder: Path) -> None:
        """Write the maps of a trial's voxels into `folder/MAPS`, and the page that shows them beside it."""
        from platform.figures.maps_document import MEANING, MapsDocument
        from platform.figures.trial_maps import write_trial_maps  # matplotlib and nibabel take a second

        assert self._stage_runs is not None
        subject = int(proposed.config["voxels"]["subject"])
        try:
            files, note = write_trial_maps(self._stage_runs, proposed.identities, subject, folder / MAPS)
            pictures = [path for path in files if path.suffix == ".png"]
            if pictures:
                MapsDocument(f"Trial {trial}. {MEANING}", [note] if note else [], pictures).write(folder)
        except (StoreError, DatasetError, UserError, OSError) as error:
            _log.warning("maps of trial %s are not in MLflow: %s", trial, without_secrets(str(error)))

    def _connected(self) -> StudyRuns:
        if self._runs is None:
            client = connected(self._uri)
            artifacts = artifact_folder(self._uri, home=self._home)
            self._runs = StudyRuns(client, self._study, artifacts=artifacts, store=self._store, began=self._began)
            self._runs.provenance = _provenance_here() if self._provenance is None else self._provenance
        return self._runs

    def _conclude(self) -> None:
        if self._seen == 0:
            return
        runs = self._connected()
        if runs.concluded == self._seen:
            return
        results = results_of(self._records.values())
        with owned_folder(TEMPORARY) as folder:
            find = self._stage_runs.find if self._stage_runs is not None else lambda _: None
            conclusion = conclude(self._study, results, folder=folder, store=self._store, find=find)
            if self._stage_runs is not None:
                write_data_card(self._stage_runs.store, self._study.id, folder)
            if conclusion.status == "FINISHED" and conclusion.best is not None:
                self._register(runs, conclusion.best)
            runs.conclude(conclusion, folder, events=self._seen)

    def _register(self, runs: StudyRuns, best: Result) -> None:
        with owned_folder(TEMPORARY) as folder:
            if self._stage_runs is not None and save_decoders(self._stage_runs, best, folder):
                runs.register(best, folder)


def recorded_tracking(study: Study, store: Store, *, home: Path, uri: str) -> Tracking:
    """Return the view of a study that was read back from `store`. Tags of its runs are those of the recorded calls."""
    stage_runs = RunStore(store, cache=home / "scratch" / "cache")
    provenance = provenance_by_time(load_calls(store, study.id))
    return Tracking(study, home=home, uri=uri, store=store.uri, stage_runs=stage_runs, provenance=provenance)


def _provenance_here() -> Provenance:
    tags = tags_here()
    return lambda _: tags
