"""Checks what a plug-in declares, part by part, before its parts become entries of the tables."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from trainables.config.base import Config
from trainables.datasets.kinds import Reader
from trainables.metrics.metric import Goal, Metric
from trainables.plugins.declaration import DatasetKind, Decoder, NewStage, VideoControl, VideoMetric
from trainables.plugins.loading import LoadedPlugin
from trainables.plugins.source import PluginError

_PARTS: Mapping[str, type[Any]] = {
    "decoders": Decoder,
    "stages": NewStage,
    "metrics": Metric,
    "video_metrics": VideoMetric,
    "controls": VideoControl,
    "datasets": DatasetKind,
}
_READS = tuple(name for name in vars(Reader) if not name.startswith("_"))


def error_in(plugin: LoadedPlugin, message: str) -> PluginError:
    """Return the error that names the plug-in and its file."""
    return PluginError(f"{plugin.source.path}: the plug-in {plugin.source.name}: {message}")


def check_declaration(plugin: LoadedPlugin) -> None:
    """Raise `PluginError` for a part of another type, and for values that no such part can have."""
    for field, kind in _PARTS.items():
        _check_types(getattr(plugin.plugin, field), field, kind, plugin)
    metrics: tuple[Metric | VideoMetric, ...] = (*plugin.plugin.metrics, *plugin.plugin.video_metrics)
    for metric in metrics:
        _check_scale(metric, plugin)
    for dataset in plugin.plugin.datasets:
        _check_dataset(dataset, plugin)


def _check_types(parts: tuple[Any, ...], field: str, kind: type[Any], plugin: LoadedPlugin) -> None:
    for index, part in enumerate(parts):
        if not isinstance(part, kind):
            raise error_in(plugin, f"{field}[{index}] must be a {kind.__name__}, not a {type(part).__name__}")
        if not isinstance(part.name, str):
            raise error_in(plugin, f"the name of {field}[{index}] must be a text, not {part.name!r}")


def _check_scale(metric: Metric | VideoMetric, plugin: LoadedPlugin) -> None:
    if metric.goal not in get_args(Goal):
        raise error_in(plugin, f"the goal of the metric {metric.name!r} must be min or max, not {metric.goal!r}")
    if not metric.low < metric.high:
        message = f"the metric {metric.name!r} has the range {metric.low} to {metric.high}; low must be below high"
        raise error_in(plugin, message)


def _check_dataset(dataset: DatasetKind, plugin: LoadedPlugin) -> None:
    check_settings(dataset.settings, dataset.name, plugin)
    kind = dataset.settings.model_fields.get("kind")
    if kind is None or (get_args(kind.annotation), kind.default) != ((dataset.name,), dataset.name):
        name = f"{dataset.name!r}"
        raise error_in(plugin, f"{dataset.settings.__name__} needs the field `kind: Literal[{name}] = {name}`")
    lacking = [name for name in _READS if not callable(getattr(dataset.reader, name, None))]
    if lacking:
        message = f"the reader of the kind of data set {dataset.name!r} lacks {', '.join(lacking)} (docs/api.md)"
        raise error_in(plugin, message)


def check_settings(settings: object, name: str, plugin: LoadedPlugin) -> None:
    """Raise `PluginError` unless `settings` is a class of settings that has a default for every field."""
    if not (isinstance(settings, type) and issubclass(settings, Config)):
        raise error_in(
            plugin, f"the settings of {name!r} must be a subclass of trainables.api.Config, not {settings!r}"
        )
    try:
        settings()
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, entry["loc"])) for entry in error.errors())
        raise error_in(
            plugin, f"every field of {settings.__name__} needs a valid default; without one: {fields}"
        ) from error
