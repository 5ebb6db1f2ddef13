"""The effect of swept fields: the config fields that they change, and the stages whose runs then differ."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from platform.study.domains import AnyDomain
from trainables.config.presets import GENERATIONS, PRESETS, PROFILES, SYSTEMS, defaults_of_system
from trainables.config.trial import TrialConfig
from trainables.graph import ancestors, chooses, depends_on, inputs_of
from trainables.stage_definition import VIDEOS
from trainables.stage_table import STAGES, VIDEO_STAGES

_SETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "preset": {**PRESETS, **GENERATIONS},  # a preset also sets the default of `generation`
    "profile": PROFILES,
    "generation": GENERATIONS,
}


def touched(field: str, *, systems: Iterable[str] = SYSTEMS) -> frozenset[str]:
    """Return the dotted config fields that change with `field`: itself, and the fields of a named set of settings.

    With `system`, those that one of `systems` changes; by default, of all systems.
    """
    sets = [*_SETS.get(field, {}).values(), *(map(defaults_of_system, systems) if field == "system" else ())]
    return frozenset((field, *(name for table in sets for name in table)))


def varying_stages(
    fields: Iterable[str], targets: Iterable[str], *, systems: Iterable[str], possible: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return the stages whose runs differ when `fields` differ, inputs first; only stages that `targets` need.

    With `system` among the fields, a stage varies if not all `systems` need it, or if it is given their videos. A stage
    that one of the fields chooses varies, too. `possible`: what `possible_stages` found; others are left out.
    """
    swept, needing, of_study = set(fields), tuple(targets), tuple(systems)
    changed = [name for field in swept for name in touched(field, systems=of_study)]
    in_all = set.intersection(*(set(ancestors(needing, systems=[system])) for system in of_study))
    stages = [name for name in ancestors(needing, systems=of_study) if possible is None or name in possible]
    chosen = {each.stage for name in stages for each in STAGES[name].chosen if each.field in changed}
    varying: dict[str, None] = {}
    for name in stages:
        by_system = "system" in swept and (name not in in_all or VIDEOS in STAGES[name].inputs)
        inputs = {needed for system in of_study for needed in inputs_of(name, system)}
        depends = by_system or name in chosen or any(depends_on(name, field) for field in changed)
        if depends or inputs & varying.keys():
            varying.setdefault(name)
    return tuple(varying)


def possible_stages(
    fields: Iterable[str], config: TrialConfig, targets: Iterable[str], *, systems: Iterable[str]
) -> tuple[str, ...]:
    """Return the stages that `targets` may need if `fields` of `config` are swept, inputs first."""
    of_study = tuple(systems)
    changed = {name for field in fields for name in touched(field, systems=of_study)}
    stages = ancestors(targets, systems=of_study)
    unchosen = {
        each.stage
        for name in stages
        for each in STAGES[name].chosen
        if each.field not in changed and not chooses(config, each)
    }
    return tuple(name for name in stages if name not in unchosen)


def swept_systems(domains: Mapping[str, AnyDomain], config: TrialConfig) -> tuple[str, ...]:
    """Return the systems of a sweep over `domains`, that of the base `config` first; unknown names are left out."""
    swept = domains["system"].probes() if "system" in domains else ()
    return tuple(dict.fromkeys((config.system, *(str(name) for name in swept if name in VIDEO_STAGES))))
