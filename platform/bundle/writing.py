"""Writes a study as a bundle: its records and selected stage runs as a store, and readable files.

README.txt, checksums.txt    description; SHA-256 of every other file, for `sha256sum -c`
store/                       a `file://` store with only this study: every verb works on it in place
records/                     trials.parquet and epochs.parquet
configs/, <study>.yaml       the resolved config of each trial; the study's file
requirements.lock            the packages of its environment
manifests/                   manifests of the stage runs whose artifacts were not selected
report/                      the report of an ablation
data_card.html, .md          the card of the prepared data set
"""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platform.errors import UserError, nearest
from platform.events import Proposed, TrialEvent
from platform.record.data_card import write_data_card
from platform.record.results import Result, outcomes, results_from_events
from platform.record.study_from_store import recorded_study
from platform.record.tables import EPOCHS, TRIALS, write_tables
from platform.study.file_name import study_name
from storage import layout
from storage.base import Store
from storage.content import file_at, files_in, put_blob, sealed, unsealed
from storage.errors import IntegrityError
from storage.events import EventLog
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.parallel import ordered
from storage.runs import Manifest, RunStore
from storage.studies import load_calls
from trainables.provenance import LOCK

CHECKSUMS, STORE = "checksums.txt", "store"
ALL = "all"
_REPORTED = ("evaluate", "importance")
"""Stages whose artifacts a report needs."""
_EMBEDDED = ("clips", "voxels", "semantic")
"""Stages whose artifacts the embedding map of a report needs; `data` in place of `clips` in earlier studies."""


@dataclass(frozen=True)
class BundleSummary:
    """The contents of a written bundle."""

    folder: Path
    trials: Mapping[str, int]
    """Outcome to number of trials, `unfinished` included."""
    stage_runs: int
    """Number of stage runs with artifacts."""
    missing: tuple[str, ...]
    """Requested stage runs of completed trials that are not in the store."""
    files: int
    size: int
    """Bytes."""


def write_bundle(store: Store, study_id: str, folder: Path, *, stages: Sequence[str] | None = None) -> BundleSummary:
    """Write study `study_id` into `folder`, completely or not at all.

    Args:
        store: The store with the study.
        study_id: Its id.
        folder: The folder to create; it may exist if it is empty.
        stages: Stages whose artifacts are copied, or only `all`; None for `evaluate` and all stages that the report
            needs.

    Raises:
        UserError: `folder` is not empty or cannot be written, or no trial has such a stage.
        storage.errors.StoreError: Records or artifacts are damaged or cannot be read.
    """
    with _temporary_folder(folder) as temporary, tempfile.TemporaryDirectory(prefix="mindsweep-export-") as cache:
        bundle = _Bundle(store, study_id, temporary, Path(cache) / "runs")
        present, missing = bundle.write(stages)
        _write_checksums(temporary)
        sizes = [path.stat().st_size for path in files_in(temporary).values()]
    return BundleSummary(folder, outcomes(bundle.results), present, missing, len(sizes), sum(sizes))


