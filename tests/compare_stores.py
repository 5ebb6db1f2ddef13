"""Compares two stores: stage runs by identity and content, trials by outcome, values and curves.

    python -m tests.compare_stores file://HOME/store file://OTHER/store

Prints each difference and a last line with counts; exit code 1 if there is a difference. What of a stage run or a
trial is time or environment is not compared. Stage runs in only one store are counted, not differences: an
interrupted or early-stopped trial leaves none.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform.events import TrialEvent
from platform.record.trial_record import reduce_events
from storage import layout
from storage.base import Store
from storage.events import EventLog
from storage.runs import read_manifest
from storage.uri import open_store


@dataclass(frozen=True)
class StoreContent:
    """What a store says, without times: name to facts."""

    stage_runs: Mapping[str, Mapping[str, Any]]
    """Identity to config, seed, inputs, digests of files, metrics and history."""
    trials: Mapping[str, Mapping[str, Any]]
    """`study/trial` to values, identities, outcome, metrics and the rows of all epochs."""


def read_content(store: Store) -> StoreContent:
    """Return the content of `store`."""
    keys = [key for key in store.list(layout.stages()) if key.endswith(".json")]
    manifests = [read_manifest(store, key) for key in keys]
    studies = sorted({key.split("/")[1] for key in store.list(layout.studies())})
    trials = {f"{study}/{trial}": facts for study in studies for trial, facts in _trials(store, study).items()}
    runs = {
        manifest.identity: {
            "config": manifest.config,
            "seed": manifest.seed,
            "inputs": manifest.inputs,
            "files": {name: file.digest for name, file in manifest.files.items()},
            "metrics": manifest.metrics,
            "history": [dict(row) for row in manifest.history],
        }
        for manifest in manifests
    }
    return StoreContent(runs, trials)


def _trials(store: Store, study: str) -> dict[str, dict[str, Any]]:
    records = reduce_events(map(TrialEvent.from_json, EventLog(store, study).read()))
    facts: dict[str, dict[str, Any]] = {}
    for name, record in records.items():
        if record.proposed is not None:
            end = record.finished
            facts[name] = {
                "values": record.proposed.values,
                "identities": record.proposed.identities,
                "outcome": None if end is None else end.outcome,
                "metrics": {} if end is None else end.metrics,
                "curves": {f"{stage} {epoch}": row["metrics"] for (stage, epoch), row in record.rows.items()},
            }
    return facts


def differences(before: StoreContent, after: StoreContent) -> Iterator[str]:
    """Yield each difference: facts of stage runs that both stores hold, and all trials."""
    for identity in sorted(before.stage_runs.keys() & after.stage_runs.keys()):
        yield from _unequal(identity, before.stage_runs[identity], after.stage_runs[identity])
    for trial in sorted(before.trials.keys() ^ after.trials.keys()):
        yield f"{trial}: only in the {'first' if trial in before.trials else 'second'} store"
    for trial in sorted(before.trials.keys() & after.trials.keys()):
        yield from _unequal(trial, before.trials[trial], after.trials[trial])


def _unequal(name: str, first: Any, second: Any) -> Iterator[str]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in sorted(first.keys() | second.keys()):
            yield from _unequal(f"{name} {key}", first.get(key), second.get(key))
    elif first != second:
        yield f"{name}: {first} and {second}"


def main(arguments: Sequence[str]) -> int:
    """Print the differences and the counts; return 1 if there is a difference."""
    before, after = (read_content(open_store(uri)) for uri in arguments)
    found = list(differences(before, after))
    shared = len(before.stage_runs.keys() & after.stage_runs.keys())
    single = len(before.stage_runs.keys() ^ after.stage_runs.keys())
    values = sum(len(trial["metrics"]) for trial in before.trials.values())
    points = sum(len(row) for trial in before.trials.values() for row in trial["curves"].values())
    counts = (
        f"{shared} stage runs in both stores, {single} in one; {len(before.trials)} trials with {values} metrics and "
        f"{points} values of epochs in the first; {len(found)} differences"
    )
    sys.stdout.write("\n".join([*found, counts, ""]))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
