"""The effect of swept fields: the config fields that they change, and the stages whose runs then differ."""

from collections.abc import Iterable, Mapping
from typing import Any

from trainables.config.presets import PRESETS, PROFILES
from trainables.graph import STAGES, ancestors, depends_on

_SETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"preset": PRESETS, "profile": PROFILES}


def touched(field: str) -> frozenset[str]:
    """Return the dotted config fields that change with `field`: itself, and the fields of a preset or profile."""
    return frozenset((field, *(name for table in _SETS.get(field, {}).values() for name in table)))


def varying_stages(fields: Iterable[str], targets: Iterable[str]) -> tuple[str, ...]:
    """Return the stages whose runs differ when `fields` differ, inputs first; only stages that `targets` need."""
    changed = [name for field in fields for name in touched(field)]
    varying: dict[str, None] = {}
    for name in ancestors(targets):
        swept = any(depends_on(name, field) for field in changed)
        if swept or any(needed in varying for needed in STAGES[name].inputs):
            varying.setdefault(name)
    return tuple(varying)