class _Bundle:
    """Writes one bundle into a temporary folder."""

    def __init__(self, store: Store, study: str, folder: Path, cache: Path) -> None:
        self._source, self._folder, self._cache = store, folder, cache
        self._target = LocalStore(folder / STORE)
        self._study = recorded_study(store, study)
        self._events = [TrialEvent.from_json(value) for value in EventLog(store, study).read()]
        self._calls = load_calls(store, study)
        self.results: tuple[Result, ...] = results_from_events(self._events)

    def write(self, stages: Sequence[str] | None) -> tuple[int, tuple[str, ...]]:
        """Write all files except the checksums; return the number of stage runs, and the missing stage runs."""
        included = self._included(stages)
        self._write_records()
        present, missing = self._write_runs(included)
        self._write_configs()
        if self._events:
            from platform.reporting.making import make_report  # scipy and matplotlib take seconds to import

            make_report(self._source, self._study.id, self._folder / "report")
        self._write_readme(included, missing)
        return present, missing

    def _included(self, stages: Sequence[str] | None) -> frozenset[str]:
        recorded = {stage for result in self.results for stage in result.identities}
        if stages is None:
            maps = "embedding_map" in self._study.report_figures
            embedded = {*_EMBEDDED, *(() if "clips" in recorded else ("data",))}
            return frozenset(recorded & {*_REPORTED, *(embedded if maps else ())})
        if tuple(stages) == (ALL,):
            return frozenset(recorded)
        for stage in stages:
            if stage not in recorded:
                names = nearest(stage, {*recorded, ALL})
                raise UserError(f"--artifacts: no trial of {self._study.id} has a stage {stage}; {names}")
        return frozenset(stages)

    def _write_records(self) -> None:
        """Copy definition, amendments, calls, events and data card after a check of their digests; write tables."""
        study = self._study.id
        prefixes = (layout.amendments(study), layout.calls(study), layout.events(study))
        keys = [layout.study(study), *(key for prefix in prefixes for key in self._source.list(prefix))]
        for key, value in zip(keys, ordered(self._document, keys, self._source.concurrency), strict=True):
            self._target.put(key, sealed(value))
        for path in write_data_card(self._source, study, self._folder):
            put_blob(self._target, path)
        tables = MemoryStore()
        write_tables(tables, study, self._events)
        (self._folder / "records").mkdir()
        for name in (TRIALS, EPOCHS):
            (self._folder / "records" / name).write_bytes(tables.get(layout.record(study, name)))

    def _document(self, key: str) -> dict[str, Any]:
        return unsealed(key, self._source.get(key))

    def _write_runs(self, included: frozenset[str]) -> tuple[int, tuple[str, ...]]:
        """Copy the stage runs of `chosen` stages, and only the manifests of the others."""
        runs = RunStore(self._source, cache=self._cache)
        identities = {identity: stage for result in self.results for stage, identity in result.identities.items()}
        completed = {i for result in self.results if result.outcome == "COMPLETED" for i in result.identities.values()}
        present, missing = 0, []
        for identity, stage in sorted(identities.items()):
            if stage not in included:
                self._write_manifest(identity)
                continue
            manifest, damages = runs.examine(identity)
            if damages:
                raise IntegrityError(f"{identity} cannot be exported: {'; '.join(damages)}")
            if manifest is not None:
                self._copy(runs, manifest)
                present += 1
            elif identity in completed:
                missing.append(identity)
        return present, tuple(missing)

    def _copy(self, runs: RunStore, manifest: Manifest) -> None:
        """Copy one stage run, blobs first, and delete the local copy of remote artifacts."""
        artifacts = runs.open(manifest.identity)
        for name, file in manifest.files.items():
            if not self._target.exists(layout.blob(file.digest)):
                self._target.put(layout.blob(file.digest), artifacts.path(name))
        self._target.put(layout.manifest(manifest.identity), sealed(manifest.to_json()))
        shutil.rmtree(self._cache, ignore_errors=True)

    def _write_manifest(self, identity: str) -> None:
        key = layout.manifest(identity)
        if self._source.exists(key):
            path = self._folder / "manifests" / f"{identity}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(self._document(key), indent=1), encoding="utf-8")

    def _write_configs(self) -> None:
        """Write the study's file, the lock file, and the config of each trial."""
        (self._folder / f"{study_name(self._study.path)}.yaml").write_text(self._study.source, encoding="utf-8")
        locks = [call["lock"] for call in self._calls if call.get("lock") is not None]
        if locks:
            (self._folder / LOCK).write_text(locks[-1], encoding="utf-8")
        (self._folder / "configs").mkdir()
        for event in self._events:
            if isinstance(event, Proposed):
                text = json.dumps(event.config, indent=1)
                (self._folder / "configs" / f"{layout.checked(event.trial)}.json").write_text(text, encoding="utf-8")

    def _write_readme(self, included: frozenset[str], missing: Sequence[str]) -> None:
        facts = {
            "study": self._study.id,
            "trials": ", ".join(f"{count} {outcome}" for outcome, count in outcomes(self.results).items() if count),
            "exported": datetime.now(UTC).isoformat(timespec="seconds"),
            "artifacts of": ", ".join(sorted(included)) or "no stage",
            "not in the store": ", ".join(missing),
            "code": self._calls[-1]["provenance"].get("git.commit", "") if self._calls else "",
            "packages": LOCK if (self._folder / LOCK).exists() else "their lock was not recorded",
        }
        lines = [f"{name + ':':18}{text}" for name, text in facts.items() if text]
        text = "\n".join([*lines, "", *(line for name, line in _LINES.items() if (self._folder / name).exists())])
        (self._folder / "README.txt").write_text(text + _INSTRUCTIONS.format(study=self._study.id), encoding="utf-8")


_LINES: Mapping[str, str] = {
    "report": "report/            the report: report.html for readers, CSV and Parquet for programs",
    "data_card.html": "data_card.html    the data set: counts, splits, voxels, licence, citation; also as data_card.md",
    "records": "records/           trials.parquet: one row per trial; epochs.parquet: one row per value of an epoch",
    "configs": "configs/           the resolved config of each trial; the study's own file is next to this file",
    "manifests": "manifests/         manifests of stage runs whose artifacts are not included: digests, versions",
    STORE: "store/             records and artifacts as an object store that every command of Mindsweep can read",
}
_INSTRUCTIONS = """
checksums.txt      SHA-256 of every file except itself

To check it:       sha256sum --quiet -c checksums.txt
To read it:        python -c "import pandas; print(pandas.read_parquet('records/trials.parquet'))"
With Mindsweep:    python -m platform.import FOLDER --store URI, then report, rebuild or reproduce with {study}
"""


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `folder` after the block, or deleted if the block raises."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UserError(f"{folder} is not an empty folder; choose one that does not exist yet")
    temporary = folder.absolute().parent / f".{folder.name}.tmp-{uuid.uuid4().hex[:8]}"
    try:
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error}") from error
        yield temporary
        os.rename(temporary, folder.absolute())  # over an empty folder, too
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_checksums(folder: Path) -> None:
    lines = [f"{file_at(path).digest}  {name}\n" for name, path in files_in(folder).items()]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
