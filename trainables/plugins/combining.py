"""Turns what plug-ins declare into entries of the tables, and refuses names that are taken."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from storage.names import nearest
from trainables.config.base import Config
from trainables.config.trial import TrialConfig
from trainables.datasets.kinds import DATASET_KINDS
from trainables.judging.controls import CONTROLS, SYSTEM, TRUTH, Control
from trainables.metrics.clip_metrics import CLIP_METRICS, CONTROL_SCORES, EVALUATE, ClipMetric, full_clip_metric
from trainables.metrics.metric import Metric
from trainables.metrics.registry import METRICS
from trainables.plugins.checking import check_declaration, check_settings, error_in
from trainables.plugins.composed_config import DatasetEntry, built_in_kinds, composed_config
from trainables.plugins.declaration import DECODED, Decoder, NewStage, VideoControl, VideoMetric
from trainables.plugins.loading import LoadedPlugin
from trainables.stage_definition import VIDEOS, DecoderKind, Stage
from trainables.stage_table import STAGES
from trainables.tables import Additions, extended

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RESERVED = ("test_", "shuffle_")
_OTHER_MEANING = "names that begin with test_ are of test clips, and with shuffle_ of shuffled frames"


def additions_of(plugins: Sequence[LoadedPlugin]) -> Additions:
    """Return the entries that `plugins` add to the tables.

    Raises:
        PluginError: A declaration is not valid, or a name is taken.
    """
    with extended({}):  # the built-in entries alone
        return _additions(plugins)


def _additions(plugins: Sequence[LoadedPlugin]) -> Additions:
    for plugin in plugins:
        check_declaration(plugin)
    _refuse_clashes(plugins)
    settings = dict(_settings(plugins))
    stages = {stage.name: _stage(stage, plugin) for plugin in plugins for stage in plugin.plugin.stages}
    kinds = {
        f"{decoder.stage}.{decoder.name}": _kind(decoder, plugin)
        for plugin in plugins
        for decoder in plugin.plugin.decoders
    }
    clip_metrics = {
        metric.name: _clip_metric(metric, plugin) for plugin in plugins for metric in plugin.plugin.video_metrics
    }
    metrics = {metric.name: metric for plugin in plugins for metric in plugin.plugin.metrics}
    datasets = {kind.name: kind for plugin in plugins for kind in plugin.plugin.datasets}
    additions: Additions = {
        "stages": stages,
        "decoder_kinds": kinds,
        "clip_metrics": clip_metrics,
        "metrics": {**metrics, **{metric.name: metric for metric in clip_metrics.values()}},
        "controls": {
            control.name: _control(control, plugin) for plugin in plugins for control in plugin.plugin.controls
        },
        "dataset_kinds": {name: DatasetEntry(name, kind.description, kind.reader) for name, kind in datasets.items()},
        "dataset_configs": {name: kind.settings for name, kind in datasets.items()},
        "dataset_plugins": {kind.name: plugin.source.sha256 for plugin in plugins for kind in plugin.plugin.datasets},
        "extended_by": {
            CONTROL_SCORES: tuple(plugin.source.sha256 for plugin in plugins if plugin.plugin.video_metrics),
            EVALUATE: tuple(
                plugin.source.sha256 for plugin in plugins if plugin.plugin.video_metrics or plugin.plugin.controls
            ),
        },
    }
    for plugin in plugins:
        _refuse_unknown(plugin, additions)
    systems = [stage.makes for stage in stages.values() if stage.makes is not None]
    composed = composed_config(
        settings, systems=systems, kinds=tuple(kinds.values()), datasets=[kind.settings for kind in datasets.values()]
    )
    return {**additions, "config": {"trial": composed}}


def _stage(stage: NewStage, plugin: LoadedPlugin) -> Stage:
    own = () if stage.settings is None else (stage.name,)
    return Stage(
        stage.name,
        1,
        (*own, *stage.sections),
        stage.inputs,
        _reference(stage.run, plugin),
        (stage.seconds, stage.size),
        seeded=stage.seeded,
        makes=stage.makes,
        builder=_optional_reference(stage.network, plugin),
        fingerprint=_optional_reference(stage.fingerprint, plugin),
        files=_optional_reference(stage.files, plugin),
        plugin=plugin.source.sha256,
    )


def _kind(decoder: Decoder, plugin: LoadedPlugin) -> DecoderKind:
    return DecoderKind(
        decoder.stage,
        decoder.name,
        _reference(decoder.run, plugin),
        plugin.source.sha256,
        section=None if decoder.settings is None else decoder.name,
        builder=_optional_reference(decoder.network, plugin),
        solved=decoder.solved,
    )


def _clip_metric(metric: VideoMetric, plugin: LoadedPlugin) -> ClipMetric:
    return full_clip_metric(
        ClipMetric(
            metric.name,
            title=metric.title,
            unit=metric.unit,
            goal=metric.goal,
            low=metric.low,
            high=metric.high,
            chance=metric.chance,
            source=metric.source,
            note=metric.note,
            function=_reference(metric.score, plugin),
            takes="pair",
        )
    )


def _control(control: VideoControl, plugin: LoadedPlugin) -> Control:
    return Control(control.name, control.title, control.meaning, function=_reference(control.video, plugin))


def _optional_reference(function: Callable[..., Any] | None, plugin: LoadedPlugin) -> str | None:
    return None if function is None else _reference(function, plugin)


def _reference(function: Callable[..., Any], plugin: LoadedPlugin) -> str:
    """Return `module:name` of a function of the plug-in, by which every process finds it."""
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
    if not callable(function) or getattr(plugin.modules.get(module), name, None) is not function:
        raise error_in(plugin, f"{function!r} must be a function at the top of one of the plug-in's modules")
    return f"{module}:{name}"


def _settings(plugins: Sequence[LoadedPlugin]) -> Iterator[tuple[str, type[Config]]]:
    """Yield the sections that plug-ins add to the config. Parts of one plug-in can share a section."""
    owners: dict[str, tuple[LoadedPlugin, type[Config]]] = {}
    for plugin in plugins:
        parts: tuple[NewStage | Decoder, ...] = (*plugin.plugin.stages, *plugin.plugin.decoders)
        for part in parts:
            if part.settings is None:
                continue
            check_settings(part.settings, part.name, plugin)
            owner = owners.setdefault(part.name, (plugin, part.settings))
            if part.name in TrialConfig.model_fields:
                raise error_in(plugin, f"the config has a section {part.name!r} already; choose another name")
            if owner != (plugin, part.settings):
                raise error_in(
                    plugin, f"the section {part.name!r} has two classes of settings ({owner[0].source.name} adds one)"
                )
            yield part.name, part.settings


def _refuse_clashes(plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse names that are not valid, and names that we or another plug-in have."""
    taken: dict[tuple[str, str], str] = {}
    ours: Mapping[str, Iterable[str]] = {
        "stage": STAGES,
        "system": [stage.makes for stage in STAGES.values() if stage.makes is not None],
        "metric": METRICS,
        "metric of video": CLIP_METRICS,
        "control": (*CONTROLS, SYSTEM, TRUTH),
        "kind of data set": DATASET_KINDS,
        **{f"kind of {stage} decoder": built_in_kinds(stage) for stage in DECODED},
    }
    for plugin in plugins:
        for what, name in _names(plugin):
            if what != "metric" and _NAME.fullmatch(name) is None:
                raise error_in(plugin, f"{name!r} cannot be a name of a {what}: use small letters, digits and _")
            owner = "Mindsweep" if name in ours[what] else taken.get((what, name))
            if owner is not None:
                raise error_in(plugin, f"{owner} has a {what} {name!r} already; choose another name")
            taken[what, name] = plugin.source.name
        _refuse_reported(plugin, plugins)


