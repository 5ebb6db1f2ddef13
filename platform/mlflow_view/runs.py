"""The runs of one study in MLflow: a parent for the study, a child for each trial, found again by their tags."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from platform.events import Proposed, TrialEvent
from platform.mlflow_view.client import find_experiment, log, unless_refused
from platform.mlflow_view.mirror import Entries, TrialMirror, milliseconds, params, readable
from platform.mlflow_view.registry import register
from platform.mlflow_view.saved_view import NOTE, run_link, saved_view
from platform.mlflow_view.summary import FIGURES, Conclusion
from platform.record.results import Result
from platform.study.study import Study

if TYPE_CHECKING:
    from platform.mlflow_view.client import MlflowClient, MlflowRun

STUDY, TRIAL, KIND, EVENTS = "mindsweep.study", "mindsweep.trial", "mindsweep.kind", "mindsweep.events"
"""Tags by which runs are found again. The last one holds how many events made a finished trial, or a summary."""

_NOTE = (
    "Each run is a study: description, tags and artifacts (`figures.html`) hold what it came to; the plus sign opens "
    "its trials. Views (top right) lists them best first. Metrics under `epochs/` are curves, all others final."
)


Provenance: TypeAlias = Callable[[float], Mapping[str, str]]


class StudyRuns:
    """The runs of one study in MLflow: found if they exist, else made."""

    def __init__(self, client: MlflowClient, study: Study, *, artifacts: str | None, store: str, began: float) -> None:
        self._client, self._study, self._store, self._began = client, study, store, began
        self.provenance: Provenance = lambda _: {}
        self._experiment = find_experiment(client, study.name, artifacts=artifacts, note=_NOTE)
        self._parent: str | None = None
        self.concluded = 0
        """How many events the summary on the study's run was made from."""
        self._datasets: set[str] = set()
        """Digests of those that the study's run names."""
        self._children: dict[str, str] = {}
        self._complete: dict[str, int] = {}
        for run in self._search():
            tags = run.data.tags
            if tags.get(KIND) == "study":
                self._parent, self.concluded = run.info.run_id, int(tags.get(EVENTS, 0))
                used = run.inputs.dataset_inputs if run.inputs is not None else []
                self._datasets = {one.dataset.digest for one in used}
            elif TRIAL in tags:
                self._children[tags[TRIAL]] = run.info.run_id
                self._complete[tags[TRIAL]] = int(tags.get(EVENTS, 0))
        self._open = False
        self._mutex = threading.Lock()
        """Held while the study's run is written to: trials are written by several threads, each by one at a time."""

    def write(
        self, trial: str, events: Sequence[TrialEvent], mirror: TrialMirror, pages: Callable[[Path], None]
    ) -> None:
        """Write events of one trial; what its run has already stays as it is.

        `pages` puts into a folder what there is to look at once the trial is finished.
        """
        fresh = [event for event in events if event.sequence >= self._complete.get(trial, 0)]
        if not fresh:
            return
        with self._mutex:
            parent = self._open_parent()
        entries = mirror.entries(fresh)
        if trial not in self._children:
            started = next((event.time for event in fresh if not isinstance(event, Proposed)), fresh[0].time)
            tags = {**self._common(started), KIND: "trial", TRIAL: trial, "mlflow.parentRunId": parent}
            tags[NOTE] = f"Trial of [{self._study.id}]({run_link(self._experiment, parent)})"
            run = self._client.create_run(self._experiment, milliseconds(started), tags, run_name=trial)
            self._children[trial] = run.info.run_id
        if isinstance(fresh[0], Proposed):
            entries.params.update(params({"study": self._shared()}))
        if entries.status is not None:
            with tempfile.TemporaryDirectory() as folder:
                pages(Path(folder))
                for page in sorted(Path(folder).iterdir()):
                    self._client.log_artifact(self._children[trial], str(page))
        log(self._client, self._children[trial], entries, store=self._store)
        with self._mutex:
            if entries.dataset is not None and entries.dataset.digest not in self._datasets:
                log(self._client, parent, Entries(dataset=entries.dataset), store=self._store)
                self._datasets.add(entries.dataset.digest)
        if entries.status is not None:  # last of all: what has this tag is whole
            self._count(self._children[trial], fresh[-1].sequence + 1)

    def register(self, best: Result, files: Path) -> None:
        """Put the decoders in `files`, of trial `best`, into the model registry."""
        stages = {f"stage.{stage.name}": best.identities[stage.name] for stage in sorted(files.iterdir())}
        targets = {target.name: readable(best.metrics[target.name]) for target in self._study.targets}
        tags = {STUDY: self._study.id, TRIAL: best.trial, **stages, **targets}
        register(self._client, self._study.id, run=self._children[best.trial], files=files, tags=tags)

    def conclude(self, conclusion: Conclusion, folder: Path, *, events: int) -> None:
        """Write what the whole study came to, by its first `events` events, onto its run."""
        parent = self._open_parent()
        self._client.log_artifacts(parent, str(folder))
        points, tags = list(conclusion.points), dict(conclusion.tags)
        if (folder / FIGURES).exists():
            tags[NOTE] = f"[Figures]({run_link(self._experiment, parent, FIGURES)})\n\n{tags[NOTE]}"
        entries = Entries(points=points, tags=tags, status=conclusion.status, ended=conclusion.ended)
        log(self._client, parent, entries)
        self._count(parent, events)

    def _count(self, run_id: str, events: int) -> None:
        unless_refused(run_id, lambda: self._client.set_tag(run_id, EVENTS, str(events)))

    def _open_parent(self) -> str:
        """Return the study's run, made or opened again for more trials."""
        if self._parent is None:
            tags = {**self._common(self._began), KIND: "study"}
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

    def _common(self, time: float) -> dict[str, str]:
        """Return the tags of a run that began at `time`, in seconds."""
        source = {"mlflow.source.name": self._study.path, "mlflow.source.type": "LOCAL"}
        return {STUDY: self._study.id, **source, **self.provenance(time)}

    def _shared(self) -> dict[str, Any]:
        """Return the parameters of the study that every trial gets too: MLflow's filters do not look at parents."""
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
