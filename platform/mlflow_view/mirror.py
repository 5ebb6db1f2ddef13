"""Converts the events of a trial to params, metrics, tags and texts of an MLflow run, within MLflow's limits.

The same events give the same entries, including time stamps, so writing them twice changes nothing.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from platform.events import Epochs, Finished, Proposed, Started, TrialEvent
from platform.record.trial_record import TrialRecord
from trainables.config.trial import flatten
from trainables.config.video import recorded_protocol
from trainables.identity import digest
from trainables.metrics.clip_metrics import EVALUATE
from trainables.stage_table import STAGES

EPOCHS = "epochs/"
"""Prefix of metrics per epoch, so that MLflow charts them in a separate group. Final metrics have no prefix."""
LAST = "last/"
"""Prefix of the last values of an early-stopped trial, so that MLflow does not mix them with final values."""
STATUS = {"COMPLETED": "FINISHED", "PRUNED": "KILLED", "FAILED": "FAILED"}
"""Outcome to MLflow's run status. MLflow has no status for early stopping; the tag `outcome` has the exact outcome."""
_NO_FAILURE = {"outcome": "", "cause": "", "error": "", "warnings": ""}
"""The tags of a failed trial that is started again."""
_KEY_LIMIT, _PARAM_LIMIT, _TAG_LIMIT, _DIGEST_LIMIT = 250, 6000, 5000, 36
_NOT_ALLOWED = re.compile(r"[^/\w.\- :]")


class MetricPoint(NamedTuple):
    """One metric value."""

    key: str
    value: float
    timestamp: int
    """Milliseconds since 1970."""
    step: int


class DataSet(NamedTuple):
    """The data set of a trial."""

    name: str
    identity: str
    """Identity of the data stage's run."""

    @property
    def digest(self) -> str:
        """The identity, cut to MLflow's limit for digests."""
        return self.identity[:_DIGEST_LIMIT]


@dataclass
class Entries:
    """The entries that some events of a trial add to its run."""

    params: dict[str, str] = field(default_factory=dict)
    points: list[MetricPoint] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Artifact name to content."""
    status: str | None = None
    """Set when the trial ended."""
    ended: int | None = None
    dataset: DataSet | None = None


class TrialMirror:
    """Turns the events of one trial into entries.

    It keeps the first value of each epoch, so epochs that are repeated after a crash add no second point to a chart.
    """

    def __init__(self, trial: str) -> None:
        self._record = TrialRecord(trial)

    def entries(self, events: Iterable[TrialEvent]) -> Entries:
        """Return the entries that `events` add. They must be in order."""
        entries = Entries()
        for event in events:
            before = self._record.outcome
            self._record.absorb(event)
            if isinstance(event, Proposed):
                _add_proposal(entries, event)
            elif isinstance(event, Epochs):
                self._add_epochs(entries, event)
            elif isinstance(event, Started):
                entries.status, entries.tags["attempt"] = None, str(event.attempt)
                entries.tags |= _NO_FAILURE if before == "FAILED" else {}
            elif isinstance(event, Finished):
                _add_end(entries, event)
        return entries

    def _add_epochs(self, entries: Entries, event: Epochs) -> None:
        """Add the metrics of epochs, and the worker's resource samples with seconds since the start as their step."""
        for row in event.rows:
            first = self._record.rows[row["stage"], row["epoch"]]
            entries.points.extend(
                MetricPoint(
                    key(f"{EPOCHS}{first['stage']}.{name}"), float(value), milliseconds(first["time"]), first["epoch"]
                )
                for name, value in first["metrics"].items()
            )
        began = self._record.began
        for sample in event.samples:
            step = round(sample["time"] - (sample["time"] if began is None else began))
            stamp = milliseconds(sample["time"])
            entries.points.extend(
                MetricPoint(key(name), value, stamp, step) for name, value in sample["metrics"].items()
            )


