"""What a study gives that meets no fault: run in this process, without views."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform.events import TrialEvent
from platform.options import Options
from platform.record.trial_record import reduce_events
from platform.run.driver import run_study
from storage import layout
from storage.base import Store
from storage.events import EventLog
from storage.runs import Manifest, read_manifest
from storage.uri import open_store
from tests.chaos.studies import ChaosStudy

_FAST = ("noop.sleep=0", "noop.workers=1")
"""Circumstances, which change no result."""


@dataclass(frozen=True)
class Facts:
    """All of a study's stored records that must not depend on faults."""

    trials: Mapping[str, Mapping[str, Any]]
    """Trial to point, repeat, seed, values, outcome, metrics and identities."""
    epochs: Mapping[tuple[str, str, int], Mapping[str, float]]
    """(trial, stage, epoch) to its metrics."""
    artifacts: Mapping[str, Mapping[str, Any]]
    """Identity to the digests of its files, and its metrics."""


def facts_of(store: Store, events: Iterable[TrialEvent]) -> Facts:
    """Read them from the store and the events of its one study."""
    records = reduce_events(events)
    trials, epochs = {}, {}
    for name, record in records.items():
        end, proposed = record.finished, record.proposed
        assert proposed is not None
        trials[name] = {
            **{part: getattr(proposed, part) for part in ("point", "repeat", "seed", "values", "identities")},
            "outcome": record.outcome,
            "metrics": None if end is None else dict(end.metrics),
        }
        for (stage, epoch), row in record.rows.items():
            epochs[name, stage, epoch] = dict(row["metrics"])
    keys = [key for key in store.list(layout.stages()) if key.endswith("/manifest.json")]
    return Facts(trials, epochs, {m.identity: _contents(m) for m in (read_manifest(store, key) for key in keys)})


def _contents(manifest: Manifest) -> dict[str, Any]:
    files = {name: file.digest for name, file in manifest.files.items()}
    return {"files": files, "metrics": dict(manifest.metrics), "history": [dict(row) for row in manifest.history]}


def reference(kind: ChaosStudy, file: Path, folder: Path) -> Facts:
    """Run the study in `folder`, and return its facts."""
    study = kind.load(file, _FAST if "noop" in kind.text else ())
    options = Options(home=folder, store=(folder / "store").as_uri(), tracking="", inline=True)
    run_study(study, options)
    store = open_store(options.store)
    return facts_of(store, map(TrialEvent.from_json, EventLog(store, study.id).read()))