def _refuse_reported(plugin: LoadedPlugin, plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse metrics and controls of videos by which two values of `evaluate` would have one name."""
    metrics = [*CLIP_METRICS, *(metric.name for each in plugins for metric in each.plugin.video_metrics)]
    controls = [*CONTROLS, *(control.name for each in plugins for control in each.plugin.controls)]
    reported = {f"{metric}_{control}" for metric in metrics for control in controls}
    for metric in plugin.plugin.video_metrics:
        if metric.name.startswith(_RESERVED):
            raise error_in(plugin, f"{metric.name!r} cannot be a name of a metric of video: {_OTHER_MEANING}")
    both = sorted(reported & {*metrics, *(metric.short for metric in METRICS.values() if metric.stage == EVALUATE)})
    if both and (plugin.plugin.video_metrics or plugin.plugin.controls):
        raise error_in(plugin, f"a metric and a metric of a control would both be evaluate.{both[0]}; rename one")


def _names(plugin: LoadedPlugin) -> Iterator[tuple[str, str]]:
    declared = plugin.plugin
    parts: Mapping[str, Sequence[Any]] = {
        "stage": declared.stages,
        "metric": declared.metrics,
        "metric of video": declared.video_metrics,
        "control": declared.controls,
        "kind of data set": declared.datasets,
    }
    for what, entries in parts.items():
        names = [entry.name for entry in entries]
        yield from ((what, name) for name in names)
    yield from (("system", stage.makes) for stage in declared.stages if stage.makes is not None)
    yield from ((f"kind of {decoder.stage} decoder", decoder.name) for decoder in declared.decoders)


def _refuse_unknown(plugin: LoadedPlugin, additions: Additions) -> None:
    """Refuse inputs, sections and stages of metrics that do not exist."""
    stages = {*STAGES, *additions["stages"]}
    for stage in plugin.plugin.stages:
        for name in stage.inputs:
            if name not in stages and name != VIDEOS:
                raise error_in(plugin, f"stage {stage.name!r} has the input {name!r}; {nearest(name, stages)}")
        for section in stage.sections:
            if section not in TrialConfig.model_fields:
                raise error_in(
                    plugin,
                    f"stage {stage.name!r} reads the section {section!r}, which the config does not have; "
                    f"{nearest(section, TrialConfig.model_fields)}",
                )
    for metric in plugin.plugin.metrics:
        _check_metric(metric, plugin, stages)


def _check_metric(metric: Metric, plugin: LoadedPlugin, stages: set[str]) -> None:
    if metric.stage not in stages or metric.short == "":
        message = f"the metric {metric.name!r} must be stage.name; {nearest(metric.stage, stages)}"
        raise error_in(plugin, message)