def _add_proposal(entries: Entries, proposed: Proposed) -> None:
    identities, config = proposed.identities, proposed.config
    entries.params.update(params(relevant(config, identities)))
    entries.texts["config.json"] = json.dumps(config, indent=2)
    entries.tags.update({name: str(getattr(proposed, name)) for name in ("point", "repeat", "seed")})
    entries.tags.update(proposed.labels)  # as both: MLflow groups by params and filters by tags
    entries.params.update(proposed.labels)
    entries.tags.update({f"stage.{stage}": identity for stage, identity in identities.items()})
    if EVALUATE in identities:
        entries.tags["mindsweep.protocol"] = recorded_protocol(config)
    if "data" in identities:
        entries.tags["data.digest"] = identities["data"]
        dataset = config.get("dataset")
        if isinstance(dataset, Mapping):
            entries.dataset = DataSet(str(dataset.get("kind")), identities["data"])


def _add_end(entries: Entries, end: Finished) -> None:
    stamp = milliseconds(end.time)
    # The last value of a trial that was stopped early would rank among final ones: it has a name of its own.
    prefix = LAST if end.outcome == "PRUNED" else ""
    reached = end.metrics if end.outcome in ("COMPLETED", "PRUNED") else {}
    final = {**{prefix + name: value for name, value in reached.items()}, "seconds": end.seconds}
    final.update({f"seconds.{stage}": run["seconds"] for stage, run in end.runs.items()})
    final.update({f"time/{part}": seconds for part, seconds in end.spent.items()})
    # With step 0 only, MLflow charts them as bars, one per trial.
    entries.points.extend(MetricPoint(key(name), float(value), stamp, 0) for name, value in final.items())
    entries.tags["outcome"] = end.outcome.lower()
    entries.tags["reused"] = " ".join(stage for stage, run in end.runs.items() if run["reused"])
    if end.cause is not None:
        entries.tags["cause"] = end.cause.lower()
    if end.warnings:
        entries.texts["warnings.txt"] = "\n".join(end.warnings)
        entries.tags["warnings"] = tag_value("\n".join(end.warnings))
    if end.error is not None:
        entries.texts["error.txt"] = end.error
        entries.tags["error"] = tag_value(end.reason)
    entries.status, entries.ended = STATUS[end.outcome], stamp


def relevant(config: Mapping[str, Any], stages: Iterable[str]) -> dict[str, Any]:
    """Return the parts of a resolved config that `stages` use, and its preset and profile."""
    sections = {section for stage in stages if stage in STAGES for section in STAGES[stage].sections}
    return {name: value for name, value in config.items() if name in sections or not isinstance(value, Mapping)}


def params(nested: Mapping[str, Any]) -> dict[str, str]:
    """Return dotted names and readable values within MLflow's limits; a value that is cut ends with a note."""
    return {key(name): _cut(readable(value), _PARAM_LIMIT) for name, value in flatten(nested).items()}


def readable(value: Any) -> str:
    """Return text unchanged and any other value as JSON with sorted keys, as in the records."""
    return value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)


def key(name: str) -> str:
    """Return `name` if it is a valid key for MLflow, else a similar valid key with a hash that keeps it unique."""
    clean = _NOT_ALLOWED.sub("_", name)
    if clean == name and len(name) <= _KEY_LIMIT and _is_plain_path(name):
        return name
    parts = [part for part in clean.split("/") if part.strip(".")]
    return f"{'/'.join(parts)[: _KEY_LIMIT - 9]}-{digest(name, length=8)}"


def tag_value(text: str) -> str:
    """Return `text` within MLflow's limit for tags; a text that is cut ends with a note."""
    return _cut(text, _TAG_LIMIT)


def milliseconds(seconds: float) -> int:
    """Return MLflow's time stamp of `seconds` since 1970."""
    return round(seconds * 1000)


def _is_plain_path(name: str) -> bool:
    return bool(name) and posixpath.normpath(name) == name and name != "." and not name.startswith(("..", "/"))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    note = f"... (cut here; the full text of {len(text)} characters is in the store)"
    return text[: limit - len(note)] + note
