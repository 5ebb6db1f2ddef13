"""Plug-ins in the records of a study: their source for workers and repetitions, their declarations for views.

What they declare is read back without executing their code, so views show their metrics and controls by name.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from storage.base import Store
from storage.studies import load_calls
from trainables.judging.controls import Control
from trainables.metrics.clip_metrics import ClipMetric
from trainables.metrics.metric import Metric
from trainables.plugins.active import NO_PLUGINS, Plugins, load_plugins
from trainables.plugins.composed_config import stored_config
from trainables.plugins.source import PluginError, PluginSource
from trainables.stage_definition import DecoderKind, Stage

_SOURCES = "plugins"
"""The key of a call's record with the sources of the study's plug-ins."""
_DECLARED = "declared"
_TYPES: Mapping[str, Any] = {
    "stages": Stage,
    "decoder_kinds": DecoderKind,
    "clip_metrics": ClipMetric,
    "metrics": Metric,
    "controls": Control,
}
"""Tables whose entries are plain values. `metrics` is recorded without the metrics of `clip_metrics`."""
_LIMITS = ("low", "high")


def recorded_plugins(plugins: Plugins) -> dict[str, Any]:
    """Return the part of a call's record with the sources and declarations of `plugins`; empty if there are none."""
    if not plugins.sources:
        return {}
    tables = {
        name: [_plain(entry) for entry in plugins.additions[name].values() if type(entry) is kind]
        for name, kind in _TYPES.items()
    }
    sections = sorted(plugins.sections)
    datasets = sorted(plugins.additions["dataset_configs"])
    declared = {**tables, "sections": sections, "datasets": datasets}
    return {_SOURCES: [source.to_json() for source in plugins.sources], _DECLARED: declared}


def sources_of(call: Mapping[str, Any]) -> tuple[PluginSource, ...]:
    """Return the sources in a call's record. Raises `PluginError` if one is not that of its digest."""
    return tuple(map(PluginSource.from_json, call.get(_SOURCES, ())))


def declared_plugins(call: Mapping[str, Any]) -> Plugins:
    """Return the plug-ins of a call's record without their code: stages, metrics and controls have their names."""
    sources = sources_of(call)
    if not sources:
        return NO_PLUGINS
    declared = call[_DECLARED]
    additions = {
        name: {_key(name, entry): _read(kind, entry) for entry in declared[name]} for name, kind in _TYPES.items()
    }
    additions["metrics"] |= {metric.name: metric for metric in additions["clip_metrics"].values()}
    config = stored_config(declared["sections"], declared["datasets"], additions)
    return Plugins(sources, {**additions, "config": {"trial": config}}, is_recorded=True)


def _key(table: str, entry: Mapping[str, Any]) -> str:
    if table == "decoder_kinds":
        return f"{entry['stage']}.{entry['name']}"
    return str(entry["name"]).partition(".")[2] if table == "clip_metrics" else str(entry["name"])


def _plain(entry: Any) -> dict[str, Any]:
    """Return the fields of an entry as JSON, which has no infinity: limits of metrics become texts."""
    return {name: str(value) if name in _LIMITS else value for name, value in asdict(entry).items()}


def _read(kind: Any, entry: Mapping[str, Any]) -> Any:
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items() if name not in _LIMITS
    }
    return kind(**values, **{name: float(entry[name]) for name in _LIMITS if name in entry})


def fetch_plugins(store: Store, study: str, digests: Mapping[str, str]) -> Plugins:
    """Return the plug-ins of `study` with these digests (name to SHA-256), loaded from its records.

    Raises:
        PluginError: The records do not have them, or a source is not that of its digest.
        storage.errors.StoreError: The records cannot be read.
    """
    if not digests:
        return NO_PLUGINS
    for call in reversed(load_calls(store, study)):
        sources = sources_of(call)
        if {source.name: source.sha256 for source in sources} == dict(digests):
            return recorded(load_plugins(sources))
    raise PluginError(f"the records of {study} have no source of its plug-ins {dict(digests)}")


def recorded(plugins: Plugins) -> Plugins:
    """Return `plugins` marked as read from records."""
    return Plugins(plugins.sources, plugins.additions, plugins.loaded, is_recorded=True)


def digests_from_text(text: str) -> dict[str, str]:
    """Return the digests that `digests_to_text` wrote."""
    return dict(item.split("=") for item in text.split(",")) if text else {}


def digests_to_text(digests: Mapping[str, str]) -> str:
    """Return `name=SHA256,name=SHA256`: the settings of a worker are texts."""
    return ",".join(f"{name}={sha256}" for name, sha256 in digests.items())
