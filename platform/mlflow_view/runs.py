"""The runs of one study in MLflow: a parent run for the study, a child run per trial. Tags identify them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from platform.events import Proposed, TrialEvent
from platform.figures.map_stages import MAPS
from platform.mlflow_view.client import TEMPORARY, find_experiment, log
from platform.mlflow_view.clip_pictures import log_clip_pictures
from platform.mlflow_view.mirror import Entries, TrialMirror, milliseconds, params, readable
from platform.mlflow_view.registry import register
from platform.mlflow_view.saved_view import CLIPS, NOTE, TAG, pictures_of_view, run_link, saved_views
from platform.mlflow_view.summary import FIGURES, Conclusion
from platform.record.data_card import DATA_CARD, card_pages
from platform.record.results import Result
from platform.study.study import Study
from storage.owned_folders import owned_folder

if TYPE_CHECKING:
    from platform.mlflow_view.client import MlflowClient, MlflowRun, RunInfo

STUDY, TRIAL, KIND, EVENTS = "mindsweep.study", "mindsweep.trial", "mindsweep.kind", "mindsweep.events"
"""Tags that identify runs. The last tag has the number of events behind a finished trial or a summary."""

_NOTE = (
    "Each run is a study. Its description, tags and artifacts (`figures.html`) have the results; the plus sign opens "
    "its trials. Views (top right) lists them, best first. Metrics under `epochs/` are curves, all others are final."
)


Provenance: TypeAlias = Callable[[float], Mapping[str, str]]


class StudyRuns:
    """The runs of one study in MLflow; missing runs are created."""

    def __init__(self, client: MlflowClient, study: Study, *, artifacts: str | None, store: str, began: float) -> None:
        self._client, self._study, self._store, self._began = client, study, store, began
        self.provenance: Provenance = lambda _: {}
        self._experiment = find_experiment(client, study.name, artifacts=artifacts, note=_NOTE)
        self._parent: RunInfo | None = None
        self.concluded = 0
        """The number of events behind the summary in the study's run."""
        self._datasets: set[str] = set()
        """Digests of the data sets that are logged in the study's run."""
        self._children: dict[str, RunInfo] = {}
        self._complete: dict[str, int] = {}
        for run in self._search():
            tags = run.data.tags
            if tags.get(KIND) == "study":
                self._parent, self.concluded = run.info, int(tags.get(EVENTS, 0))
                inputs = run.inputs.dataset_inputs if run.inputs is not None else []
                self._datasets = {logged.dataset.digest for logged in inputs}
            elif TRIAL in tags:
                self._children[tags[TRIAL]] = run.info
                self._complete[tags[TRIAL]] = int(tags.get(EVENTS, 0))
        self._open = False
        self._pictures: tuple[str, ...] = ()
        """Keys of the images that trials have in common; empty while none has any."""
        self._mutex = threading.Lock()
        """Locked while the study's run is written. Several threads write trials, each trial by one thread."""

    def write(
        self, trial: str, events: Sequence[TrialEvent], mirror: TrialMirror, pages: Callable[[Path], None] | None
    ) -> None:
        """Write events of one trial; events that its run already has are skipped.

        `pages` writes the pages of a finished trial into a folder; None if it has none.
        """
        fresh = [event for event in events if event.sequence >= self._complete.get(trial, 0)]
        if not fresh:
            return
        with self._mutex:
            parent = self._open_parent()
        entries = mirror.entries(fresh)
        if trial not in self._children:
            started = next((event.time for event in fresh if not isinstance(event, Proposed)), fresh[0].time)
            tags = {**self._common(started), KIND: "trial", TRIAL: trial, "mlflow.parentRunId": parent.run_id}
            tags[NOTE] = f"Trial of [{self._study.id}]({run_link(self._experiment, parent.run_id)})"
            run = self._client.create_run(self._experiment, milliseconds(started), tags, run_name=trial)
            self._children[trial] = run.info
        if isinstance(fresh[0], Proposed):
            entries.params.update(params({"study": self._shared()}))
        with self._mutex:
            if entries.dataset is not None and entries.dataset.digest not in self._datasets:
                log(self._client, parent, Entries(dataset=entries.dataset), store=self._store)
                self._datasets.add(entries.dataset.digest)
        if entries.status is not None:
            if pages is not None:
                time = entries.ended if entries.ended is not None else milliseconds(fresh[-1].time)
                self._log_pages(self._children[trial].run_id, pages, time=time)
            entries.tags[EVENTS] = str(fresh[-1].sequence + 1)  # tags are written last: a run with this one is complete
        log(self._client, self._children[trial], entries, store=self._store)

    def _log_pages(self, run_id: str, pages: Callable[[Path], None], *, time: int) -> None:
        with owned_folder(TEMPORARY) as folder:
            pages(folder)
            for page in sorted(path for path in folder.iterdir() if path.is_file()):
                self._client.log_artifact(run_id, str(page))
            if (folder / MAPS).is_dir():
                self._client.log_artifacts(run_id, str(folder / MAPS), MAPS)
            self._show_pictures(log_clip_pictures(self._client, run_id, folder, time=time))

    def register(self, best: Result, files: Path) -> None:
        """Register the decoders in `files` of trial `best` in the model registry."""
        stages = {f"stage.{stage.name}": best.identities[stage.name] for stage in sorted(files.iterdir())}
        targets = {target.name: readable(best.metrics[target.name]) for target in self._study.targets}
        tags = {STUDY: self._study.id, TRIAL: best.trial, **stages, **targets}
        register(self._client, self._study.id, run=self._children[best.trial].run_id, files=files, tags=tags)

    def conclude(self, conclusion: Conclusion, folder: Path, *, events: int) -> None:
        """Write the results of the study after its first `events` events to its run."""
        parent = self._open_parent()
        self._client.log_artifacts(parent.run_id, str(folder))
        points, tags = list(conclusion.points), dict(conclusion.tags)
        cards = {title: f"{stem}.html" for title, stem in card_pages(sorted(folder.glob(f"{DATA_CARD}*.html")))}
        pages = {"Figures": FIGURES, **cards}
        links = [
            f"[{title}]({run_link(self._experiment, parent.run_id, page)})"
            for title, page in pages.items()
            if (folder / page).exists()
        ]
        if links:
            tags[NOTE] = f"{' · '.join(links)}\n\n{tags[NOTE]}"
        tags[EVENTS] = str(events)
        entries = Entries(points=points, tags=tags, status=conclusion.status, ended=conclusion.ended)
        log(self._client, parent, entries)

    def _open_parent(self) -> RunInfo:
        """Return the study's run; create it or set it to running if necessary."""
        if self._parent is None:
            tags = {**self._common(self._began), KIND: "study"}
            run = self._client.create_run(self._experiment, milliseconds(self._began), tags, run_name=self._study.id)
            self._parent = run.info
        if not self._open:
            self._client.update_run(self._parent.run_id, status="RUNNING")
            tags = self._client.get_experiment(self._experiment).tags
            views = (tags.get(TAG + self._study.id + end, "") for end in (CLIPS, ""))
            self._pictures = next(filter(None, map(pictures_of_view, views)), ())
            self._write_view()
            definition = {name: value for name, value in self._study.definition.items() if name not in self._shared()}
            space = {name: readable(domain) for name, domain in definition.pop("space", {}).items()}
            parameters = params({"study": self._shared(), "space": space, **definition})
            log(self._client, self._parent, Entries(params=parameters, tags=dict(self._study.tags)))
            self._open = True
        return self._parent

    def _write_view(self) -> None:
        for view in saved_views(self._study, began=self._began, pictures=self._pictures):
            self._client.set_experiment_tag(self._experiment, *view)

    def _show_pictures(self, keys: tuple[str, ...]) -> None:
        """Have the view of the trials show images with these keys side by side."""
        with self._mutex:
            if keys and not self._pictures:
                self._pictures = keys
                self._write_view()

    def _common(self, time: float) -> dict[str, str]:
        """Return the tags of a run that began at `time`, in seconds."""
        source = {"mlflow.source.name": self._study.path, "mlflow.source.type": "LOCAL"}
        return {STUDY: self._study.id, **source, **self.provenance(time)}

    def _shared(self) -> dict[str, Any]:
        """Return the parameters of the study that are also logged in trials: MLflow's filters ignore parent runs."""
        names = ("targets", "sampler", "scheduler", "seed", "repeats")
        return {name: self._study.definition[name] for name in names if name in self._study.definition}

    def _search(self) -> Iterator[MlflowRun]:
        token: str | None = None
        while True:
            query = f"tags.`{STUDY}` = '{self._study.id}'"
            page = self._client.search_runs([self._experiment], query, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return
