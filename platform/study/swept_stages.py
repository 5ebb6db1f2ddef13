"""The effect of swept fields: the config fields that they change, and the stages whose runs then differ."""

from collections.abc import Iterable, Mapping
from typing import Any

from platform.study.domains import AnyDomain
from trainables.config.presets import GENERATIONS, PRESETS, PROFILES, SYSTEMS, defaults_of_system
from trainables.config.trial import TrialConfig
from trainables.graph import ancestors, depends_on, inputs_of
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


def varying_stages(fields: Iterable[str], targets: Iterable[str], *, systems: Iterable[str]) -> tuple[str, ...]:
    """Return the stages whose runs differ when `fields` differ, inputs first; only stages that `targets` need.

    With `system` among the fields, a stage varies if not all `systems` need it, or if it is given their videos.
    """
    swept, needing, of_study = set(fields), tuple(targets), tuple(systems)
    changed = [name for field in swept for name in touched(field, systems=of_study)]
    in_all = set.intersection(*(set(ancestors(needing, systems=[system])) for system in of_study))
    varying: dict[str, None] = {}
    for name in ancestors(needing, systems=of_study):
        by_system = "system" in swept and (name not in in_all or VIDEOS in STAGES[name].inputs)
        inputs = {needed for system in of_study for needed in inputs_of(name, system)}
        if by_system or any(depends_on(name, field) for field in changed) or inputs & varying.keys():
            varying.setdefault(name)
    return tuple(varying)


def swept_systems(domains: Mapping[str, AnyDomain], config: TrialConfig) -> tuple[str, ...]:
    """Return the systems of a sweep over `domains`, that of the base `config` first; unknown names are left out."""
    swept = domains["system"].probes() if "system" in domains else ()
    return tuple(dict.fromkeys((config.system, *(str(name) for name in swept if name in VIDEO_STAGES))))
